"""The task that an executor is handed: cells that are run together, as text for another process."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.run.machine import threads_of
from bench.store.cells import FINISHED, Store
from bench.study.grid import Cell
from bench.study.settings import Limits

OnEvent = Callable[[Cell, dict[str, Any]], None]


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
        """Whether this is a timing session, which wants its device for itself."""
        return self.cells[0].kind == "efficiency"

    @property
    def threads(self) -> int:
        """CPU threads the task uses, in all the processes it trains in."""
        return max(threads_of(cell) for cell in self.cells)

    @property
    def store(self) -> Store:
        """Where the cells live."""
        return Store(self.results, self.study)

    def unfinished(self) -> list[Cell]:
        """Cells without a whole result."""
        return [cell for cell in self.cells if self.store.cell(cell.id).status().state not in FINISHED]

    def to_text(self) -> str:
        """JSON for a process elsewhere."""
        cells = [{"kind": cell.kind, "labels": cell.labels, "settings": cell.settings} for cell in self.cells]
        return json.dumps(
            {
                "results": str(self.results.resolve()),
                "study": self.study,
                "cells": cells,
                "limits": self.limits.model_dump(),
                "shorter": self.shorter,
            }
        )

    @classmethod
    def from_text(cls, text: str) -> Task:
        """What `to_text` wrote."""
        content = json.loads(text)
        return cls(
            Path(content["results"]),
            content["study"],
            tuple(Cell(**cell) for cell in content["cells"]),
            Limits(**content["limits"]),
            tuple(content["shorter"]),
        )
