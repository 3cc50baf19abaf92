"""A timing session that is interrupted: its whole replicates wait in the folder of its first cell."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.measure.efficiency.kept import FILE
from bench.measure.rows import row
from bench.run.lease import Leases
from bench.run.machine import timing_identity
from bench.run.task import Task
from bench.run.timing import perform_timing
from bench.study.grid import Cell
from metrics.cost.quantities import STEP_LATENCY


def test_replicates_are_kept_until_the_rows_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"kind": "efficiency", "machine": timing_identity("cpu", 1), "measure": {"threads": 1}}
    cells = tuple(Cell("efficiency", {"arm": arm}, settings | {"arm": arm}) for arm in ("a", "b"))
    task = Task(tmp_path, "toy", cells)
    first = task.store.cell(cells[0].id).path / FILE
    keys = []

    def measure_group(cells, kept, **more):
        assert kept.path == first and first.exists() == bool(keys)
        keys.append(kept.key)
        first.write_text("replicates")
        if len(keys) == 1:
            raise KeyboardInterrupt
        return {cell_id: [row(STEP_LATENCY, 1.0)] for cell_id in cells}

    monkeypatch.setattr("bench.measure.efficiency.session.measure_group", measure_group)
    monkeypatch.setattr("bench.run.timing._timed_cell", lambda cell, limit: cell.id)
    with Leases(tmp_path) as leases:
        with pytest.raises(KeyboardInterrupt):
            perform_timing(task, leases, lambda cell, event: None)
        assert first.exists()
        monkeypatch.setattr("metrics.cost.device.load_average", lambda: 7.0)
        assert perform_timing(task, leases, lambda cell, event: None)
    assert not first.exists() and keys[0] == keys[1]
    assert {task.store.cell(cell.id).status().state for cell in cells} == {"done"}
