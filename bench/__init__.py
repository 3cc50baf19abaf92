"""Benchmark and ablation harness for denoisers in symbolic-music diffusion."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bench.versions import SOFTWARE

if TYPE_CHECKING:
    from bench.store.table import ResultTable

__version__ = SOFTWARE


def load_results(path: str | Path) -> ResultTable:
    """The measurements of a study, `load_results("results/quickstart").frame`: columns in `bench.store.columns`."""
    from bench.store.table import load_results as load

    return load(path)
