"""A run of a study: finished cells are kept, the others run, failures become rows, the table is written as it grows."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import UserError
from bench.files import canonical_hash
from bench.run.executors import Executor
from bench.run.executors.local import LocalExecutor
from bench.run.lease import Leases
from bench.run.plan import Plan
from bench.run.task import Task
from bench.store.cells import FINISHED, Status, Store, identity
from bench.store.reuse import OtherStudies, move, of_renamed_arms
from bench.store.table import ResultTable, load_results
from bench.study.grid import Cell
from bench.study.settings import Limits

if TYPE_CHECKING:
    from bench.run.display import Display

TRAINED = ("quality", "tuning")
"""Kinds of cell that train."""
TABLE_SHARE = 0.05
"""Largest share of the run's time that goes into writing the table on the way."""


class StoppedByFailure(UserError):
    """A cell failed and the run was to end there."""


@dataclass(frozen=True)
class RunSummary:
    """How a run ended."""

    table: ResultTable
    ran: int
    reused: int
    failed: list[tuple[str, str]]  # cell id, reason


def run_plan(
    plan: Plan,
    results: Path,
    watcher: Display,
    *,
    executor: Executor | None = None,
    fail_fast: bool = False,
    claims: Mapping[str, str] | None = None,
    anew: Collection[str] = (),
) -> RunSummary:
    """Run all unfinished cells of `plan` into `results/<study>/`.

    A cell that failed earlier counts as finished. `claims` is the hash of what each paper claims, recorded before
    anything is measured (`Store.write_plan`). `anew`: ids of cells that are not taken over from other studies.
    Raises UserError (no space left, folder not writable), StoppedByFailure where `fail_fast` is set, and
    KeyboardInterrupt; whatever was finished by then stays, and a later run resumes.
    """
    store = Store(results, plan.study.name)
    statuses: dict[str, Status] = {}  # of each cell, read as the run begins and as the cell ends
    table = _Table(store.folder, statuses)
    ran: list[Cell] = []

    def on_event(cell: Cell, event: dict[str, Any]) -> None:
        watcher.event(cell, event)
        if event["event"] != "end":
            return
        statuses[cell.id] = event["status"]
        table.grew()
        if "by" not in event:
            ran.append(cell)
        if fail_fast and event["state"] != "done":
            raise StoppedByFailure(f"{cell.id} ended as {event['reason']}; finished cells are kept (--fail-fast)")

    def write_plan(plan: Plan) -> None:
        content = plan.study.content.model_dump(mode="json")
        store.write_plan(content, plan.cells, plan.notes, claims, len(plan.later))

    try:
        write_plan(plan)
        leases = Leases(results).__enter__()
    except OSError as error:
        raise UserError(f"{store.folder}: cannot be written: {error.strerror}") from error
    begun: set[str] = set()
    try:
        others = OtherStudies(store, anew)
        while True:  # once, and again for the cells that a sweep decides
            cells = [cell for cell in plan.cells if cell.id not in statuses]
            for cell in cells:
                statuses[cell.id] = status = store.cell(cell.id).status()
                if status.state == "damaged":
                    watcher.say(f"{cell.id}: {status.reason}; the cell is run again")
            _rename_finished(store, plan, cells, statuses, leases, watcher)
            _copy_finished(store, cells, statuses, others, leases, watcher)
            fresh = [cell for cell in cells if statuses[cell.id].state not in FINISHED]
            begun |= {cell.id for cell in fresh}
            watcher.begin(fresh, len(cells) - len(fresh))
            tasks = make_tasks(store, plan.cells, fresh, plan.study.content.limits)
            (executor or LocalExecutor()).run(tasks, leases, others, on_event)
            if plan.grow:
                plan = plan.grow()
                write_plan(plan)
            if {cell.id for cell in plan.cells} <= statuses.keys():
                break
    finally:
        leases.__exit__()
        saved = table.save(last=True)
    return RunSummary(saved, len(ran), len(plan.cells) - len(begun), _failed(statuses))


