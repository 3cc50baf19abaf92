"""How cells are run: kills, leases, failures, pruning, reuse."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from small_cells import cell

from bench.errors import UserError
from bench.run import perform as perform_module
from bench.run import runner as runner_module
from bench.run.executors import make_executor
from bench.run.executors.local import LocalExecutor
from bench.run.overview import overview
from bench.run.plan import Plan
from bench.run.runner import StoppedByFailure, forget, forget_failed, make_tasks, run_plan
from bench.run.task import Task
from bench.store import reuse as reuse_module
from bench.store.cells import CellFolder, Status, Store, identity
from bench.store.reuse import move, taken_over
from bench.study.content import StudyFile
from bench.study.grid import Cell, Study
from bench.study.settings import Limits
from bench.study.yaml import Place

pytestmark = pytest.mark.usefixtures("small_worker")


class Watcher:
    """Remembers what a person would have seen."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self.todo = -1
        self.kinds: Counter[str] = Counter()

    def say(self, line: str) -> None:
        self.words.append(line)

    def begin(self, todo: list[Cell], reused: int) -> None:
        self.todo = len(todo)

    def event(self, cell: Cell, event: dict[str, Any]) -> None:
        self.kinds[event["event"] + (" by" if "by" in event else "")] += 1


def plan_of(*cells: Cell, name: str = "toy", **limits: Any) -> Plan:
    content = {"name": name, "question": "?", "measure": {"quality": {}}, "limits": limits}
    return Plan(Study(StudyFile.model_validate(content), Place(None)), list(cells), [])


def test_a_worker_taken_away_goes_on_and_not_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(perform_module, "MOST_RESTARTS", 1)
    once, always = cell(0, do="die once"), cell(1, do="die")
    summary = run_plan(plan_of(once, always), tmp_path, Watcher(), executor=LocalExecutor(2))
    store = Store(tmp_path, "toy")
    assert store.cell(once.id).status().state == "done"
    assert len(store.cell(once.id).attempts()) == 2
    assert summary.failed == [(always.id, "error: the process was ended by SIGKILL, 2 times in a row")]


def test_two_runners_share_the_cells(tmp_path: Path) -> None:
    cells = [cell(seed) for seed in range(6)]
    watchers = [Watcher(), Watcher()]
    runners = [
        threading.Thread(
            target=run_plan, args=(plan_of(*cells), tmp_path, watcher), kwargs={"executor": LocalExecutor(1)}
        )
        for watcher in watchers
    ]
    for runner in runners:
        runner.start()
    for runner in runners:
        runner.join()
    store = Store(tmp_path, "toy")
    assert [len(store.cell(one.id).attempts()) for one in cells] == [1] * 6
    assert overview(store).counts() == {"done": 6}
    assert sum(watcher.kinds["end"] for watcher in watchers) == 6, "each cell ended under one runner"
    assert not list((tmp_path / ".leases").iterdir())


def test_a_status_is_read_as_the_run_begins_under_the_lease_and_as_the_cell_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: Counter[str] = Counter()
    status = CellFolder.status

    def count(folder: CellFolder, **more: bool) -> Status:
        reads[folder.path.name] += 1
        return status(folder, **more)

    monkeypatch.setattr(CellFolder, "status", count)
    cells = [cell(seed) for seed in range(3)]
    run_plan(plan_of(*cells), tmp_path, Watcher())
    assert set(reads.values()) == {3} and len(reads) == 3
    reads.clear()
    summary = run_plan(plan_of(*cells), tmp_path, Watcher())
    assert set(reads.values()) == {1} and summary.reused == 3
    assert list(summary.table.frame["value"]) == [0.5, 1.5, 2.5]


def test_a_cell_that_another_runner_finished_before_the_lease_is_not_run_again(tmp_path: Path) -> None:
    one, two = cell(0), cell(1)

    class Late(LocalExecutor):
        """Hands its tasks on once another runner has finished the first cell."""

        def run(self, tasks: Any, leases: Any, others: Any, on_event: Any) -> None:
            folder = Store(tmp_path, "toy").cell(one.id)
            folder.begin(one)
            folder.finish("done", [{"metric": "m", "value": 7.0, "unit": "1"}])
            super().run(tasks, leases, others, on_event)

    watcher = Watcher()
    summary = run_plan(plan_of(one, two), tmp_path, watcher, executor=Late(1))
    assert (watcher.kinds["end by"], watcher.kinds["end"], summary.ran) == (1, 1, 1)
    assert len(Store(tmp_path, "toy").cell(one.id).attempts()) == 1, "that of the other runner"
    assert list(summary.table.frame["value"]) == [7.0, 1.5]


