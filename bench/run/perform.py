"""One task, carried out wherever an executor put it: lease, attempts, inferred results, events."""

from __future__ import annotations

import threading
from pathlib import Path

from bench.run.attempt import End, attempt, settle
from bench.run.cell_process import CellServers
from bench.run.lease import Leases
from bench.run.task import OnEvent, Task, end_event
from bench.store.cells import FINISHED, CellFolder, identity
from bench.store.reuse import OtherStudies

MOST_RESTARTS = 5
"""How often in a row a cell is started again whose process was killed from outside; then that is its result."""


def perform_text(text: str) -> bool:
    """`perform` in a process that a scheduler started: with leases of its own, without events."""
    task = Task.from_text(text)
    with Leases(task.results) as leases, CellServers() as servers:
        return perform(task, leases, lambda cell, event: None, threading.Event(), servers)


def perform(
    task: Task,
    leases: Leases,
    on_event: OnEvent,
    stop: threading.Event,
    servers: CellServers,
    others: OtherStudies | None = None,
) -> bool:
    """Bring every cell of the task to a written status; False where another runner holds one of them.

    Raises UserError when no space is left.
    """
    if task.timing:
        from bench.run.timing import perform_timing

        return perform_timing(task, leases, on_event)
    cell = task.cells[0]
    lease = leases.take(identity(cell.id))
    if lease is None:
        return False
    try:
        folder = task.store.cell(cell.id)
        status = folder.status()  # only now: another runner may have finished it before the lease was taken
        if status.state in FINISHED:
            on_event(cell, end_event(status, by="another runner"))
            return True
        found = others.find(cell) if others else None
        if others and found:
            on_event(
                cell, end_event(others.copy(found, folder, cell), by=f"{found.path.parent.name}/{found.path.name}")
            )
            return True
        return _attempts(task, folder, lease, on_event, stop, servers)
    finally:
        leases.release(lease)


def _attempts(
    task: Task, folder: CellFolder, lease: Path, on_event: OnEvent, stop: threading.Event, servers: CellServers
) -> bool:
    cell = task.cells[0]
    on_event(cell, {"event": "start"})
    inferred = _ran_out_before(task)
    if inferred:
        folder.begin(cell)
        settle(cell, folder, "oom", inferred)
    else:
        reason = ""
        for _ in range(MOST_RESTARTS + 1):
            end, reason = attempt(cell, folder, task.limits, lease, lambda event: on_event(cell, event), stop, servers)
            if end is not End.KILLED:
                break
            on_event(cell, {"event": "progress", "stage": "killed from outside, goes on from its checkpoint"})
        else:
            settle(cell, folder, "failed", f"{reason}, {MOST_RESTARTS + 1} times in a row")
        if end in (End.LOST, End.STOPPED):
            on_event(cell, {"event": "released", "reason": end.value})
            return end is End.STOPPED
    on_event(cell, end_event(folder.status()))
    return True


def _ran_out_before(task: Task) -> str:
    """Why this cell need not be tried: memory ran out at a shorter length; empty where it did not."""
    for cell_id in task.shorter:
        folder = task.store.cell(cell_id)
        if folder.status().state == "oom":
            length = (folder.configuration() or {}).get("labels", {}).get("length")
            return f"oom (inferred): memory ran out at length {length}"
    return ""
