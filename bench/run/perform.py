"""Carries out one task wherever an executor put it: lease, attempts, inferred results, events."""

from __future__ import annotations

import threading
from pathlib import Path

from bench.run.attempt import End, attempt, settle
from bench.run.lease import Owner
from bench.run.task import OnEvent, Task
from bench.store.cells import FINISHED, CellFolder, identity
from bench.store.reuse import Elsewhere
from bench.study.grid import Cell

MOST_RESTARTS = 5
"""How often in a row a cell is started again whose process was killed from outside; then that is its result."""


def perform_text(text: str) -> bool:
    """`perform` for a process elsewhere: a leaseholder of its own, heard of through the cells' files alone."""
    task = Task.from_text(text)
    with Owner(task.results) as owner:
        return perform(task, owner, lambda cell, event: None, threading.Event())


def perform(
    task: Task, owner: Owner, on_event: OnEvent, stop: threading.Event, elsewhere: Elsewhere | None = None
) -> bool:
    """Bring every cell of the task to a written status; False where another runner holds one of them just now.

    Events: `start`, the worker's own, `end`; an `end` with `by` tells who else finished the cell meanwhile.
    Raises UserError when no space is left.
    """
    if task.timing:
        from bench.run.timing import perform_timing

        return perform_timing(task, owner, on_event)
    cell = task.cells[0]
    folder = task.store.cell(cell.id)
    if _told_as_finished(cell, folder, on_event):
        return True
    lease = owner.take(identity(cell.id))
    if lease is None:
        return False
    try:
        if _told_as_finished(cell, folder, on_event):  # between the look and the lease
            return True
        found = elsewhere.find(cell) if elsewhere else None
        if elsewhere and found:
            origin = elsewhere.copy(found, folder, cell)
            on_event(cell, {"event": "end", "state": "done", "by": origin})
            return True
        return _attempts(task, folder, lease, on_event, stop)
    finally:
        owner.release(lease)


def _attempts(task: Task, folder: CellFolder, lease: Path, on_event: OnEvent, stop: threading.Event) -> bool:
    cell = task.cells[0]
    on_event(cell, {"event": "start"})
    inferred = _ran_out_before(task)
    if inferred:
        folder.begin(cell)
        settle(cell, folder, "oom", inferred)
    else:
        reason = ""
        for _ in range(MOST_RESTARTS + 1):
            end, reason = attempt(cell, folder, task.limits, lease, lambda event: on_event(cell, event), stop)
            if end is not End.KILLED:
                break
            on_event(cell, {"event": "progress", "stage": "taken away, goes on from its checkpoint"})
        else:
            settle(cell, folder, "failed", f"{reason}, {MOST_RESTARTS + 1} times in a row")
        if end in (End.LOST, End.STOPPED):
            on_event(cell, {"event": "released", "reason": end.value})
            return end is End.STOPPED
    status = folder.status()
    on_event(cell, {"event": "end", "state": status.state, "reason": status.reason})
    return True


def _ran_out_before(task: Task) -> str:
    """Why this cell need not be tried: memory ran out at a shorter length; empty where it did not."""
    for cell_id in task.shorter:
        folder = task.store.cell(cell_id)
        if folder.status().state == "oom":
            length = (folder.configuration() or {}).get("labels", {}).get("length")
            return f"oom (inferred): memory ran out at length {length}"
    return ""


def _told_as_finished(cell: Cell, folder: CellFolder, on_event: OnEvent) -> bool:
    status = folder.status()
    if status.state not in FINISHED:
        return False
    on_event(cell, {"event": "end", "state": status.state, "reason": status.reason, "by": "another runner"})
    return True
