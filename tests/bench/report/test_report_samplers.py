"""A study that varies the sampler: one table, and a line a sampler."""

from __future__ import annotations

import json

import pandas as pd
import pytest
from axes_of_names import on_sampler_axes

from bench.report.analysis.samplers import base_arm, one_a_training, varies_sampler
from bench.report.figures import draw
from bench.report.figures.style import NothingToShow
from bench.report.pages.content import report_tables
from bench.report.pages.sentences import sampler_sentences
from bench.report.presentation import presentation_of
from bench.report.rows.frame import as_frame
from bench.report.rows.summaries import quality_summaries
from bench.report.tables.samplers import sampler_tables
from bench.report.tables.summary import study_summary

CALLS = {("cached", 16): 15.4, ("cached", 512): 323.2, ("remask", 16): 15.8, ("confidence", 16): 16.0}


@pytest.fixture
def samplers(frame: pd.DataFrame) -> pd.DataFrame:
    """smdim sampled in four ways; overlap rises with the calls."""
    smdim = frame[(frame["kind"] == "quality") & (frame["arm"] == "smdim")]
    found = [frame[frame["kind"] == "reference"]]
    for (sampler, steps), calls in CALLS.items():
        rows = smdim.assign(arm=f"smdim sampler={sampler} steps={steps}", sampler=sampler, sample_steps=steps)
        rows["nfe"] = [round(calls) + seed for seed in rows["seed"]]
        rows["value"] = [
            value + {"oa_mean": calls / 10_000, "kernel_distance": -calls / 10_000}.get(metric, 0.0)
            for value, metric in zip(rows["value"], rows["metric"], strict=True)
        ]
        found.append(rows.assign(cell_id=rows["cell_id"] + f"-{sampler}-{steps}"))
    return on_sampler_axes(pd.concat(found, ignore_index=True))


def test_one_table_holds_every_sampler_with_its_calls_and_the_ceiling(samplers: pd.DataFrame) -> None:
    (table,) = sampler_tables(samplers)
    assert [tuple(entry.text for entry in row[:4]) for row in table.rows] == [
        ("smdim", "cached", "16", "15-16"),
        ("smdim", "cached", "512", "323-324"),
        ("smdim", "remask", "16", "16-17"),
        ("smdim", "confidence", "16", "16-17"),
        ("(real-vs-real)", "", "", ""),
    ]
    overlap = table.columns.index("OA mean")
    assert table.rows[1][overlap].value == pytest.approx(0.79 + 0.03232)
    assert table.rows[-1][overlap].value == 0.9


def test_every_sampler_has_its_score_in_the_summary(samplers: pd.DataFrame) -> None:
    table = study_summary(samplers)
    distance = table.columns.index("kernel distance")
    shown = {row[0].text: row[distance].text.partition(" [")[0] for row in table.rows if not row[0].reference}
    assert shown == {
        "smdim sampler=cached steps=16": "0.108",
        "smdim sampler=cached steps=512": "0.0777",
        "smdim sampler=confidence steps=16": "0.108",
        "smdim sampler=remask steps=16": "0.108",
    }


def test_a_length_at_which_nothing_was_sampled_has_no_table(samplers: pd.DataFrame) -> None:
    trained = samplers[samplers["metric"] == "bits_per_token"].assign(length=128)
    assert len(trained) and len(sampler_tables(pd.concat([samplers, trained], ignore_index=True))) == 1


def test_a_report_of_samplers_has_that_table_alone_and_others_have_none(
    samplers: pd.DataFrame, frame: pd.DataFrame, tmp_path
) -> None:
    tables = report_tables(samplers, tmp_path, "smdim")
    assert [table.name for table in tables["Quality"]] == ["samplers", "differences"] and not tables["All metrics"]
    assert {row[0].text.split(":")[1].strip() for row in tables["Quality"][1].rows} == {"Kernel distance"}
    assert sampler_tables(frame) == []
    assert "samplers" not in [table.name for table in report_tables(frame, tmp_path, "smdim")["Quality"]]


