"""Bits/token of the test side are compared; those of the validation side stand beside, older ones are not mixed in."""

from __future__ import annotations

import math

import pandas as pd

from bench.report.analysis.comparisons import compared
from bench.report.pages.caveats import caveats
from bench.report.presentation import STUDY_ARM
from bench.report.rows.frame import as_frame
from bench.report.tables.quality import quality_tables

OLD = "backbone1 data2 diffusion1 format1 metrics3 sampling1 training2"
BESIDE = ["bits_per_token", "validation_bits_per_token"]


def beside(frame: pd.DataFrame, metric: str, value: float) -> pd.DataFrame:
    """The frame with rows of another metric where it has bits/token."""
    more = frame[frame["metric"] == "bits_per_token"].assign(metric=metric, value=value)
    return pd.concat([frame, more], ignore_index=True)


def test_the_validation_side_stands_beside_and_no_verdict_is_of_it(frame: pd.DataFrame) -> None:
    both = beside(frame, "validation_bits_per_token", 3.25)
    (table,) = quality_tables(both)
    assert table.columns[1:3] == ("Test [bits/token]", "Validation [bits/token]")
    assert table.entry("smdim", "Validation [bits/token]").value == 3.25
    assert [one.quantity.name for one in compared(both)] == [one.quantity.name for one in compared(frame)]


def test_the_table_says_at_which_steps_weights_were_kept(frame: pd.DataFrame) -> None:
    kept = beside(frame, "kept_step", 300.0)
    rows = (kept["metric"] == "kept_step") & (kept["arm"] == "smdim") & (kept["seed"] == 1)
    kept.loc[rows, "value"] = 225.0
    (table,) = quality_tables(kept)
    assert table.entry("smdim", "step kept").text == "225 / 300" and table.entry("mamba", "step kept").text == "300"
    (without,) = quality_tables(frame)
    assert without.entry("smdim", "step kept").text == "n/a"


def test_older_likelihoods_are_of_the_validation_side_and_say_so(frame: pd.DataFrame) -> None:
    renamed = frame.assign(metric=frame["metric"].replace(*BESIDE), version=OLD)
    note = frame[frame["metric"] == BESIDE[0]].assign(metric="bits_per_note", version=OLD, low=1.0, high=2.0)
    older = as_frame(pd.concat([renamed, note], ignore_index=True).drop(columns=STUDY_ARM))
    rows = older[older["metric"] == "bits_per_note"]
    assert len(rows) and rows[["value", "low", "high"]].isna().all(axis=None)
    assert set(rows["reason"]) == {"of the validation side in versions before metrics4: not mixed with the test side"}
    (table,) = quality_tables(older)
    assert "Test [bits/token]" not in table.columns and math.isfinite(
        table.entry("smdim", "Validation [bits/token]").value
    )
    assert "bits_per_token" not in {one.quantity.name for one in compared(older)}
    (words,) = [words for words in caveats(older) if "validation side" in words]
    assert words.startswith(f"bits/token of cells of `{OLD}` is of the validation side")
    newer = as_frame(note.assign(version=OLD.replace("metrics3", "metrics4")).drop(columns=STUDY_ARM))
    assert newer["value"].notna().all() and not [one for one in caveats(newer) if "validation side" in one]
