"""Report of a study that tunes: the sweep, its cost, and two readings that are never mixed."""

import json
from pathlib import Path

import pandas as pd

from bench.report.figures import draw
from bench.report.pages.content import Section, report_tables
from bench.report.presentation import all_rows, set_apart
from bench.report.rows.frame import failures
from bench.report.rows.summaries import quality_summaries
from bench.report.rows.tuning import shared_reading, sweeps
from bench.report.tables.table import Table
from bench.report.tables.tuning import tuning_sentences


def tables(tuned: tuple[pd.DataFrame, Path], section: Section) -> dict[str, Table]:
    return {table.name: table for table in report_tables(*tuned, "transformer")[section]}


def test_the_table_of_the_sweep(tuned: tuple[pd.DataFrame, Path]) -> None:
    found = tables(tuned, Section.TUNING)
    table = found["tuning"]
    assert table.columns == ("arm", "lr 0.001", "lr 0.002", "lr 0.004", "own", "how sure", "edge")
    assert [[entry.text for entry in row] for row in table.rows] == [
        ["smdim", "5.10", "4.90", "5.10", "lr 0.002", "chosen by 0.200 bits, se 0.000", ""],
        ["transformer", "5.10", "5.08", "5.03", "lr 0.004", "chosen by 0.050 bits, se 0.010", "lr: the largest tried"],
        ["lost", "inf", "inf", "inf", "none", "nothing to choose from: diverged: the loss blew up", ""],
    ]
    assert [[entry.best for entry in row[1:4]] for row in table.rows] == [
        [False, True, False],
        [False, False, True],
        [False, False, False],
    ]
    notes = "\n".join(table.notes)
    assert "Shared by all arms: lr 0.002, the lowest mean over arms" in notes
    assert "every arm at the shared value: smdim 4.90; transformer 5.08" in notes
    assert "lr 0.004 4.20; lr 0.002 4.10 bits/token; the order at full length is another, with another best" in notes
    cost = found["tuning_cost"]
    assert [[entry.text for entry in row] for row in cost.rows] == [
        ["sweep", "20", "200", "52.0"],
        ["study", "9", "90", "90.0"],
    ]
    assert cost.notes[0].startswith("The sweep took 58 % of")


def test_the_two_readings_are_never_mixed(tuned: tuple[pd.DataFrame, Path]) -> None:
    frame, _ = tuned
    shared = shared_reading(frame)
    assert shared is not None
    means = [
        {one.arm: round(one.value, 3) for one in quality_summaries(rows).where(metric="bits_per_token")}
        for rows in (frame, shared)
    ]
    assert means == [{"smdim": 4.51, "transformer": 4.41}, {"smdim": 4.51, "transformer": 5.01}]
    own, other = tables(tuned, Section.QUALITY), tables(tuned, Section.SHARED)
    assert set(other) == {f"shared_{name}" for name in own}
    assert all(
        "own values, chosen by the sweep: smdim lr 0.002; transformer lr 0.004." in t.notes[-1] for t in own.values()
    )
    assert all(
        "every arm at the shared values: smdim lr 0.002; transformer lr 0.002." in t.notes[-1] for t in other.values()
    )
    verdicts = [table.rows[0][1].value for table in (own["differences"], other["shared_differences"])]
    assert [round(value, 3) for value in verdicts] == [0.1, -0.5]


def test_an_unfinished_point_is_not_chosen(tuned: tuple[pd.DataFrame, Path]) -> None:
    frame, folder = tuned
    partial = frame[frame["cell_id"] != "tuning-smdim-0.002100"]
    (smdim, *_) = sweeps(partial, folder)
    assert smdim.choice.best is not None and smdim.choice.best.point == {"train.learning_rate": 0.001}


def test_words_failures_and_figure(tuned: tuple[pd.DataFrame, Path]) -> None:
    frame, folder = tuned
    doubt, words = tuning_sentences(frame, folder)
    assert doubt.startswith(
        "The sweep's choice for transformer does not hold over the whole length of training (lr 0.002 is"
    )
    assert "smdim lr 0.002 (chosen by 0.200 bits, se 0.000)" in words and "lost not run (nothing to choose" in words
    assert "lost" in failures(frame)[0][0] and failures(frame)[0][2] == "diverged: the loss blew up"
    axis = draw("tuning", frame, folder, width=7).axes[0]
    assert axis.get_xscale() == "log" and axis.get_xlabel() == "learning rate"
    assert [label.get_text() for label in axis.get_xticklabels()] == ["0.001", "0.002", "0.004"]
    assert sum(line.get_marker() == "x" for line in axis.lines) == 3  # no figure of `lost`
    assert [line.get_xdata()[0] for line in axis.lines if line.get_markersize() == 9] == [0.002, 0.004]


def test_a_study_without_a_sweep_has_none_of_it(frame: pd.DataFrame, results_folder: Path) -> None:
    found = report_tables(frame, results_folder, "transformer")
    assert found[Section.TUNING] == [] and found[Section.SHARED] == [] and tuning_sentences(frame, results_folder) == []


def test_values_from_the_sweep_of_another_study_are_named(frame: pd.DataFrame, results_folder: Path) -> None:
    file = results_folder / "study.json"
    content = json.loads(file.read_text())
    content["study"]["tuned_in"] = "rates"
    file.write_text(json.dumps(content))
    own = frame.assign(tuned=frame["arm"].map({"smdim": "lr 0.002", "transformer": "lr 0.001"}).fillna(""))
    assert tuning_sentences(own, results_folder) == [
        "Each arm runs at the values with its lowest validation bits/token in the sweep of study rates: "
        "transformer lr 0.001; smdim lr 0.002."
    ]
    table = report_tables(own, results_folder, "transformer")[Section.QUALITY][0]
    assert "chosen by the sweep of study rates: " in table.notes[-1]
    assert tuning_sentences(frame, results_folder) == [
        "All arms run at the same values, where each has its lowest validation bits/token in the sweep of study rates."
    ]


def test_an_arm_that_is_not_shown_enters_the_shared_reading_at_the_shared_value(
    tuned: tuple[pd.DataFrame, Path],
) -> None:
    frame, _ = tuned
    other = frame[frame["arm"] == "transformer"].assign(arm="hidden")
    frame = pd.concat([frame, other.assign(cell_id="hidden-" + other["cell_id"])], ignore_index=True)
    shared = shared_reading(set_apart(frame, frame["arm"] == "hidden"))
    assert shared is not None
    found = [quality_summaries(rows).where(metric="bits_per_token") for rows in (shared, all_rows(shared))]
    assert [{one.arm: (round(one.value, 3), one.done) for one in rows} for rows in found] == [
        {"smdim": (4.51, 3), "transformer": (5.01, 3)},
        {"smdim": (4.51, 3), "transformer": (5.01, 3), "hidden": (5.01, 3)},
    ]


def test_shared_value_and_cost_are_of_all_arms(tuned: tuple[pd.DataFrame, Path]) -> None:
    frame, folder = tuned
    sweep, cost = report_tables(set_apart(frame, frame["arm"] == "smdim"), folder, "transformer")[Section.TUNING]
    assert [row[0].text for row in sweep.rows] == ["transformer", "lost"]
    assert "Shared by all arms: lr 0.002, the lowest mean over arms" in "\n".join(sweep.notes)
    assert [[entry.text for entry in row] for row in cost.rows] == [
        ["sweep", "20", "200", "52.0"],
        ["study", "9", "90", "90.0"],
    ]
