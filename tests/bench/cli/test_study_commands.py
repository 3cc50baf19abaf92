"""plan, status, logs, diff and retry on a results folder as a run leaves it."""

from __future__ import annotations

import gc
import json
import math
import re
from pathlib import Path

import pytest
from scipy import stats
from typer.testing import CliRunner

from bench.cli.options import results_folder
from bench.errors import UserError
from bench.run.lease import Leases
from bench.run.overview import overview
from bench.store.cells import Store, identity
from bench.study.content import SETTING_GROUPS
from bench.study.grid import Cell
from metrics.headlines import PRIMARY
from metrics.quantities import Margin

ROWS = [
    {"metric": "bits_per_token", "value": 4.0, "unit": "bits/token"},
    {"metric": "training_time", "value": 10.0, "unit": "s"},
]


def cell(arm: str, seed: int, steps: int = 100) -> Cell:
    labels = {"arm": arm, "seed": seed, "length": 64, "corpus": "demo", "parameters": 1000, "version": "f1"}
    settings = {"kind": "quality", "arm": arm, "seed": seed, "length": 64, "train": {"steps": steps, "batch": 4}}
    return Cell("quality", labels, settings)


CELLS = [cell(arm, seed) for arm in ("a", "b") for seed in (0, 1)]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Study `toy`: a/0 and a/1 done in 12 s each, b/0 failed, b/1 still to run."""
    store = Store(tmp_path / "results", "toy")
    store.write_plan({"name": "toy", "question": "?", "measure": {"quality": {}}}, CELLS, [])
    for number, one in enumerate(CELLS[:3]):
        folder = store.cell(one.id)
        folder.begin(one)
        folder.mark_running({"device": "cpu", "load_1_min": number, "libraries": {"torch": f"2.{number}"}})
        failed = one.labels["arm"] == "b"
        folder.finish("oom" if failed else "done", ROWS, reason="oom: too large" if failed else "", peak_bytes=2**30)
        status = json.loads((folder.path / "status.json").read_text())
        folder.write_status(status | {"started": 100.0, "ended": 112.0})
    (store.cell(CELLS[0].id).path / "checkpoint").mkdir()
    (store.cell(CELLS[0].id).path / "checkpoint" / "weights").write_text("large")
    return store


@pytest.fixture
def command(store: Store):  # type: ignore[no-untyped-def]
    from bench.cli import app

    def run(*words: str) -> str:
        result = CliRunner().invoke(app, [*words, "--results", str(store.results)], env={"COLUMNS": "200"})
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.output

    return run


def test_status_counts_names_the_running_and_tells_the_time_left(store: Store, command) -> None:  # type: ignore[no-untyped-def]
    text = command("status", "toy")
    assert "4 cells: 2 done, 1 to run, 1 oom; about 12 s left" in text
    assert "oom: too large" in text
    with Leases(store.results) as owner:
        assert owner.take(identity(CELLS[3].id))
        folder = store.cell(CELLS[3].id)
        folder.begin(CELLS[3])
        folder.mark_running({})
        folder.write_progress({"stage": "training", "loss": 1.25, "done": 3, "total": 9, "pid": 77, "at": 1.0})
        text = command("status", "toy")
        assert "running" in text
        assert "training loss 1.250 3/9" in text
        assert " 77 " in text
        assert overview(store).counts() == {"done": 2, "running": 1, "oom": 1}
    assert overview(store).counts() == {"done": 2, "cut off": 1, "oom": 1}


def test_logs_and_diff_of_cells_named_by_their_beginning(store: Store, command) -> None:  # type: ignore[no-untyped-def]
    (store.cell(CELLS[2].id).path / "log.txt").write_text("one\ntwo\nthree\n")
    text = command("logs", "quality-b", "--lines", "2")
    assert "oom: too large" in text
    assert "last 2 of 3 lines" in text
    assert "two" in text
    assert "one" not in text.split("lines:")[1]
    text = command("diff", CELLS[0].id, f"toy/{CELLS[1].id}")
    rows = [line for line in text.splitlines() if "│" in line]
    assert [row.split("│")[1].strip() for row in rows] == ["seed", "environment.libraries.torch"]
    with pytest.raises(UserError, match="fits 2 cells"):
        command("logs", "quality-a")
    with pytest.raises(UserError, match="no cell 'quality-c'"):
        command("logs", "quality-c")


def test_retry_wants_to_know_what(command) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UserError, match="--failed, or --cell"):
        command("retry", "toy")


def test_estimates_scale_with_what_is_trained(store: Store) -> None:
    from bench.run.estimate import Estimator, training_cost, training_of, wall_time_s

    estimator = Estimator(store.results)
    one = estimator.estimate(cell("c", 0, steps=300))  # 2 s beside the training, and 10 s per 100 steps
    assert one.time_s == pytest.approx(32.0)
    assert one.memory_bytes == 2**30
    assert one.disk_bytes > 500
    assert wall_time_s([(CELLS[0], one), (CELLS[1], one)], jobs=2) == pytest.approx(32.0)
    drawn = [
        Cell("quality", CELLS[0].labels, CELLS[0].settings | {"parts": {}, "sample": {"reveal": reveal}})
        for reveal in (1, 2)
    ]
    assert one.training_s == pytest.approx(30.0)
    assert wall_time_s([(cell, one) for cell in drawn], jobs=1) == pytest.approx(34.0)  # one training, two samplings
    assert wall_time_s([(drawn[0], one)], jobs=1, trained=[training_of(drawn[1])]) == pytest.approx(2.0)
    sweep = Cell("tuning", CELLS[0].labels, CELLS[0].settings | {"parts": {}})  # a done cell that trains nothing: ""
    assert wall_time_s([(sweep, one), (sweep, one)], jobs=1, trained=[training_of(sweep)]) == pytest.approx(64.0)
    assert Estimator(store.results / "nowhere").estimate(CELLS[0]).time_s != one.time_s
    weightless = Cell("quality", CELLS[0].labels | {"parameters": 0}, CELLS[0].settings)
    assert estimator.estimate(weightless).time_s >= 0
    for seed in (0, 1):  # a budget in seconds: as long as it says, and not scaled with what others train
        timed = Cell("quality", CELLS[0].labels, CELLS[0].settings | {"seed": 7 + seed, "train": {"seconds": 10.0}})
        assert estimator.estimate(timed).time_s == (12.0 if seed else 10.0)
        folder = store.cell(timed.id)
        folder.begin(timed)
        folder.finish("done", ROWS)
        folder.write_status(json.loads((folder.path / "status.json").read_text()) | {"started": 100.0, "ended": 112.0})
        estimator = Estimator(store.results)
    assert estimator.estimate(cell("c", 0, steps=300)).time_s == pytest.approx(32.0)
    # 6e9 FLOPs are a thousand million weights at a position, each of which stands for four tokens
    stem = {"model": {"stride": 4}}
    assert training_cost("quality", {}, {"train": {"flops": 6e9}} | stem) == 1e9
    train = {"train": {"steps": 2, "batch": 3}, "length": 8}
    assert training_cost("quality", {"parameters": 10}, train | stem) == 120
    by_block = {block: train | {"diffusion": {"block": block}} for block in (4, 8)}  # by blocks noisy and clean tokens
    assert [training_cost("quality", {}, by_block[block]) for block in (4, 8)] == [96, 48]


def test_a_cell_that_a_runner_begins_meanwhile_is_no_error_of_an_estimate(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bench.run.estimate import Estimator

    found = list(store.results.glob("*/*-*/status.json"))
    monkeypatch.setattr(Path, "glob", lambda path, pattern: [*found, path / "toy" / "quality-gone-0" / "status.json"])
    assert len(Estimator(store.results).done) == len(found) - 1


def finished(store: Store, values: dict[tuple[str, int], float]) -> None:
    for one in CELLS:
        folder = store.cell(one.id)
        folder.begin(one)
        value = values[one.labels["arm"], one.labels["seed"]]
        folder.finish("done", [{"metric": "bits_per_token", "value": value, "unit": "bits/token"}])


def test_a_plan_takes_the_spread_from_seeds_done_then_from_other_studies_then_from_an_assumption(store: Store) -> None:
    from bench.report.analysis.prospects import done_in, done_so_far, prospects, warnings
    from bench.store.table import load_results

    setting = (CELLS[0].labels.get("corpus", ""), CELLS[0].labels.get("length"))
    two = {setting: dict.fromkeys(PRIMARY, 2)}
    (assumed, kernel) = prospects(two, 2, {}, done_in(store.folder))
    assert assumed.source is not None and assumed.source.spread == pytest.approx(0.041)
    assert "an assumption" in assumed.source.words and assumed.shown_from == math.inf
    assert kernel.quantity.name == "kernel_distance"
    assert warnings(two, 2) == ["2 seeds decide nothing: at least 3"] and warnings(two, 3) == []
    assert warnings({setting: dict.fromkeys(PRIMARY, 1)}, 3) == ["one arm: nothing is compared"]
    finished(store, {("a", 0): 4.0, ("a", 1): 4.1, ("b", 0): 4.3, ("b", 1): 4.6})
    (own, _) = prospects(two, 4, {}, done_in(store.folder))
    # differences 0.3 and 0.5: standard deviation 0.1414, of one arm 0.1
    assert own.source is not None and own.source.spread == pytest.approx(0.1)
    assert own.source.words == "2 seeds done in this study" and own.margin == 0.03
    # noncentral t: a difference of one pair of arms at 97.5 %, 4 seeds, 3 degrees of freedom, chance 0.8
    shift = own.shown_from / (0.1 * math.sqrt(2 / 4))
    critical = stats.t.isf(0.0125, 3)
    chance = stats.nct.sf(critical, 3, shift) + stats.nct.cdf(-critical, 3, shift)
    assert chance == pytest.approx(0.8, abs=0.01)
    assert prospects(two, 4, {own.quantity.name: Margin(0.5)}, done_in(store.folder))[0].needed.seeds <= 4
    ((_, arm, seeds, value, verdict),) = done_so_far(done_in(store.folder))
    assert (arm, seeds, value) == ("b", "2", "+0.4000") and verdict.startswith("open (2 seeds): ")
    load_results(store.folder).save()
    (other, _) = prospects(two, 4, {}, done_in(store.results / "another"))
    assert other.source is not None and other.source.spread == pytest.approx(0.1)
    assert other.source.words.startswith("2 seeds of study toy")


def test_the_schema_knows_every_group_and_the_shipped_studies(command) -> None:  # type: ignore[no-untyped-def]
    from bench.cli import app

    schema = json.loads(CliRunner().invoke(app, ["schema"]).output)
    baseline = schema["$defs"]["Baseline"]["properties"]
    groups = {name: schema["$defs"][one["$ref"].split("/")[-1]] for name, one in baseline.items() if "$ref" in one}
    assert "learning_rate" in groups["train"]["properties"]
    assert "pitch_low" in groups["tokenizer"]["properties"]
    assert "width" in groups["model"]["properties"]
    assert all(groups[name]["additionalProperties"] is False for name in SETTING_GROUPS)
    assert not any("required" in one for one in (schema, *groups.values()))
    assert {"include", "axes", "limits", "measure"} <= set(schema["properties"])
    assert {"enum": ["params", "flops"], "type": "string"} in schema["properties"]["match"]["anyOf"]


def test_a_study_for_a_gpu_is_planned_where_there_is_none(command, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    text = command("plan", "gpu/training_step")
    assert gc.isenabled()
    assert "device = 'cuda': not on this machine; there are auto, cpu; planned as if timed here" in text
    assert "3 cells to run" in text
    assert re.search(r"timing session of 3 arms, 1 lengths and 3 replicates on \d+ cores: \d+:\d\d min to", text)
    with pytest.raises(UserError, match="device = 'cuda': not on this machine"):
        command("run", "gpu/training_step")


def test_studies_in_folders_are_listed(command) -> None:  # type: ignore[no-untyped-def]
    from bench.cli import app

    text = CliRunner().invoke(app, ["list", "studies"], env={"COLUMNS": "200"}).output
    assert "quickstart" in text and "gpu/efficiency_batch32" in text and "papers/smdim" not in text


def test_results_are_found_by_the_file_of_their_study(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("name: toy\n")
    assert results_folder(str(file), store.folder.parent) == store.folder
    toy = file.rename(tmp_path / "toy.yaml")
    for unreadable in ("question: no name\n", "name: [", ""):
        toy.write_text(unreadable)
        assert results_folder(str(toy), store.folder.parent) == store.folder
    with pytest.raises(UserError, match="no results of"):
        results_folder(str(tmp_path / "mine.yaml"), store.folder.parent)
