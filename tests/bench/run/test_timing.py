"""A timing session that is interrupted: its whole replicates wait in the folder of its first cell."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from bench.measure.efficiency.kept import FILE
from bench.measure.rows import row
from bench.run.lease import Leases
from bench.run.machine import timing_identity
from bench.run.runner import StoppedByFailure
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


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """A session that measures three arms, of which the second runs out of memory."""

    def measure_group(cells, **more):
        return {
            cell_id: [row(STEP_LATENCY, math.nan, reason="oom: too large", status="oom")]
            if "-b-" in cell_id
            else [row(STEP_LATENCY, 1.0)]
            for cell_id in cells
        }

    monkeypatch.setattr("bench.measure.efficiency.session.measure_group", measure_group)
    monkeypatch.setattr("bench.run.timing._timed_cell", lambda cell, limit: cell.id)


def planned(machine: dict[str, Any]) -> tuple[Cell, ...]:
    settings = {"kind": "efficiency", "machine": machine, "measure": {"threads": 1}}
    return tuple(Cell("efficiency", {"arm": arm}, settings | {"arm": arm}) for arm in ("a", "b", "c"))


@pytest.mark.usefixtures("measured")
def test_what_was_timed_is_written_before_a_failure_ends_the_run(tmp_path: Path) -> None:
    task = Task(tmp_path, "toy", planned(timing_identity("cpu", 1)))

    def on_event(cell: Cell, event: dict[str, Any]) -> None:
        if event["event"] == "end" and event["state"] != "done":
            raise StoppedByFailure(cell.id)

    with Leases(tmp_path) as leases, pytest.raises(StoppedByFailure):
        perform_timing(task, leases, on_event)
    assert [task.store.cell(cell.id).status().state for cell in task.cells] == ["done", "oom", "done"]


@pytest.mark.usefixtures("measured")
def test_a_kernel_that_only_this_node_names_is_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = Task(tmp_path, "toy", planned(timing_identity("cpu", 1)))
    here = timing_identity("cpu", 1) | {"kernels": {"attention": "math"}}
    monkeypatch.setattr("bench.run.machine.timing_identity", lambda *given: here)
    with Leases(tmp_path) as leases:
        perform_timing(task, leases, lambda cell, event: None)
    reason = task.store.cell(task.cells[0].id).status().reason
    assert reason.startswith("error: planned for kernels ") and "this machine has {'attention': 'math'}" in reason
