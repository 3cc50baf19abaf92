"""A cache of its own for every test, and the demo lieder and small scales tokenised once."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("SMDIM_BENCH_CACHE", str(folder))
    return folder


@pytest.fixture(scope="session")
def lieder(tmp_path_factory: pytest.TempPathFactory):  # type: ignore[no-untyped-def]
    """The demo lieder as tokens, made once for all processes that run the tests; no test writes beside them."""
    from bench.data import load_corpus, tokenize

    base = tmp_path_factory.getbasetemp()
    run = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SMDIM_BENCH_CACHE", str(run / "lieder-cache"))
        return tokenize(load_corpus("demo", subset="lieder"))


@pytest.fixture(scope="session")
def scales(tmp_path_factory: pytest.TempPathFactory, write_midi: Callable[..., Path]):  # type: ignore[no-untyped-def]
    """Ten pieces of 8 to 17 bars with four quarter notes each, piece i a scale from pitch 50 + i; as tokens."""
    from bench.data import load_corpus, tokenize

    folder = tmp_path_factory.mktemp("scales")
    for index in range(10):
        notes = [(beat, 1.0, 50 + index + beat % 8, 64) for beat in range(4 * (8 + index))]
        write_midi(folder / "music" / f"{index}.mid", notes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SMDIM_BENCH_CACHE", str(folder / "cache"))
        return tokenize(load_corpus(f"folder:{folder / 'music'}"))