def test_words_name_the_fewest_calls_that_are_not_worse(samplers: pd.DataFrame, frame: pd.DataFrame) -> None:
    (words,) = sampler_sentences(samplers)
    assert words.startswith("Kernel distance (corpus demo/lieder, L = 512): 0.0777 with 324 calls (cached, T = 512)")
    assert "whether fewer calls are as good is open, from 0.108 with 16 calls" in words and "at least" not in words
    third = samplers[samplers["seed"] == 0]
    third = third.assign(seed=2, cell_id=third["cell_id"] + "-2", value=third["value"] + 0.001)
    (words,) = sampler_sentences(pd.concat([samplers, third], ignore_index=True))
    assert words.endswith("(cached, T = 512); fewer calls are worse.")
    assert sampler_sentences(frame) == []


def test_the_figure_has_a_line_a_sampler(samplers: pd.DataFrame, tmp_path) -> None:
    figure = draw("nfe", samplers, tmp_path)
    _, axis = figure.axes  # kernel distance, OA mean
    longest = max(axis.lines, key=lambda line: len(line.get_xdata()) if line.get_linestyle() == "-" else 0)
    assert list(longest.get_xdata()) == [15.5, 323.5]
    assert list(longest.get_ydata()) == pytest.approx([0.79 + 0.00154, 0.79 + 0.03232])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "cached", "remask", "confidence", "real-vs-real",
    ]  # fmt: skip


def test_what_training_alone_decides_is_drawn_once(samplers: pd.DataFrame, frame: pd.DataFrame, tmp_path) -> None:
    (axis,) = draw("bits", samplers, tmp_path).axes
    assert [label.get_text() for label in axis.get_xticklabels()] == ["smdim"]
    assert one_a_training(frame) is frame


def test_too_many_settings_for_a_row_of_panels_each_are_sent_to_the_nfe_figure(
    samplers: pd.DataFrame, tmp_path
) -> None:
    more = [samplers.assign(sample_steps=samplers["sample_steps"] + shift) for shift in (0, 1)]
    with pytest.raises(NothingToShow, match="8 settings of sampler and T; the nfe figure shows them"):
        draw("quality", pd.concat(more, ignore_index=True), tmp_path)


def test_labels_do_not_decide_whether_the_sampler_varies(samplers: pd.DataFrame) -> None:
    for arm in (f"smdim sampler={sampler} steps={steps}" for sampler, steps in CALLS):
        samplers = samplers.assign(study_arm=samplers["study_arm"].mask(samplers["arm"] == arm, arm))
    names = dict(zip(samplers["study_arm"].unique(), ("", "few", "many", "remask", "sure"), strict=True))
    labelled = samplers.assign(arm=samplers["study_arm"].map(names).where(samplers["study_arm"] != "", samplers["arm"]))
    assert varies_sampler(quality_summaries(labelled))
    assert set(one_a_training(labelled)["arm"]) & set(names.values()) == {"few"}


def test_a_name_alone_is_no_sampler(frame: pd.DataFrame) -> None:
    """As of trainings of 128 steps where T is 128, of a denoiser with an option `inner`, or of a label."""
    named = frame.assign(arm=frame["arm"].replace({"smdim": "smdim steps=128", "mamba": "net inner=64"}))
    assert not varies_sampler(quality_summaries(named)) and one_a_training(named) is named


def test_axes_of_a_study_say_what_of_a_name_is_a_sampler(samplers: pd.DataFrame, tmp_path) -> None:
    """A study of steps of training and of T, as `study.json` records it."""
    axes = {"arm": ["smdim"], "train.steps": [128, 512], "sample.steps": [8, 128]}
    arms = [f"smdim steps={train} steps={steps}" for train in (128, 512) for steps in (8, 128)]
    plan = {"study": {"axes": axes}, "cells": [{"kind": "quality", "labels": {"arm": arm}} for arm in arms]}
    (tmp_path / "study.json").write_text(json.dumps(plan))
    drawn = samplers[samplers["arm"] == "smdim sampler=cached steps=16"]
    rows = [drawn.assign(arm=arm, sample_steps=int(arm.rpartition("=")[2])) for arm in arms]
    stored = pd.concat(rows).drop(columns=["study_arm", "place", "colour", "axes"])
    summaries = quality_summaries(as_frame(stored, presentation_of(tmp_path)))
    assert {one.arm: base_arm(one) for one in summaries} == {
        "smdim steps=128 steps=8": "smdim steps=128",
        "smdim steps=128 steps=128": "smdim steps=128",
        "smdim steps=512 steps=8": "smdim steps=512",
        "smdim steps=512 steps=128": "smdim steps=512",
    }
