"""Summaries: means, intervals over seeds, and what is left where figures are missing."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from bench.errors import UserError
from bench.report.analysis.comparable import kernel_conflict, lowest_apart
from bench.report.analysis.references import grammar_marks, reference_summary
from bench.report.rows.frame import as_frame, failures, summaries_kept
from bench.report.rows.summaries import cost_summaries, quality_summaries, reference_summaries


def test_a_frame_without_needed_columns_is_refused_by_name():
    with pytest.raises(UserError, match="no column metric, value"):
        as_frame(pd.DataFrame({"cell_id": ["a"], "kind": ["quality"], "arm": ["x"]}))


def test_mean_and_interval_of_two_seeds_by_hand(frame):
    summary = quality_summaries(frame).first(arm="smdim", metric="bits_per_token")
    assert summary.value == pytest.approx(3.905)
    # two values 0.01 apart: standard error 0.005, Student factor 12.7062
    assert summary.high - summary.value == pytest.approx(0.063531, abs=1e-6)
    assert (summary.done, summary.asked, summary.interval) == (2, 2, "seeds")
    assert (summary.nfe, summary.n, summary.sample_steps) == ("121-122", "16", 128)


def test_one_seed_keeps_no_interval_over_seeds(frame):
    one = frame[frame["seed"].isna() | (frame["seed"] == 0)]
    summary = quality_summaries(one).first(arm="smdim", metric="oa_mean")
    assert summary.value == pytest.approx(0.78)
    assert not summary.has_interval and summary.interval == ""


def test_a_seed_without_figure_is_counted_and_not_averaged_as_zero(frame):
    chosen = (frame["arm"] == "mamba") & (frame["seed"] == 1) & (frame["metric"] == "oa_mean")
    frame.loc[chosen, ["value", "reason"]] = [math.nan, "timeout after 600 s"]
    summary = quality_summaries(frame).first(arm="mamba", metric="oa_mean")
    assert (summary.value, summary.done, summary.asked) == (pytest.approx(0.70), 1, 2)
    assert summary.reason == "timeout after 600 s"


def test_a_failed_cost_row_is_a_point_without_figure(frame):
    summaries = cost_summaries(frame).where(arm="fam", metric="step_latency")
    assert [summary.length for summary in summaries.measured()] == [256, 512, 1024]
    failed = summaries.first(length=2048)
    assert not failed.measured and failed.reason.startswith("oom")


def test_failures_are_listed_once_a_reason(frame):
    oom, diverged = failures(frame)
    assert oom[:2] == ("fam (L = 2048)", "oom") and oom[4] == "efficiency-fam"
    assert oom[3].startswith("step_latency, sample_latency")
    assert diverged[0] == "fam (L = 512)" and diverged[4] == "quality-fam-0, quality-fam-1"


def test_figures_missing_in_finished_cells_come_after_failed_cells(frame):
    rows = (frame["arm"] == "transformer") & (frame["metric"] == "oa_mean")
    frame.loc[rows, ["value", "reason"]] = [math.nan, "too few bars"]
    assert [row[1] for row in failures(frame)] == ["oom", "diverged", "done"]


def test_intervals_over_seeds_stay_within_what_the_metric_can_be(frame):
    summary = quality_summaries(frame).first(arm="mamba", metric="oa_mean")  # 0.70 and 0.76: 0.349 to 1.111 by t
    assert (summary.low, summary.high) == (pytest.approx(0.3488, abs=1e-4), 1.0)


def test_grammar_marks_by_mean_and_by_interval(frame):
    marks = grammar_marks(quality_summaries(frame), reference_summaries(frame))
    key = ("demo/lieder", 512)
    # grammar: 4.01. smdim 3.905 +- 0.064 and transformer 3.81 +- 0.13 lie below, mamba 3.845 +- 1.84 reaches it
    assert marks[(*key, "smdim")] == marks[(*key, "transformer")] == ""
    assert marks[(*key, "mamba")] == "open"
    assert marks[(*key, "fam")] == "no more"
    without = frame[frame["arm"] != "grammar"]
    assert set(grammar_marks(quality_summaries(without), reference_summaries(without)).values()) == {"unknown"}


def test_a_reference_of_another_corpus_is_not_used(frame):
    references = reference_summaries(frame)
    assert reference_summary(references, "grammar", "bits_per_token", "demo/lieder", 512).value == 4.01
    assert reference_summary(references, "grammar", "bits_per_token", "pop909", 512) is None
    assert reference_summary(references, "grammar", "bits_per_token", "demo/lieder", 1024) is None


@pytest.mark.parametrize(
    ("kernels", "conflict"),
    [
        (["scan=numba sdpa=math", "sdpa=math", ""], ""),
        (["scan=numba sdpa=math", "scan=torch"], "scan: numba, torch"),
    ],
)
def test_only_operations_that_rows_share_can_conflict(kernels, conflict):
    assert kernel_conflict(kernels) == conflict


def test_lowest_apart_needs_intervals_that_do_not_meet(frame):
    summaries = cost_summaries(frame).where(metric="step_latency", length=256)
    # 20 x factors 1, 0.7, 0.6, 0.72 with 2 % to each side: mamba 11.76..12.24 is below smdim 13.72..14.28
    assert lowest_apart(summaries) == "mamba"
    assert lowest_apart(summaries.where(arm=["smdim", "fam"])) is None
    assert lowest_apart(summaries.where(arm="mamba")) is None


def test_points_are_made_once_within_a_report_and_anew_outside(frame):
    with summaries_kept():
        assert quality_summaries(frame) is quality_summaries(frame)
        assert quality_summaries(frame.copy()) is not quality_summaries(frame)
    first = quality_summaries(frame)
    frame.loc[frame["kind"] == "quality", "value"] += 1
    assert quality_summaries(frame)[0].value == pytest.approx(first[0].value + 1)