def test_an_interrupted_run_writes_the_rows_of_a_cell_that_ended_without_an_event(tmp_path: Path) -> None:
    one = cell(0)

    class Cut(LocalExecutor):
        """The cell ends, and Ctrl-C comes before its event."""

        def run(self, tasks: Any, leases: Any, others: Any, on_event: Any) -> None:
            folder = Store(tmp_path, "toy").cell(one.id)
            folder.begin(one)
            folder.finish("done", [{"metric": "m", "value": 7.0, "unit": "1"}])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_plan(plan_of(one), tmp_path, Watcher(), executor=Cut(1))
    assert "7.0" in (tmp_path / "toy" / "table.csv").read_text()


def test_a_dead_runners_cell_is_taken_over(tmp_path: Path) -> None:
    one = cell()
    leases = tmp_path / ".leases"
    leases.mkdir()
    (leases / "dead.json").write_text('{"host": "h", "place": "an earlier boot", "pid": 1, "started": "1"}')
    (leases / f"{identity(one.id)}@dead.lease").touch()
    os.utime(leases / "dead.json", (time.time() - 1000, time.time() - 1000))
    summary = run_plan(plan_of(one), tmp_path, Watcher())
    assert (summary.ran, summary.failed) == (1, [])


def test_fail_fast_ends_the_run_and_keep_going_does_not(tmp_path: Path) -> None:
    cells = [cell(0, do="exit"), *(cell(seed, do="sleep") for seed in (1, 2))]
    with pytest.raises(StoppedByFailure, match="code 3"):
        run_plan(plan_of(*cells), tmp_path, Watcher(), executor=LocalExecutor(1), fail_fast=True)
    assert overview(Store(tmp_path, "toy")).counts()["failed"] == 1
    plan = plan_of(cells[0], cell(3))
    summary = run_plan(plan, tmp_path, Watcher())
    assert (summary.ran, len(summary.failed)) == (1, 1), "the failed cell is kept as it is, the other runs"
    forget_failed(plan, tmp_path)
    assert run_plan(plan, tmp_path, Watcher()).ran == 1


def test_longer_lengths_than_one_that_ran_out_of_memory_are_not_tried(tmp_path: Path) -> None:
    cells = [
        cell(0, 64),
        cell(0, 16, do="oom"),
        cell(0, 32, do="oom"),
        cell(1, 32, do="oom"),
        cell(0, 8, do="oom", x=1),
    ]
    tasks = make_tasks(Store(tmp_path, "toy"), cells, cells, Limits())
    assert [len(task.shorter) for task in tasks] == [0, 0, 1, 1, 0]
    run_plan(plan_of(*cells), tmp_path, Watcher(), executor=LocalExecutor(1))
    store = Store(tmp_path, "toy")
    assert store.cell(cells[1].id).status().reason == "oom: memory ran out"
    for longer in (cells[2], cells[3]):
        assert store.cell(longer.id).status().reason == "oom (inferred): memory ran out at length 16"
    assert store.cell(cells[0].id).status().state == "done", "another setting"


def test_cells_of_another_study_are_taken_over(tmp_path: Path) -> None:
    run_plan(plan_of(cell(0), cell(1), name="first"), tmp_path, Watcher())
    watcher = Watcher()
    summary = run_plan(plan_of(cell(0), cell(1), cell(2), name="second"), tmp_path, watcher)
    assert watcher.words == ["2 cells with the same settings are taken over from study first"]
    assert (watcher.todo, summary.ran, summary.reused) == (1, 1, 2)
    assert list(summary.table.frame["value"]) == [0.5, 1.5, 2.5]


def named(one: Cell, name: str, **more: Any) -> Cell:
    return Cell(one.kind, one.labels | {"arm": name}, one.settings | more)


def test_a_renamed_arm_keeps_its_finished_cells_and_their_files(tmp_path: Path) -> None:
    """Also where the name is one of the settings, as of a timing; a second name of an arm that is there takes none."""
    before = [cell(0), named(cell(1), "a", arm="a"), named(cell(2), "b")]
    run_plan(plan_of(*before), tmp_path, Watcher())
    store = Store(tmp_path, "toy")
    (store.cell(before[0].id).path / "checkpoint").mkdir()
    after = [named(cell(0), "mine"), named(cell(1), "mine", arm="mine"), named(cell(2), "b"), named(cell(2), "twin")]
    watcher, plan = Watcher(), plan_of(*after)
    assert taken_over(store, after, plan.arms) == {after[0].id, after[1].id}  # as `plan` counts them
    summary = run_plan(plan, tmp_path, watcher)
    assert watcher.words == ["2 finished cells are kept under the new names of their arms"]
    assert (summary.ran, summary.reused) == (1, 3)  # twin
    assert list(summary.table.frame["arm"]) == ["mine", "mine", "b", "twin"]
    assert list(summary.table.frame["value"]) == [0.5, 1.5, 2.5, 2.5]
    assert (store.cell(after[0].id).path / "checkpoint").is_dir() and not store.cell(before[0].id).path.exists()
    assert run_plan(plan_of(*after), tmp_path, Watcher()).ran == 0


