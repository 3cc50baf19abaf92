"""Machines side by side: ratios within each, cells that both hold counted once, seeds pooled where settings agree."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from bench.errors import UserError
from bench.report.analysis.machines import Machine, pooled_quality, ratio_on, shared_baseline
from bench.report.rows.summaries import quality_summaries
from bench.report.tables.machines import merged_tables
from bench.store.table import load_results

REFERENCE = Path(__file__).parents[3] / "results" / "reference" / "cpu-2-cores"


@pytest.fixture
def other(frame: pd.DataFrame) -> pd.DataFrame:
    """The made-up study on a machine three times as slow, without `fam`; its seeds are 1 and 2."""
    rows = frame[frame["arm"] != "fam"].copy()
    cost = rows["kind"] == "efficiency"
    rows.loc[cost, ["value", "low", "high"]] *= 3.0
    rows.loc[cost, "device"] = "slow"
    seed = (rows["kind"] == "quality") & (rows["seed"] == 0)
    rows.loc[seed, "seed"] = 2
    rows.loc[seed, "cell_id"] = rows.loc[seed, "cell_id"].str.replace("-0", "-2")
    return rows.reset_index(drop=True)


@pytest.fixture
def machines(frame: pd.DataFrame, other: pd.DataFrame, tmp_path: Path) -> list[Machine]:
    return [Machine("A", tmp_path / "a", frame), Machine("B", tmp_path / "b", other)]


def test_a_slower_machine_has_the_same_ratios(machines) -> None:
    first, second = (ratio_on(one, "step_latency", "smdim", 256, "transformer") for one in machines)
    assert first.interval.value == pytest.approx(0.7) and second.interval.value == pytest.approx(0.7)
    half = math.hypot(math.log(1 / 0.98), math.log(1.02))  # 0.98 to 1.02 of each figure
    assert first.own and first.interval.low == pytest.approx(0.7 / math.exp(half))
    assert first.interval.high == pytest.approx(0.7 * math.exp(half)) == second.interval.high
    counted = ratio_on(machines[0], "forward_gflops", "smdim", 256, "transformer")
    assert not counted.own and counted.interval.low == counted.interval.high == pytest.approx(0.7)


def test_what_has_no_ratio_says_why(machines, other, tmp_path: Path) -> None:
    assert ratio_on(machines[0], "step_latency", "fam", 2048, "transformer").reason.startswith("oom")
    assert ratio_on(machines[1], "step_latency", "fam", 256, "transformer").reason == ""
    changed = other.assign(kernel=other["kernel"].where(other["arm"] != "smdim", "sdpa=flash"))
    words = ratio_on(Machine("B", tmp_path, changed), "step_latency", "smdim", 256, "transformer").reason
    assert words == "ran on another kernel than transformer on B"


def test_arms_of_one_machine_are_shown_and_said(machines) -> None:
    tables = {table.name: table for table in merged_tables(machines)}
    assert "Only on A: fam." in tables["merged_machines"].notes
    both, single = tables["merged_step_latency"], tables["merged_step_latency_one_side"]
    assert {row[0].text for row in both.rows} == {"smdim", "mamba"} and len(both.rows) == 8
    assert single.columns == ("arm", "tokens", "A") and [row[0].text for row in single.rows] == ["fam"] * 4
    assert "The intervals of A and B meet at 8 of 8 places." in both.notes
    assert any(note == "B: slow, 2 threads, batch 1, kernels scan=numba sdpa=math." for note in both.notes)
    own = tables["merged_baseline"].rows[0]
    assert [entry.value for entry in own[2:]] == pytest.approx([20.0, 60.0])
    assert both.to_csv().startswith("arm,tokens,A,A low,A high,B,B low,B high,cells\n")  # no verdict without raw times


def test_a_cell_of_both_counts_once_and_other_seeds_join_it(machines) -> None:
    changed = (machines[1].frame["seed"] == 1) & (machines[1].frame["metric"] == "bits_per_token")
    machines[1].frame.loc[changed.fillna(False), "value"] += 0.25
    pooled = pooled_quality(machines)
    found = quality_summaries(pooled.frame).first(arm="smdim", metric="bits_per_token")
    assert found is not None and sorted(found.seeds) == [0, 1, 2]
    assert found.value == pytest.approx((3.90 + 3.91 + 3.90) / 3)  # of seed 1 the first machine's figure
    assert pooled.twice == 3 and pooled.largest["bits_per_token"] == pytest.approx(0.25)
    assert pooled.seeds["smdim"] == {"A": [0, 1], "B": [2]} and not pooled.apart
    rows = {
        row[0].text: row for table in merged_tables(machines) for row in table.rows if table.name == "merged_quality"
    }
    assert [entry.text for entry in rows["smdim"][-2:]] == ["3", "A: 0, 1; B: 2"]
    assert rows["(grammar)"][0].reference


def test_a_failed_cell_hides_no_finished_one_and_references_are_of_one_machine(machines) -> None:
    failed = machines[0].frame["cell_id"] == "quality-smdim-1"
    machines[0].frame.loc[failed, "value"] = math.nan
    real = machines[1].frame["kind"] == "reference"
    machines[1].frame.loc[real, "cell_id"] = "reference-other"
    machines[1].frame.loc[real, "value"] += 1.0
    pooled = pooled_quality(machines)
    found = quality_summaries(pooled.frame).first(arm="smdim", metric="bits_per_token")
    assert found is not None and found.done == 3
    rows = pooled.frame[pooled.frame["kind"] == "reference"]
    assert set(rows["cell_id"]) == {"reference-demo"}


def test_a_machine_of_costs_alone_joins_the_others(machines) -> None:
    machines[1] = replace(machines[1], frame=machines[1].frame[machines[1].frame["kind"] == "efficiency"])
    names = [table.name for table in merged_tables(machines)]
    assert {"merged_step_latency", "merged_quality"} <= set(names)


def without_seed(frame: pd.DataFrame, seed: int) -> pd.DataFrame:
    return frame[~((frame["kind"] == "quality") & (frame["seed"] == seed))].reset_index(drop=True)


def test_seeds_without_a_common_cell_are_pooled_by_their_settings_alone(frame, other, tmp_path: Path) -> None:
    machines = [Machine("A", tmp_path / "a", frame), Machine("B", tmp_path / "b", without_seed(other, 1))]
    pooled = pooled_quality(machines)
    assert set(pooled.apart) == {"smdim", "transformer", "mamba"}
    assert {"smdim (A)", "smdim (B)"} <= set(pooled.frame["arm"]) and "smdim" not in set(pooled.frame["arm"])
    names = [table.name for table in merged_tables(machines)]
    assert "merged_quality" in names and "merged_differences" not in names
    notes = next(table.notes for table in merged_tables(machines) if table.name == "merged_quality")
    assert "No verdicts: transformer, which arms are compared with, is not pooled." in notes
    for machine in machines:
        for cell, rows in machine.quality.groupby("cell_id"):
            (machine.folder / str(cell)).mkdir(parents=True)
            settings = {"seed": int(rows["seed"].iloc[0]), "model": rows["arm"].iloc[0], "steps": 600}
            settings["steps"] += cell == "quality-mamba-2"
            (machine.folder / str(cell) / "cell.json").write_text(json.dumps({"settings": settings}))
    assert pooled_quality(machines).apart == ("mamba",)


def test_a_machine_of_another_setting_between_two_joins_no_seeds(frame, other, tmp_path: Path) -> None:
    sides = [Machine("A", tmp_path / "a", frame), Machine("C", tmp_path / "c", without_seed(other, 1))]
    elsewhere = frame.copy()
    quality = elsewhere["kind"] == "quality"
    elsewhere.loc[quality, "length"] += 1
    elsewhere.loc[quality, "cell_id"] += "-longer"
    apart = set(pooled_quality(sides).apart)
    assert apart and apart <= set(pooled_quality([sides[0], Machine("B", tmp_path / "b", elsewhere), sides[1]]).apart)


def test_every_setting_says_that_there_are_no_verdicts(frame, other, tmp_path: Path) -> None:
    def sampled_twice(rows: pd.DataFrame) -> pd.DataFrame:
        again = rows[rows["kind"] == "quality"]
        return pd.concat([rows, again.assign(sample_steps=8, cell_id=again["cell_id"] + "-8")], ignore_index=True)

    sides = sampled_twice(frame), sampled_twice(without_seed(other, 1))
    tables = merged_tables([Machine(name, tmp_path / name, side) for name, side in zip("AB", sides, strict=True)])
    notes = [table.notes for table in tables if table.name in ("merged_quality_1", "merged_quality_2")]
    assert len(notes) == 2
    assert all("No verdicts: transformer, which arms are compared with, is not pooled." in one for one in notes)


def test_arms_of_one_name_that_are_other_models_are_named(machines) -> None:
    machines[1].frame.loc[machines[1].frame["arm"] == "smdim", "pattern"] = "MFA*2"
    notes = merged_tables(machines)[0].notes
    assert "smdim is not one model: A: MFA*4, 2040000 parameters; B: MFA*2, 2040000 parameters." in notes


def test_three_machines_stand_side_by_side(machines, frame, tmp_path: Path) -> None:
    table = merged_tables([*machines, Machine("C", tmp_path / "c", frame)])[1]
    assert table.columns[2:5] == ("A", "B", "C")


def test_studies_that_share_no_arm_are_refused(machines) -> None:
    machines[1].frame["arm"] = "other-" + machines[1].frame["arm"]
    with pytest.raises(UserError) as refused:
        shared_baseline(machines)
    assert str(refused.value) == (
        "merge: the studies share no arm: A has transformer, smdim, mamba, fam; "
        "B has other-transformer, other-smdim, other-mamba"
    )


@pytest.fixture
def folders(frame: pd.DataFrame, other: pd.DataFrame, tmp_path: Path, passed_on: Callable[..., Path]) -> list[str]:
    """Results folders of both machines."""
    rows = {"a": frame, "b": other}
    return [str(passed_on(tmp_path / name, rows[name], baseline={"arm": "smdim"})) for name in rows]


def test_the_command_writes_markdown_csv_and_latex(folders, tmp_path: Path) -> None:
    from bench.cli import app

    outcome = CliRunner().invoke(app, ["merge", *folders, "-o", str(tmp_path / "out")], env={"COLUMNS": "160"})
    assert outcome.exit_code == 0, outcome.output
    assert "Ratios are to smdim on the same machine." in outcome.output and "fam at" not in outcome.output
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"merged.md", "merged_step_latency.csv", "merged_quality.tex"} <= written
    latex = (tmp_path / "out" / "merged_step_latency.tex").read_text()
    assert r"\label{tab:merged_step_latency}" in latex
    assert r"{\scriptsize[0.833, 0.882]\textsuperscript{\textdagger}}" in latex
    assert "| fam | 256 |" in (tmp_path / "out" / "merged.md").read_text()


def test_a_label_of_one_study_leaves_its_arm_what_it_is(folders, tmp_path: Path) -> None:
    from bench.cli import app

    plan = json.loads((tmp_path / "a" / "study.json").read_text())
    plan["study"]["presentation"] = {"labels": {"smdim": "SMDIM (ours)"}, "arms": ["smdim", "transformer"]}
    (tmp_path / "a" / "study.json").write_text(json.dumps(plan))
    outcome = CliRunner().invoke(app, ["merge", *folders], env={"COLUMNS": "160"})
    assert outcome.exit_code == 0, outcome.output
    assert "Only on A: fam." in outcome.output and "ours" not in outcome.output


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a"], "merge: 1 given; allowed: 2 to 26 results folders"),
        (["a", "a"], "merge: one results folder is given twice; allowed: each once"),
        (["a", "empty"], "its table has no rows; run the study first"),
        (["a", "nowhere"], "no results of '{}/nowhere': {}/none holds no study; run one first"),
    ],
)
def test_what_cannot_be_merged_is_one_line(names, message, frame, tmp_path: Path, passed_on) -> None:
    from bench.cli import app

    passed_on(tmp_path / "a", frame)
    passed_on(tmp_path / "empty", frame[:0])
    words = [str(tmp_path / name) for name in names]
    outcome = CliRunner().invoke(app, ["merge", *words, "--results", str(tmp_path / "none")])
    assert isinstance(outcome.exception, UserError), outcome.output
    assert message.format(tmp_path, tmp_path) in str(outcome.exception) and "\n" not in str(outcome.exception)


@pytest.mark.skipif(not REFERENCE.is_dir(), reason="the committed results lie beside the sources only")
def test_the_committed_machines_merge() -> None:
    folders = [REFERENCE / "lieder", REFERENCE / "efficiency"]
    machines = [
        Machine(letter, folder, load_results(folder).frame) for letter, folder in zip("AB", folders, strict=True)
    ]
    assert shared_baseline(machines) == "transformer"
    for one in machines:
        found = ratio_on(one, "step_latency", "smdim", 512, "transformer")
        at_512 = one.frame[(one.frame["metric"] == "step_latency") & (one.frame["length"] == 512)]
        times = at_512.set_index("arm")["value"]
        assert found.interval.value == pytest.approx(times["smdim"] / times["transformer"], rel=0.05)
        assert found.interval.low > 1 and found.words == "slower" and not found.own
