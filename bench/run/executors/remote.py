"""Executors on a scheduler (slurm, ray), which starts, ends and loses jobs: they are followed through the store."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from bench.run.lease import HELD_POLL_S, holders
from bench.run.task import OnEvent, Task, end_event
from bench.store.cells import FINISHED, identity
from bench.store.reuse import OtherStudies
from bench.study.grid import Cell

LOOK_S = 1.0  # between looks at the jobs
LOST_JOBS = 5
"""How often a task's job may vanish without a result before its cells are given up for this run."""


class Scheduler(Protocol):
    """Starts jobs, and knows whether one has ended in any way."""

    at_once: int | None  # jobs out at a time; None: all, the scheduler queues them

    def submit(self, task: Task) -> Any:
        """Start a job that calls `bench.run.perform.perform_text`; returns a handle."""

    def ended(self, handle: Any) -> str | None:
        """None while the job waits or runs; else why it ended, empty for a normal end."""

    def cancel(self, handles: list[Any]) -> None:
        """End these jobs."""


@dataclass
class _Job:
    task: Task
    losses: int = 0
    handle: Any = None
    begun: set[str] = field(default_factory=set)
    ended: set[str] = field(default_factory=set)
    last_at: dict[str, float] = field(default_factory=dict)

    @property
    def left(self) -> list[Cell]:
        """Cells without an end event."""
        return [cell for cell in self.task.cells if cell.id not in self.ended]


def follow(scheduler: Scheduler, tasks: Sequence[Task], on_event: OnEvent) -> None:
    """Submit every task, read events from its cells' files, submit again what was lost, until all cells have ended."""
    waiting, later = (deque(_Job(task) for task in tasks if task.timing is timing) for timing in (True, False))
    out: list[_Job] = []
    try:
        while waiting or out or later:
            if not waiting and not out:  # timing is over: nothing trains beside it
                waiting, later = later, deque()
            _submit(scheduler, waiting, out)
            time.sleep(LOOK_S if out else HELD_POLL_S)
            for job in list(out):
                why = scheduler.ended(job.handle)  # first: then the files hold all that it wrote
                _pass_on(job, on_event)
                if why is None:
                    continue
                out.remove(job)
                if not job.left:
                    continue
                job.losses += bool(why)
                if job.losses > LOST_JOBS:
                    _give_up(job, why, on_event)
                else:
                    waiting.append(job)
    finally:
        scheduler.cancel([job.handle for job in out])


def _submit(scheduler: Scheduler, waiting: deque[_Job], out: list[_Job]) -> None:
    held = holders(waiting[0].task.results) if waiting else {}
    for _ in range(len(waiting)):
        if scheduler.at_once is not None and len(out) >= scheduler.at_once:
            return
        job = waiting.popleft()
        if any(identity(cell.id) in held for cell in job.task.cells):
            waiting.append(job)  # another runner is at it
            continue
        job.handle = scheduler.submit(job.task)
        out.append(job)


def _pass_on(job: _Job, on_event: OnEvent) -> None:
    """Events of a job's cells, read from their folders."""
    for cell in job.left:
        folder = job.task.store.cell(cell.id)
        status = folder.status()
        if status.state == "running" and cell.id not in job.begun:
            job.begun.add(cell.id)
            on_event(cell, {"event": "start"})
        if status.state in FINISHED:
            job.ended.add(cell.id)
            if cell.id not in job.begun:
                on_event(cell, {"event": "start"})
            on_event(cell, end_event(status))
        elif cell.id in job.begun:
            progress = folder.progress()
            if progress.get("at", 0.0) != job.last_at.get(cell.id):
                job.last_at[cell.id] = progress.get("at", 0.0)
                on_event(cell, progress | {"event": "progress"})


def _give_up(job: _Job, why: str, on_event: OnEvent) -> None:
    from bench.run.attempt import settle

    for cell in job.left:
        folder = job.task.store.cell(cell.id)
        folder.begin(cell)
        settle(cell, folder, "failed", f"error: its job was lost {job.losses} times, the last time: {why}")
    _pass_on(job, on_event)


@dataclass(frozen=True)
class RemoteExecutor:
    """An executor on top of a scheduler."""

    scheduler: Scheduler

    def run(self, tasks: Sequence[Task], leases: object, others: OtherStudies, on_event: OnEvent) -> None:
        """See `Executor.run`; leases are held where the jobs run."""
        follow(self.scheduler, tasks, on_event)