def test_two_runners_that_rename_one_cell_keep_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both find the cell under its earlier name; the second gets the lease when the first has moved it."""
    before, after = cell(0), named(cell(0), "mine")
    run_plan(plan_of(before), tmp_path, Watcher())
    find = runner_module.of_renamed_arms

    def found_by_both(store: Store, *given: Any) -> dict[str, CellFolder]:
        found = find(store, *given)
        for cell_id, earlier in found.items():
            move(earlier, store.cell(cell_id), after)
        return found

    monkeypatch.setattr(runner_module, "of_renamed_arms", found_by_both)
    summary = run_plan(plan_of(after), tmp_path, Watcher())
    assert (summary.ran, list(summary.table.frame["value"])) == (0, [0.5])


def test_a_cell_that_is_to_run_again_is_not_taken_over(tmp_path: Path) -> None:
    run_plan(plan_of(cell(0), name="first"), tmp_path, Watcher())
    run_plan(plan_of(cell(0), name="second"), tmp_path, Watcher())
    plan = plan_of(cell(0), name="first")
    assert forget(plan, tmp_path, cell(0).id) == [cell(0).id]
    assert run_plan(plan, tmp_path, Watcher(), anew=[cell(0).id]).ran == 1
    assert not Store(tmp_path, "first").cell(cell(0).id).status().reused_from


def test_an_edited_cell_is_run_again_with_a_word(tmp_path: Path) -> None:
    run_plan(plan_of(cell(0)), tmp_path, Watcher())
    path = Store(tmp_path, "toy").cell(cell(0).id).path / "measurements.jsonl"
    path.write_text(path.read_text().replace("0.5", "0.9"))
    watcher = Watcher()
    summary = run_plan(plan_of(cell(0)), tmp_path, watcher)
    assert watcher.words == [f"{cell(0).id}: measurements.jsonl does not match its checksum; the cell is run again"]
    assert list(summary.table.frame["value"]) == [0.5]


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only to root")
def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(UserError, match="cannot be written: Permission denied"):
            run_plan(plan_of(cell()), tmp_path / "results", Watcher())
    finally:
        tmp_path.chmod(0o700)


def test_a_task_travels_as_text(tmp_path: Path) -> None:
    task = Task(tmp_path, "toy", (cell(3),), Limits(time_s=5), ("quality-a-0",))
    back = Task.from_text(task.to_text())
    assert back == task
    assert back.cells[0].id == task.cells[0].id


def test_an_unknown_executor_is_named() -> None:
    with pytest.raises(UserError, match="did you mean 'slurm'"):
        make_executor("slrum", None, {})
    with pytest.raises(UserError, match="takes no options"):
        make_executor("local", None, {"partition": "gpu"})


def test_interrupting_ends_the_workers(tmp_path: Path) -> None:
    class Impatient(Watcher):
        def event(self, cell: Cell, event: dict[str, Any]) -> None:
            if event["event"] == "progress":
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_plan(plan_of(cell(0, do="sleep"), cell(1, do="sleep")), tmp_path, Impatient(), executor=LocalExecutor(2))
    counts = overview(Store(tmp_path, "toy")).counts()
    assert counts.keys() <= {"cut off", "to run"}, "the workers were ended, not waited for"


@pytest.mark.parametrize("struck", ["copytree", "rmtree"])
def test_a_move_that_is_interrupted_loses_no_finished_cell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, struck: str
) -> None:
    before, after = cell(0), named(cell(0), "mine")
    run_plan(plan_of(before), tmp_path, Watcher())
    store = Store(tmp_path, "toy")

    def interrupted(path: Path, *given: Any, **more: Any) -> None:
        if path == store.cell(before.id).path:
            raise KeyboardInterrupt

    monkeypatch.setattr(reuse_module.shutil, struck, interrupted)
    with pytest.raises(KeyboardInterrupt):
        move(store.cell(before.id), store.cell(after.id), after)
    monkeypatch.undo()
    monkeypatch.setattr("bench.run.cell_process.WORKER", ("-c", "raise SystemExit('nothing is to run')"))
    summary = run_plan(plan_of(after), tmp_path, Watcher())
    assert (summary.ran, list(summary.table.frame["value"])) == (0, [0.5])
