"""A task of an executor: cells that are run together, as text for another process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from bench.run.machine import threads_of
from bench.store.cells import Status, Store
from bench.study.grid import Cell
from bench.study.settings import Limits

OnEvent = Callable[[Cell, dict[str, Any]], None]
"""Events of a cell: "start", the worker's own ("progress"), "released" (another runner has it), and `end_event`."""


def end_event(status: Status, by: str = "") -> dict[str, Any]:
    """The event "end" of a cell with its new status; `by`: another runner, or the cell of another study, it is from."""
    event = {"event": "end", "state": status.state, "reason": status.reason, "status": status}
    return event | ({"by": by} if by else {})


@dataclass(frozen=True)
class Task:
    """Cells that are run together: one that trains, or all that are timed in one session."""

    results: Path
    study: str
    cells: tuple[Cell, ...]
    limits: Limits = field(default_factory=Limits)
    shorter: tuple[str, ...] = ()  # cells that differ in nothing but a smaller length (and the seed)

    @property
    def timing(self) -> bool:
        """Whether this is a timing session, alone on its device."""
        return self.cells[0].kind == "efficiency"

    @property
    def threads(self) -> int:
        """CPU threads the task uses, in all the processes it trains in."""
        return max(threads_of(cell) for cell in self.cells)

    @property
    def store(self) -> Store:
        """Where the cells live."""
        return Store(self.results, self.study)

    def to_text(self) -> str:
        """JSON for a process elsewhere."""
        return _as_text().dump_json(replace(self, results=self.results.resolve())).decode()

    @classmethod
    def from_text(cls, text: str) -> Task:
        """The task of a text that `to_text` wrote."""
        return _as_text().validate_json(text)


@cache
def _as_text() -> TypeAdapter[Task]:
    return TypeAdapter(Task)
