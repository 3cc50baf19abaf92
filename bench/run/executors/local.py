"""The executor of this machine: a timing session alone, then cells that train, a few at once."""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bench.run.cell_process import CellServers
from bench.run.lease import HELD_POLL_S, Leases
from bench.run.perform import perform
from bench.run.task import OnEvent, Task
from bench.store.reuse import OtherStudies
from bench.study.grid import Cell
from metrics.cost.cores import usable_cores

Message = tuple[Cell, dict[str, Any]] | BaseException | None


@dataclass(frozen=True)
class LocalExecutor:
    """`jobs` cells at once; by default as many as the cores allow at the threads a cell has."""

    jobs: int | None = None

    def run(self, tasks: Sequence[Task], leases: Leases, others: OtherStudies, on_event: OnEvent) -> None:
        """See `Executor.run`."""
        for task in (task for task in tasks if task.timing):
            while not perform(task, leases, on_event, threading.Event(), CellServers(), others):
                time.sleep(HELD_POLL_S)
        training = [task for task in tasks if not task.timing]
        if not training:
            return
        threads = max(task.threads for task in training)
        at_once = self.jobs or max(1, usable_cores() // threads)
        pool = _Pool(training, leases, others)
        pool.run(min(at_once, len(training)), on_event)


class _Pool:
    """Threads that each watch one process at a time; its events reach the main thread through a queue."""

    def __init__(self, tasks: Sequence[Task], leases: Leases, others: OtherStudies) -> None:
        self.leases, self.others = leases, others
        self.ready = deque(tasks)
        self.held: deque[Task] = deque()
        self.lock = threading.Lock()
        self.stop = threading.Event()
        self.messages: queue.Queue[Message] = queue.Queue()

    def run(self, at_once: int, on_event: OnEvent) -> None:
        """Start the threads and pass their events on until the last one ends."""
        threads = [threading.Thread(target=self._serve, daemon=True) for _ in range(at_once)]
        for thread in threads:
            thread.start()
        left = at_once
        try:
            while left:
                message = self.messages.get()
                if message is None:
                    left -= 1
                elif isinstance(message, BaseException):
                    raise message
                else:
                    on_event(*message)
        finally:
            self.stop.set()
            for thread in threads:
                thread.join()

    def _serve(self) -> None:
        def on_event(cell: Cell, event: dict[str, Any]) -> None:
            self.messages.put((cell, event))

        try:
            with CellServers() as servers:
                while not self.stop.is_set() and (task := self._next()):
                    if not perform(task, self.leases, on_event, self.stop, servers, self.others):
                        with self.lock:
                            self.held.append(task)
        except BaseException as error:
            self.messages.put(error)
        finally:
            self.messages.put(None)

    def _next(self) -> Task | None:
        """The next task; where none is left one that was held, after a pause; None where all have been given out."""
        with self.lock:
            if self.ready:
                return self.ready.popleft()
            if not self.held:
                return None
        self.stop.wait(HELD_POLL_S)
        with self.lock:
            return self.held.popleft() if self.held else None
