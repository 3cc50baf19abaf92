"""Runs a study: finished cells are kept, the others run, failures become rows, the table is written as it grows."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from bench.errors import UserError
from bench.results import ResultTable, load_results
from bench.run.plan import Plan
from bench.run.pool import run_cells
from bench.run.store import FINISHED, Store
from bench.study import Cell

if TYPE_CHECKING:
    from bench.measure.efficiency import EfficiencyCell


class Watcher(Protocol):
    """What a person watching sees; `bench.run.display` prints it."""

    def say(self, line: str) -> None:
        """One line of words."""

    def begin(self, todo: list[Cell], reused: int) -> None:
        """The run starts."""

    def event(self, cell: Cell, event: dict[str, Any]) -> None:
        """Something happened in a cell: start, progress, end."""


@dataclass(frozen=True)
class RunSummary:
    """How a run ended."""

    table: ResultTable
    ran: int
    reused: int
    failed: list[tuple[str, str]]  # cell id, reason


def run_plan(
    plan: Plan, results: Path, watcher: Watcher, *, jobs: int | None = None, claims: Mapping[str, str] | None = None
) -> RunSummary:
    """Run all unfinished cells of `plan` into `results/<study>/`.

    A cell that failed earlier counts as finished. `claims` is the hash of what each paper claims, recorded before
    anything is measured (`Store.write_plan`). Raises UserError (no space left, folder not writable) and
    KeyboardInterrupt; whatever was finished by then stays, and a later run resumes.
    """
    store = Store(results, plan.study.name)
    try:
        store.write_plan(plan.study.content.model_dump(mode="json"), plan.cells, plan.notes, claims)
    except OSError as error:
        raise UserError(f"{store.folder}: cannot be written: {error.strerror}") from error
    todo = [cell for cell in plan.cells if not _is_finished(store, cell, watcher)]
    watcher.begin(todo, len(plan.cells) - len(todo))
    ran: list[Cell] = []

    def on_event(cell: Cell, event: dict[str, Any]) -> None:
        watcher.event(cell, event)
        if event["event"] == "end":
            ran.append(cell)
            load_results(store.folder).save()

    _run_timing_cells([cell for cell in todo if cell.kind == "efficiency"], store, on_event)
    others = [cell for cell in todo if cell.kind != "efficiency"]
    threads = max((int(cell.labels.get("threads", 1)) for cell in others), default=1)
    at_once = jobs or max(1, (os.cpu_count() or 1) // threads)
    run_cells(((cell, store.cell(cell.id)) for cell in others), jobs=at_once, on_event=on_event)
    table = load_results(store.folder)
    table.save()
    return RunSummary(table, len(ran), len(plan.cells) - len(todo), _failures(store, plan.cells))


def _is_finished(store: Store, cell: Cell, watcher: Watcher) -> bool:
    status = store.cell(cell.id).status()
    if status.state == "damaged":
        watcher.say(f"{cell.id}: {status.reason}; the cell is run again")
    return status.state in FINISHED


def _failures(store: Store, cells: list[Cell]) -> list[tuple[str, str]]:
    found = []
    for cell in cells:
        status = store.cell(cell.id).status()
        if status.state not in ("done", "new", "running"):
            found.append((cell.id, status.reason))
    return found


def _run_timing_cells(cells: list[Cell], store: Store, on_event: Callable[[Cell, dict[str, Any]], None]) -> None:
    """Time all arms in one session, taking turns; nothing else runs meanwhile."""
    if not cells:
        return
    from bench.measure.efficiency import measure_group
    from metrics.device import describe_environment

    by_id = {cell.id: cell for cell in cells}
    environment = describe_environment(cells[0].settings["machine"]["device"])
    session = time.strftime("%Y-%m-%dT%H:%M:%S")
    for cell in cells:
        folder = store.cell(cell.id)
        folder.begin(cell)
        folder.mark_running(environment)
        on_event(cell, {"event": "start"})
    wanted = cells[0].settings["measure"]
    started = time.time()
    results = measure_group(
        [_timed_cell(cell) for cell in cells],
        **{name: wanted[name] for name in ("rounds", "calls_per_round", "relative_width", "time_cap_s")},
        on_event=lambda cell_id, event: on_event(by_id[cell_id], event),
        log_folder={cell.id: store.cell(cell.id).path / "log.txt" for cell in cells},
    )
    common = {"device": environment["device"], "threads": wanted["threads"], "session": session}
    for cell_id, rows in results.items():
        state, reason = _outcome(rows)
        store.cell(cell_id).finish(state, [common | row for row in rows], reason=reason, started=started)
        on_event(by_id[cell_id], {"event": "end", "state": state, "reason": reason})


def _timed_cell(cell: Cell) -> EfficiencyCell:
    from bench.measure.efficiency import EfficiencyCell

    settings = cell.settings
    return EfficiencyCell(
        id=cell.id,
        arm=cell.labels["arm"],
        config=settings["model"],
        lengths=tuple(settings["measure"]["lengths"]),
        threads=settings["measure"]["threads"],
        device=settings["machine"]["device"],
        batch=settings["measure"]["batch"],
        sample_steps=settings["sample"]["steps"],
        sampler=settings["sample"]["sampler"],
        measure_training=settings["measure"]["training"],
        plugins=tuple(settings["plugins"]),
    )


def _outcome(rows: list[dict[str, Any]]) -> tuple[str, str]:
    """`done` where anything was timed; else how the first missing latency failed."""
    latencies = [row for row in rows if row["metric"] == "step_latency"]
    if not latencies or any(not math.isnan(row["value"]) for row in latencies):
        return "done", ""
    return latencies[0].get("status") or "failed", latencies[0]["reason"]


def forget_failed(plan: Plan, results: Path) -> None:
    """Drop the status of cells that failed, so that the next run runs them again."""
    store = Store(results, plan.study.name)
    for cell in plan.cells:
        folder = store.cell(cell.id)
        if folder.status().state not in ("done", "new"):
            (folder.path / "status.json").unlink(missing_ok=True)
