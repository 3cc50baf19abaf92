"""Runs of a study that tunes: its phases, the ids of what follows, divergence, resumption. Nothing is trained."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from bench.run.overview import overview
from bench.run.plan import Plan, make_plan
from bench.run.runner import forget, run_plan
from bench.run.task import OnEvent, Task, end_event
from bench.store.cells import Store
from bench.study.grid import Cell, load_study

BEST = {"smdim": 0.002, "transformer": 0.004}


class Instant:
    """An executor that makes up each cell's result: 4 bits/token at the best rate, one more for each factor of 2."""

    def run(self, tasks: Sequence[Task], leases: object, others: object, on_event: OnEvent) -> None:
        for cell in (cell for task in tasks for cell in task.cells):
            folder = tasks[0].store.cell(cell.id)
            folder.begin(cell)
            arm, state, value, why = cell.labels["arm"], "done", 4.0, ""
            if arm == "lost" and cell.kind == "tuning":
                state, value, why = "diverged", math.nan, "diverged: the loss blew up at step 1"
            elif cell.kind != "reference":
                value += abs(math.log2(cell.settings["train"]["learning_rate"] / BEST[arm]))
            rows = [{"metric": "validation_bits_per_token", "value": value, "unit": "bits/token", "reason": why}]
            on_event(cell, end_event(folder.finish(state, rows, reason=why)))


FILE = """\
name: tiny
question: which rate
baseline:
  arm: transformer
  corpus: CORPUS
  length: 32
  model: {width: 16, layers: 6}
  diffusion: {steps: 32}
  train: {steps: 8, warmup_steps: 1}
  sample: {pieces: 2, steps: 4}
axes:
  arm: [smdim, {name: transformer, arm: transformer}, {name: lost, arm: mamba}]
tune: {train.learning_rate: [0.001, 0.002], seeds: [100], share: 0.5}
seeds: [0, 1]
measure: {quality: {}}
"""


class Silent:
    """A watcher that remembers how many cells each phase has."""

    def __init__(self) -> None:
        self.phases: list[int] = []

    def say(self, line: str) -> None: ...

    def begin(self, todo: list[Cell], reused: int) -> None:
        self.phases.append(len(todo))

    def event(self, cell: Cell, event: dict[str, Any]) -> None: ...


@pytest.fixture
def plan_at(tmp_path: Path, dichterliebe: Path) -> Callable[..., Plan]:
    """The plan of the study with changes, by the results of a folder."""
    path = tmp_path / "tiny.yaml"

    def make(*overrides: str, drop: str = "") -> Plan:
        text = FILE.replace("CORPUS", f"folder:{dichterliebe}")
        path.write_text("".join(line for line in text.splitlines(True) if not drop or drop not in line))
        return make_plan(load_study(path, overrides), results=tmp_path / "results")

    return make


def shown(plan: Plan, arm: str, kind: str = "quality") -> list[tuple[Any, ...]]:
    names = ("seed", "tuned", "reading")
    return [
        tuple(cell.labels.get(name) for name in names)
        for cell in plan.cells
        if (cell.kind, cell.labels["arm"]) == (kind, arm)
    ]


def test_the_phases_of_a_run(plan_at: Callable[..., Plan], tmp_path: Path) -> None:
    results, watcher = tmp_path / "results", Silent()
    before = plan_at()
    assert [cell.kind for cell in before.cells] == ["reference", *["tuning"] * 6]
    assert len(before.later) == 3 + 3 + 2 * 2 * 3  # an extension an arm, the check, both readings of two seeds
    summary = run_plan(before, results, watcher, executor=Instant())
    # 0.002 is the largest tried: one value beyond for the two arms that gave a figure; then own, shared and check cells
    assert watcher.phases == [7, 2, 2 * 2 + 2 + 2]
    assert summary.ran == 17 and len(summary.failed) == 2
    after = plan_at()
    assert shown(after, "smdim", "tuning") == [(100, "lr 0.001", ""), (100, "lr 0.002", ""), (100, "lr 0.004", "")]
    assert shown(after, "smdim") == [(0, "lr 0.002", "own, shared"), (1, "lr 0.002", "own, shared")]
    assert shown(after, "transformer") == [
        (0, "lr 0.004", "own"), (1, "lr 0.004", "own"), (0, "lr 0.002", "shared"), (1, "lr 0.002", "shared"),
    ]  # fmt: skip
    assert shown(after, "transformer", "tuning")[-2:] == [
        (100, "lr 0.004", "full length"),
        (100, "lr 0.002", "full length"),
    ]
    assert shown(after, "lost") == []
    assert "lost: no cells of its own, nothing to choose from: diverged: the loss blew up at step 1" in after.notes
    assert Store(results, "tiny").plan().get("later", 0) == 0
    assert after.later == [] and len(overview(Store(results, "tiny")).cells) == 17

    # a run that was cut off: what is lost is run again, and nothing else; what it decides is the same
    lost = next(cell.id for cell in after.cells if cell.kind == "tuning" and cell.labels["arm"] == "smdim")
    forget(after, results, lost)
    again = Silent()
    assert run_plan(plan_at(), results, again, executor=Instant()).ran == 1
    assert [cell.id for cell in plan_at().cells] == [cell.id for cell in after.cells]

    # ids hold the chosen value as if it stood in the file, whatever is tried elsewhere
    stated = plan_at("train.learning_rate=0.002", drop="tune:")
    wanted = {cell.id for cell in stated.cells if cell.labels["arm"] == "smdim"}
    assert {cell.id for cell in after.cells if cell.kind == "quality" and cell.labels["arm"] == "smdim"} == wanted
    own = [{"name": "transformer", "arm": "transformer", "train": {"learning_rate": 0.5}}, "smdim"]
    other = plan_at(f"axes.arm={own}")
    assert {cell.id for cell in other.cells if cell.kind == "quality" and cell.labels["arm"] == "smdim"} == wanted
    assert shown(other, "transformer") == [(0, "lr 0.5", "own, shared"), (1, "lr 0.5", "own, shared")]

    alone = plan_at("tune.shared=false")
    assert shown(alone, "transformer") == [(0, "lr 0.004", "own"), (1, "lr 0.004", "own")]


def test_a_sweep_that_decides_nothing_more_is_recorded(plan_at: Callable[..., Plan], tmp_path: Path) -> None:
    results = tmp_path / "results"
    plan = plan_at("axes.arm=[{name: lost, arm: mamba}]")
    run_plan(plan, results, Silent(), executor=Instant())
    recorded = Store(results, "tiny").plan()
    assert recorded.get("later", 0) == 0
    assert (
        "lost: no cells of its own, nothing to choose from: diverged: the loss blew up at step 1" in recorded["notes"]
    )


def test_a_sweep_cell_is_short_and_samples_nothing(plan_at: Callable[..., Plan]) -> None:
    (one, *_) = [cell for cell in plan_at().cells if cell.kind == "tuning"]
    assert one.settings["train"]["steps"] == 4 and one.settings["seed"] == 100
    assert not {"sample", "infilling"} & one.settings.keys()
    assert one.id.startswith("tuning-smdim-")
