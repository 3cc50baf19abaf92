"""The worker of tests of cells in place of a trainer."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_cells import WORKER

from bench.run import cell_process

ROOT = str(Path(__file__).parents[3])


@pytest.fixture
def small_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cell_process, "WORKER", ("-c", WORKER.format(root=ROOT)))