def make_tasks(store: Store, cells: list[Cell], todo: list[Cell], limits: Limits) -> list[Task]:
    """One task for all timing cells, one for each other cell, shorter lengths first within a kind."""
    timing = tuple(cell for cell in todo if cell.kind == "efficiency")
    tasks = [Task(store.results, store.folder.name, timing, limits)] if timing else []
    families: dict[str, list[Cell]] = {}
    lengths = {cell.settings.get("length") for cell in cells if cell.kind in TRAINED}
    for cell in cells if len(lengths) > 1 else ():
        if cell.kind in TRAINED:
            families.setdefault(_family(cell), []).append(cell)
    others = [cell for cell in todo if cell.kind != "efficiency"]
    for cell in sorted(others, key=lambda cell: (cell.kind in TRAINED, cell.settings["length"])):
        family = families.get(_family(cell), []) if families and cell.kind in TRAINED else []
        shorter = tuple(one.id for one in family if one.settings["length"] < cell.settings["length"])
        tasks.append(Task(store.results, store.folder.name, (cell,), limits, shorter))
    return tasks


def _family(cell: Cell) -> str:
    """Equal for cells that differ in length and seed alone: if one runs out of memory, so do the longer ones."""
    return canonical_hash({key: value for key, value in cell.settings.items() if key not in ("length", "seed")})


class _Table:
    """The study's table on disk, written as cells end, but never for more than a small share of the time."""

    def __init__(self, folder: Path, statuses: Mapping[str, Status]) -> None:
        self.folder, self.statuses = folder, statuses
        self.next_at = 0.0

    def grew(self) -> None:
        """A cell has ended."""
        if time.monotonic() >= self.next_at:
            self.save()

    def save(self, *, last: bool = False) -> ResultTable:
        """Write the table now; the `last` one with cells that ended without an event, as the run was interrupted."""
        began = time.monotonic()
        known = {cell_id: one for cell_id, one in self.statuses.items() if one.state in FINISHED or not last}
        table = load_results(self.folder, known)
        table.save()
        ended = time.monotonic()
        self.next_at = ended + (ended - began) / TABLE_SHARE
        return table


def _rename_finished(
    store: Store, plan: Plan, cells: list[Cell], statuses: dict[str, Status], leases: Leases, watcher: Display
) -> None:
    """Take the finished cells of arms that have another name now under it, and note their status."""
    left = [cell for cell in cells if statuses[cell.id].state not in FINISHED]
    if not left:
        return
    earlier = of_renamed_arms(store, left, plan.arms)
    for cell in (cell for cell in left if cell.id in earlier):
        if lease := leases.take(identity(cell.id)):
            target = store.cell(cell.id)
            status = target.status()  # only now: another runner may have moved it before the lease was taken
            if status.state not in FINISHED and earlier[cell.id].status().state == "done":
                status = move(earlier[cell.id], target, cell)
            statuses[cell.id] = status
            leases.release(lease)
    if earlier:
        watcher.say(f"{len(earlier)} finished cells are kept under the new names of their arms")


def _copy_finished(
    store: Store,
    cells: list[Cell],
    statuses: dict[str, Status],
    others: OtherStudies,
    leases: Leases,
    watcher: Display,
) -> None:
    """Copy what other studies have finished, and note its new status."""
    origins = []
    for cell in cells:
        found = None if statuses[cell.id].state in FINISHED else others.find(cell)
        lease = leases.take(identity(cell.id)) if found else None
        if found is None or lease is None:
            continue
        statuses[cell.id] = store.cell(cell.id).status()  # only now: another runner may have copied it
        if statuses[cell.id].state not in FINISHED:
            statuses[cell.id] = others.copy(found, store.cell(cell.id), cell)
            origins.append(found.path.parent.name)
        leases.release(lease)
    for study in sorted(set(origins)):
        watcher.say(f"{origins.count(study)} cells with the same settings are taken over from study {study}")


def _failed(statuses: Mapping[str, Status]) -> list[tuple[str, str]]:
    """Id and reason of the cells that ended badly."""
    return [(cell_id, one.reason) for cell_id, one in statuses.items() if one.state in FINISHED and one.state != "done"]


def forget(plan: Plan, results: Path, name: str) -> list[str]:
    """Drop the status of the cells whose id begins with `name`; their ids. Raises UserError where there is none."""
    store = Store(results, plan.study.name)
    found = [cell.id for cell in plan.cells if cell.id.startswith(name)]
    if not found or not name:
        raise UserError(f"--cell {name}: no cell of {plan.study.name} begins so; `smdim-bench status` names them")
    for cell_id in found:
        (store.cell(cell_id).path / "status.json").unlink(missing_ok=True)
    return found


def forget_failed(plan: Plan, results: Path) -> None:
    """Drop the status of cells that failed, so that the next run runs them again."""
    store = Store(results, plan.study.name)
    for cell_id, _ in _failed({cell.id: store.cell(cell.id).status() for cell in plan.cells}):
        (store.cell(cell_id).path / "status.json").unlink(missing_ok=True)
