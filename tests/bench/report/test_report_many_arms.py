"""A report of a study with many arms stays readable: short sentences, few rows of failures, crossovers in words."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from bench.report import write_report
from bench.report.pages.content import draw_all
from bench.report.pages.sentences import in_short
from bench.report.rows.frame import as_frame, failures
from bench.report.rows.summaries import cost_summaries
from bench.report.tables.growth import closed_form_table, crossing
from metrics.statistics.scaling import Crossover

ARMS = [f"arm-{place}" for place in range(9)]


@pytest.fixture
def timed():
    """Nine arms whose FLOPs are 2, 3, ... 10 GFLOPs a thousand tokens, the last one without a latency."""
    rows = []
    for place, arm in enumerate(ARMS):
        for length in (500, 1000, 2000):
            shared = {"cell_id": f"efficiency-{arm}", "kind": "efficiency", "arm": arm, "length": length}
            flops = (2 + place) * length / 1000 * (1 + 1e-16 * length)
            rows.append(shared | {"metric": "forward_gflops", "value": flops, "unit": "GFLOPs", "reason": ""})
            rows.append(shared | {"metric": "compile_time", "value": math.nan, "reason": "not asked for"})
            reason = "oom: 4096 bytes asked for" if arm == ARMS[-1] else ""
            rows.append(
                shared | {"metric": "step_latency", "value": math.nan if reason else 1.0 + place, "reason": reason}
            )
    return as_frame(pd.DataFrame(rows).assign(study="toy", status="done", pattern="MF*3", kernel="scan=c"))


def test_of_many_arms_the_cheapest_and_the_dearest_are_named(timed):
    flops = next(words for words in in_short(timed, ARMS[0]) if words.startswith("FLOPs"))
    assert flops == (
        "FLOPs of a forward pass at 2000 tokens, as a multiple of arm-0: arm-1 1.50, arm-2 2.00, arm-3 2.50, arm-4 "
        "3.00, arm-5 3.50, 2 others up to arm-8 5.00."
    )


def test_what_all_arms_lack_is_one_short_row(timed):
    rows = {reason: arms for arms, _, reason, _, _ in failures(timed)}
    assert rows["not asked for"] == "all 9 arms (L = 500, 1000, 2000)"
    assert rows["oom: 4096 bytes asked for"] == "arm-8 (L = 500, 1000, 2000)"


def test_rounding_is_no_quadratic_term(timed):
    table = closed_form_table(cost_summaries(timed).where(metric="forward_gflops"), ARMS[:1])
    assert [entry.value for entry in table.rows[0][1:]] == [
        pytest.approx(2),
        0.0,
        pytest.approx(math.nan, nan_ok=True),
        0.0,
    ]
    assert table.rows[0][3].reason == "no term in L^2"


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (0.0, math.inf, "undecided"),
        (0.0, 900.0, "cheaper beyond 700 [?, 900]"),
        (math.nan, math.nan, "cheaper beyond 700"),
    ],
)
def test_a_crossover_whose_interval_holds_every_length_is_undecided(low, high, words):
    assert crossing(Crossover(700.0, low, high, "a is cheaper beyond 700"), "a").text == words


def test_figures_of_cells_that_a_study_does_not_have_are_named_once(timed, tmp_path):
    drawn, notes = draw_all(timed, tmp_path)
    assert list(drawn) == ["cost", "scaling"]
    start = "Not drawn, for the study has no such cells: "
    assert notes[0].startswith(start)
    assert {"quality", "bits", "pareto"} <= set(notes[0].removeprefix(start).rstrip(".").split(", "))
    assert notes[1:] == ["Not drawn: phases figure: no training step was timed in parts."]


def test_a_table_of_two_devices_has_a_report_with_what_may_not_be_mixed_said(frame, tmp_path, request):
    gpu = frame[frame["kind"] == "efficiency"].assign(device="cuda:0", kernel="scan=triton")
    both = pd.concat([frame, gpu], ignore_index=True)
    text = write_report(tmp_path, table=both).read_text()
    for words in (
        "Timings of several devices are in this study (cpu, cuda:0); they are not ranked against each other.",
        "Costs on another device, with other threads or another batch stand in a table of their own",
        "Only what was measured on cpu",
    ):
        assert words in text
    request.getfixturevalue("no_figures")  # drawn above
    forced = write_report(tmp_path, table=both, force=True).read_text()
    assert r"\* ranked although device, threads or batch differ." in forced
    assert r"they are ranked together, as was asked, and marked \*." in forced
