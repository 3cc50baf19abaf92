"""A quality cell: train one arm with one seed, validate it, let it play, and measure what it played."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.measure.music import held_out_windows, load_tokens, to_notes, train_notes
from bench.measure.rows import metric_row, row

if TYPE_CHECKING:
    from bench.data import TokenCorpus

Emit = Callable[..., None]
SAMPLING_SEED_OFFSET = 1_000_003  # keeps the sampler's generator apart from the trainer's


def measure_quality(settings: dict[str, Any], folder: Path, emit: Emit) -> list[dict[str, Any]]:
    """Rows of the cell. Leaves `samples/*.mid`, `history.jsonl` and a checkpoint in `folder`.

    A checkpoint found there is resumed. Raises Diverged when the loss does.
    """
    raise NotImplementedError


__all__ = ["Emit", "Path", "TokenCorpus", "importlib", "measure_quality", "metric_row", "np", "row"]
__all__ += ["held_out_windows", "load_tokens", "to_notes", "train_notes"]
