"""Convergence and infilling in the quality table, and the learning curve's figure."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from bench.report.figures import draw
from bench.report.tables.quality import quality_tables


def with_falls(frame: pd.DataFrame, arm: str, falls: tuple[float, ...]) -> pd.DataFrame:
    rows = frame[(frame["arm"] == arm) & (frame["metric"] == "bits_per_token")].head(1)
    added = [rows.assign(metric="last_quarter_fall", seed=seed, value=fall) for seed, fall in enumerate(falls)]
    return pd.concat([frame, *added], ignore_index=True)


@pytest.mark.parametrize(
    ("falls", "words"),
    [
        ((0.030, 0.032), "smdim still falling by 0.031 [0.018, 0.044]."),
        ((0.0005, -0.0005), "smdim flat within 0.006."),
        ((-0.030, -0.032), "smdim rising by 0.031 [0.018, 0.044]."),
        ((0.02, 0.06), "smdim open, a fall of 0.040 [-0.214, 0.294]."),
        ((0.031,), "smdim still falling by 0.031 (one seed)."),
        ((0.003,), "smdim fell by 0.003 (one seed)."),
        ((-0.003,), "smdim rose by 0.003 (one seed)."),
    ],
)
def test_the_table_says_whether_training_had_converged(
    frame: pd.DataFrame, falls: tuple[float, ...], words: str
) -> None:
    (table,) = quality_tables(with_falls(frame, "smdim", falls))
    (note,) = [note for note in table.notes if "last quarter" in note]
    assert note.startswith("Validation bits/token in the last quarter of the training") and note.endswith(words)


def test_the_gap_of_endings_stands_beside_the_corpus_s_own(frame: pd.DataFrame) -> None:
    arm = frame[(frame["arm"] == "smdim") & (frame["metric"] == "bits_per_token")].head(1)
    bigram = frame[(frame["arm"] == "bigram") & (frame["metric"] == "bits_per_token")].head(1)
    added = [arm.assign(metric="endings_gap", value=0.4), bigram.assign(metric="endings_gap", value=0.25)]
    (table,) = quality_tables(pd.concat([frame, *added], ignore_index=True))
    (note,) = [note for note in table.notes if "end in PAD" in note]
    assert note.endswith("full ones: smdim +0.400; the corpus's own, by the token bigram: +0.250.")


def test_results_of_before_have_no_such_note(frame: pd.DataFrame) -> None:
    (table,) = quality_tables(frame)
    assert not [note for note in table.notes if "last quarter" in note]


def test_the_larger_validation_is_a_cross_beside_the_curve(frame: pd.DataFrame, results_folder: Path) -> None:
    cell = results_folder / "quality-smdim-0"
    line = {"step": 600, "elapsed_s": 40.0, "tokens": 10_000, "final_value": 3.5}
    with (cell / "history.jsonl").open("a") as stream:
        stream.write(json.dumps(line) + "\n")
    drawn = draw("learning", frame, results_folder)
    crosses = [one for one in drawn.axes[0].lines if one.get_marker() == "x"]
    assert [(list(one.get_xdata()), list(one.get_ydata())) for one in crosses if len(one.get_xdata())] == [
        ([600], [3.5])
    ]
    labels = [text.get_text() for text in drawn.legends[0].get_texts()]
    assert "larger validation" in labels
    curve = next(one for one in drawn.axes[0].lines if len(one.get_xdata()) == 10)
    assert 3.5 not in curve.get_ydata()


def test_the_level_of_the_grammar_has_the_dashes_of_its_legend(frame: pd.DataFrame, results_folder: Path) -> None:
    tested = frame[(frame["arm"] == "grammar") & (frame["metric"] == "bits_per_token")]
    validated = tested.assign(metric="validation_bits_per_token")
    drawn = draw("learning", pd.concat([frame, validated], ignore_index=True), results_folder)
    (level,) = [line for line in drawn.axes[0].lines if line.get_label() == "grammar"]
    (entry,) = [line for line in drawn.legends[0].get_lines() if line.get_label() == "grammar"]
    assert level._unscaled_dash_pattern == entry._unscaled_dash_pattern != (0, None)


def test_infilling_has_columns_and_its_references_have_rows(frame: pd.DataFrame) -> None:
    rows = frame[frame["metric"] == "bits_per_token"]
    arms = rows[(rows["kind"] == "quality") & (rows["arm"] == "smdim")].assign(metric="infill_note_f1", value=0.25)
    references = [rows[rows["arm"] == "grammar"].assign(metric="infill_note_f1", arm=arm, value=value, n=16)
                  for arm, value in (("real-vs-real", 1.0), ("another-song", 0.125))]  # fmt: skip
    (table,) = quality_tables(pd.concat([frame, arms, *references], ignore_index=True))
    column = table.columns.index("Infilled notes, F1")
    shown = {row[0].text: row[column].value for row in table.rows}
    assert (shown["smdim"], shown["(real-vs-real)"], shown["(another-song)"]) == (0.25, 1.0, 0.125)
    assert "Infilled notes, F1" not in quality_tables(frame)[0].columns
