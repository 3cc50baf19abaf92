"""Overview of a study: state of each cell, the process that runs it, the time left."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.errors import UserError, quoted
from bench.run.estimate import Unfinished, time_left_s
from bench.run.lease import Holder, holders
from bench.store.cells import FINISHED, CellFolder, Status, Store, identity


@dataclass(frozen=True)
class CellState:
    """State of one cell."""

    id: str
    kind: str
    labels: dict[str, Any]
    status: Status
    holder: Holder | None  # the living process that works on it
    progress: dict[str, Any] = field(default_factory=dict)

    @property
    def left_s(self) -> float:
        """Seconds left by the newest event of the running process; NaN where there is none."""
        left_s = self.progress.get("left_s")
        return float(left_s) if isinstance(left_s, int | float) else math.nan

    @property
    def state(self) -> str:
        """`done`, `running`, `cut off`, `to run`, `damaged`, or how it failed."""
        if self.status.state in FINISHED:
            return self.status.state
        if self.holder:
            return "running"
        return {"new": "to run", "running": "cut off"}.get(self.status.state, self.status.state)


@dataclass(frozen=True)
class Overview:
    """All cells of a study."""

    cells: list[CellState]
    later: int = 0
    """Cells that may follow from a sweep, at most."""

    def counts(self) -> dict[str, int]:
        """Number of cells in each state, done first."""
        order = ("done", "running", "to run", "cut off", "damaged", *FINISHED[1:])
        found = {state: sum(cell.state == state for cell in self.cells) for state in order}
        return {state: number for state, number in found.items() if number}

    def of(self, *states: str) -> list[CellState]:
        """Cells in one of these states."""
        return [cell for cell in self.cells if cell.state in states]

    def left(self) -> list[CellState]:
        """Cells without a result."""
        return [cell for cell in self.cells if cell.state not in FINISHED]

    def left_s(self) -> float:
        """Seconds until all is done, from the times of finished cells of each kind and the events of running ones; NaN
        where there are neither."""
        now = time.time()
        return time_left_s(
            Unfinished(
                sum(cell.kind == kind for cell in self.left()),
                [cell.status.elapsed_s for cell in self.cells if cell.kind == kind and cell.state == "done"],
                [
                    (max(0.0, now - (cell.status.started or now)), cell.left_s)
                    for cell in self.of("running")
                    if cell.kind == kind
                ],
                together=kind == "efficiency",
            )
            for kind in {cell.kind for cell in self.left()}
        )


def overview(store: Store) -> Overview:
    """Read the state of every cell. Raises UserError where the study was never run."""
    held = holders(store.results)
    cells = []
    plan = store.plan()
    for entry in plan["cells"]:
        folder = store.cell(entry["id"])
        status = folder.status(quick=True)
        holder = held.get(identity(entry["id"])) if status.state not in FINISHED else None
        progress = folder.progress() if holder else {}
        cells.append(CellState(entry["id"], entry["kind"], entry["labels"], status, holder, progress))
    return Overview(cells, plan.get("later", 0))


def find_cell(results: Path, wanted: str) -> CellFolder:
    """The cell whose id begins with `wanted` (`study/` before it names its study), or whose folder it is.

    Raises UserError where there is none, or more than one.
    """
    if (Path(wanted) / "cell.json").is_file():
        return CellFolder(Path(wanted))
    study, slash, name = wanted.rpartition("/")
    safe = "".join(f"[{c}]" if c in "*?[" else c for c in name)
    found = [path.parent for path in sorted(results.glob(f"*/{safe}*/cell.json"))]
    if slash:
        found = [path for path in found if path.parent.name == study]
    exact = [path for path in found if path.name == name]
    if len(exact) == 1 or len(found) == 1:
        return CellFolder((exact or found)[0])
    if not found:
        raise UserError(f"no cell {quoted(wanted)} under {results}; `smdim-bench status STUDY` names the cells")
    some = ", ".join(f"{path.parent.name}/{path.name}" for path in found[:4])
    raise UserError(
        f"{quoted(wanted)} fits {len(found)} cells, give more of the name: {some}{', ...' if found[4:] else ''}"
    )
