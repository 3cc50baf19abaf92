"""A/A pairs, ratios with a decision, FLOP audit, local slopes, closed forms and crossovers, from made-up timings."""

from __future__ import annotations

import io
import json
import math

import numpy as np
import pandas as pd
import pytest

from bench.report.analysis.growth import cost_exponent, meeting, repeats_of
from bench.report.analysis.times import ONE_PROCESS, cheapest, ratio_to
from bench.report.figures.marks import spread_of
from bench.report.pages.cost_summary import cost_summary, shown_lengths
from bench.report.rows.frame import as_frame
from bench.report.rows.summaries import cost_summaries
from bench.report.tables.audit import audit_tables
from bench.report.tables.cost import cost_tables
from bench.report.tables.growth import growth_tables
from bench.store.cells import MODEL, CellFolder

LENGTHS = (256, 512, 1024, 2048)
ROUNDS, REPLICATES = 12, 3
PROCESS, ROUND = 0.003, 0.003
"""Standard deviations of the logarithms of a process's time and of a round's."""


def cost_ms(arm, length):
    """`twin` is `first` under another name, `tenth` a tenth slower; `square` grows with the square, equal at 1024."""
    return {"first": length, "twin": length, "tenth": 1.1 * length, "square": length**2 / 1024}[arm] / 100


@pytest.fixture
def timed(tmp_path):
    """A results folder with raw rounds of four arms, and its frame."""
    rows, generator = [], np.random.default_rng(3)
    for arm in ("first", "twin", "tenth", "square"):
        model = {"pattern": "first" if arm == "twin" else arm}
        folder = tmp_path / f"efficiency-{arm}"
        folder.mkdir()
        (folder / "cell.json").write_text(json.dumps({"settings": {"model": model}}))
        own = []
        for length in LENGTHS:
            process = np.repeat(generator.normal(0, PROCESS, REPLICATES), ROUNDS // REPLICATES)
            raw = (cost_ms(arm, length) * np.exp(process + generator.normal(0, ROUND, ROUNDS))).tolist()
            shared = {"cell_id": folder.name, "kind": "efficiency", "arm": arm, "length": length, "session": "s"}
            shared |= {"status": "done", "batch": 1, "device": "cpu", "threads": 1, "note": "", "unit": "ms"}
            value = float(np.median(raw))
            timing = {"metric": "step_latency", "value": value, "low": value * 0.99, "high": value * 1.01, "n": ROUNDS}
            sizes = {"round_sizes": [1] * ROUNDS, "replicate_sizes": [ROUNDS // REPLICATES] * REPLICATES}
            own.append(shared | timing | sizes | {"raw": raw})
            flops = {"first": 2 * length, "square": 2 * length + length**2 / 1e3}.get(arm, 2 * length)
            for metric, factor in (("", 1.0), ("_fvcore", 1.0), ("_dispatch", 0.9)):
                note = "not counted: aten::silu, aten::fft_rfft" if metric else ""
                counted = {"metric": f"forward_gflops{metric}", "value": flops * factor, "note": note}
                own.append(shared | counted | {"unit": "GFLOPs"})
        (folder / "measurements.jsonl").write_text("".join(json.dumps(row) + "\n" for row in own))
        rows += own
    return as_frame(pd.DataFrame(rows).assign(study="toy", pattern="", direction="", kernel="")), tmp_path


def tables(timed):
    frame, folder = timed
    return {table.name: table for table in [*audit_tables(frame, folder, "first"), *growth_tables(frame, folder)]}


def test_one_model_on_two_kernels_is_no_aa_pair(timed):
    configuration = {"settings": {"model": {"pattern": "first"}, "kernels": {"scan": "torch"}}}
    (timed[1] / "efficiency-twin" / "cell.json").write_text(json.dumps(configuration))
    assert "aa" not in tables(timed)


@pytest.mark.parametrize("light", [False, True])
def test_one_model_under_two_names_is_an_aa_pair_and_nothing_else_is(timed, light):
    if light:  # a copy without configurations states what they were in its plan
        cells = [CellFolder(one.parent) for one in timed[1].glob("*/cell.json")]
        listed = [{"id": one.path.name, MODEL: one.model_hash()} for one in cells]
        (timed[1] / "study.json").write_text(json.dumps({"cells": listed}))
        for one in cells:
            (one.path / "cell.json").unlink()
    table = tables(timed)["aa"]
    assert {row[0].text for row in table.rows} == {"twin / first"} and len(table.rows) == len(LENGTHS)
    assert all(row[3].value == pytest.approx(1.0, abs=0.02) for row in table.rows)
    assert table.notes[0].startswith(
        "One model under two names: 0 of 4 pairs are called different. The intervals of 0 "
    )
    assert table.notes[0].endswith("A/A test (no pair called different, no interval without 1): passed.")


def test_a_planted_tenth_is_found_and_the_twin_is_not_tested_against_itself(timed):
    table = tables(timed)["ratios"]
    tenth = [row for row in table.rows if row[0].text == "tenth / first"]
    assert [row[5].text for row in tenth] == ["slower"] * 4 and [row[4].text for row in tenth] == ["3"] * 4
    assert all(row[3].low < 1.1 < row[3].high for row in tenth)
    assert not [row for row in table.rows if row[0].text.startswith("twin")]


def rewrite(timed, change):
    """Every row of measurements.jsonl as `change` returns it."""
    for path in timed[1].glob("*/measurements.jsonl"):
        rows = [change(json.loads(line)) for line in path.read_text().splitlines()]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def ratio(timed, arm, length=512):
    summaries = cost_summaries(timed[0]).where(metric="step_latency")
    one = summaries.first(arm=arm, length=length)
    return ratio_to(one, summaries.beside(one, "first"), summaries, timed[1])


def with_times(timed, times_ms):
    """The folder with these times of one call a replicate, by arm, at every length."""

    def change(row):
        if row["metric"] != "step_latency":
            return row
        times = times_ms[row["arm"]]
        return row | {"raw": times, "round_sizes": [1] * len(times), "replicate_sizes": [1] * len(times)}

    rewrite(timed, change)
    return timed


FIRST = [100.0, 102.0, 98.0]


@pytest.mark.parametrize(
    ("factors", "words"),
    [
        ((1.001, 0.999, 1.0), "same within 2 %"),
        ((1.101, 1.099, 1.1), "slower"),
        ((0.701, 0.699, 0.7), "faster"),
        ((1.011, 1.009, 1.01), "slower by less than matters"),
    ],
)
def test_the_verdict_is_that_of_the_interval_over_replicates_and_what_matters(timed, factors, words):
    second = [time * factor for time, factor in zip(FIRST, factors, strict=True)]
    found = ratio(with_times(timed, {"first": FIRST, "twin": FIRST, "tenth": second, "square": FIRST}), "tenth")
    assert found.words == words and found.replicates == 3
    assert found.interval.value == pytest.approx(np.exp(np.mean(np.log(factors))))


def as_memory(timed):
    """The folder with its timed calls as peaks of memory."""

    def change(row):
        return row | {"metric": "peak_memory_training"} if row["metric"] == "step_latency" else row

    rewrite(timed, change)
    return timed[0].replace("step_latency", "peak_memory_training"), timed[1]


def test_memory_of_several_processes_is_judged_as_times_are(timed):
    found = tables(as_memory(timed))
    assert "0 of 4 pairs are called different" in found["aa"].notes[0]
    assert found["memory_ratios"].title == "Memory as a multiple of first" and "ratios" not in found
    tenth = [row[5].text for row in found["memory_ratios"].rows if row[0].text == "tenth / first"]
    assert tenth == ["larger"] * 4
    at_512 = cost_summaries(as_memory(timed)[0]).where(metric="peak_memory_training", length=512)
    assert cheapest(at_512, timed[1]) == "square"
    (table,) = [one for one in cost_tables(*as_memory(timed)) if one.name == "cost_peak_memory_training"]
    assert [entry.value for row in table.rows for entry in row if entry.best and row[0].text == "square"]


def test_memory_of_one_process_decides_nothing(timed):
    frame, folder = as_memory(timed)

    def old(row):
        row.pop("replicate_sizes", None)
        return row

    rewrite(timed, old)
    assert "memory_ratios" not in tables((frame, folder))
    (table,) = [one for one in cost_tables(frame, folder) if one.name == "cost_peak_memory_training"]
    assert not [entry for row in table.rows for entry in row if entry.best]


def test_a_wide_interval_is_open_and_names_the_replicates_that_would_decide(timed):
    noisy = {
        "first": FIRST,
        "twin": [98.0, 100.0, 102.0],
        "tenth": [103.0, 99.0, 101.0],
        "square": [102.0, 98.0, 100.0],
    }
    words = ratio(with_times(timed, noisy), "tenth").words
    assert words.startswith("open: ") and words.endswith(" replicates would decide") and "seed" not in words


def test_two_replicates_call_nothing_different(timed):
    times = {"first": [100.0, 101.0], "twin": [100.0, 101.0], "tenth": [200.0, 202.01], "square": [100.0, 101.0]}
    found = ratio(with_times(timed, times), "tenth")
    assert found.interval.low > 1.9 and found.replicates == 2 and found.words.startswith("open (2 replicates)")


def test_results_of_one_process_per_arm_are_read_and_decide_nothing(timed):
    def old(row):
        row.pop("replicate_sizes", None)
        return row

    rewrite(timed, old)
    found = tables(timed)
    assert {row[5].text for row in found["ratios"].rows} == {ONE_PROCESS}
    assert {row[4].text for row in found["ratios"].rows} == {"1"}
    assert all(row[3].low < row[3].value < row[3].high for row in found["ratios"].rows)
    assert found["aa"].notes[0].endswith("not decided, one process per arm.")
    assert cheapest(cost_summaries(timed[0]).where(metric="step_latency", length=512), timed[1]) is None
    line = cost_summaries(timed[0]).where(metric="step_latency", arm="square")
    assert cost_exponent(line, timed[1])[1] == "12 rounds"


def test_an_arm_that_lost_a_replicate_is_compared_in_those_that_both_have(timed):
    lost = with_times(timed, {"first": FIRST, "twin": FIRST, "tenth": [110.0, 112.2], "square": FIRST})
    found = ratio(lost, "tenth")
    assert found.interval.value == pytest.approx(1.1) and found.replicates == 2


def test_a_crossover_pairs_the_replicates_that_both_have(timed, monkeypatch):
    """What the machine did in a replicate, half as fast in the second, is shared by both arms."""
    times = {"first": [100.0, 151.0, 120.0], "twin": [math.nan, 150.0, 121.0], "tenth": FIRST, "square": FIRST}
    lost = with_times(timed, times)
    costs = cost_summaries(lost[0]).where(metric="step_latency")
    paired = []
    monkeypatch.setattr("bench.report.analysis.growth.crossover", lambda lengths, *sides, names: paired.extend(sides))
    meeting(costs, "twin", "first", lost[1])
    assert paired == [[[150.0] * 4, [121.0] * 4], [[151.0] * 4, [120.0] * 4]]


def test_the_cheapest_arm_is_the_one_faster_than_every_other(timed):
    at_512 = cost_summaries(timed[0]).where(metric="step_latency", length=512)  # square costs half of the others there
    assert cheapest(at_512, timed[1]) == "square" and cheapest(at_512.where(arm=["first", "twin"]), timed[1]) is None
    bold = [
        (row[0].text, entry.value)
        for table in cost_tables(*timed)
        if table.name == "cost_step_latency"
        for row in table.rows
        for entry in row
        if entry.best
    ]
    assert [arm for arm, _ in bold] == ["square", "square"]  # at 256 and 512 tokens; beyond, first and twin are equal


def test_growth_has_an_interval_over_replicates(timed):
    line = cost_summaries(timed[0]).where(metric="step_latency", arm="square")
    interval, words = cost_exponent(line, timed[1])
    assert words == "3 replicates" and interval.n == 3 and interval.low < 2 < interval.high


def test_the_audit_names_what_differs_and_what_was_not_counted(timed):
    entries = tables(timed)["flop_audit"].rows[0]
    assert [entry.text for entry in entries[2:]] == ["+0.00 %", "-10.00 %", "fft_rfft, silu"]


def test_slopes_and_closed_forms_are_those_of_the_curves(timed):
    found = tables(timed)
    slopes = {row[0].text: row[1:] for row in found["slopes_step_latency"].rows}
    assert [entry.value for entry in slopes["square"]] == pytest.approx([2, 2, 2], abs=0.02)
    assert all(entry.low < 1 < entry.high or abs(entry.value - 1) < 0.01 for entry in slopes["first"])
    closed = {row[0].text: row for row in found["closed_form"].rows}
    # 2 GFLOPs a token, and 1/1000 GFLOP a squared token
    assert closed["square"][1].value == pytest.approx(2e3) and closed["square"][2].value == pytest.approx(1e3)
    assert closed["square"][3].value == pytest.approx(2000) and closed["first"][3].text == "n/a"


def test_crossovers_say_where_and_that_there_is_none(timed):
    table = tables(timed)["crossovers_step_latency"]
    place = {name: position for position, name in enumerate(table.columns)}
    rows = {row[0].text: row for row in table.rows}
    pair = rows["first"][place["square"]].text if place["first"] < place["square"] else ""
    assert pair.startswith("cheaper beyond 10") and "[" in pair
    assert rows["first"][place["tenth"]].text == "cheaper"


def test_a_study_that_only_times_prints_its_tables_and_others_none(timed, frame):
    from rich.console import Console

    console = Console(width=80, record=True, file=io.StringIO())
    for table in cost_summary(*timed):
        console.print(table)
    text = console.export_text()
    for words in (
        "One denoising step [ms]",
        "Growth with length",
        "FLOPs by three counters",
        "A/A",
        "Time as a multiple",
    ):
        assert words in text
    assert cost_summary(frame, timed[1]) == []


def test_what_fits_the_screen_is_the_powers_of_two():
    assert shown_lengths([64, 128]) == [64, 128]
    assert shown_lengths([128, 180, 256, 360, 512, 724, 1024]) == [128, 256, 512, 1024]


def test_a_round_that_was_left_out_is_no_dot(timed):
    """Of one process an arm, as older results have; the rounds of two arms still pair."""

    def one_process(row):
        sizes = [1, 0, 1, 1]
        return row | {"raw": row["raw"][:3], "round_sizes": sizes, "replicate_sizes": [4]} if "raw" in row else row

    rewrite(timed, one_process)
    summary = cost_summaries(timed[0]).first(metric="step_latency", arm="first", length=512)
    dots = spread_of(summary, 0.0, timed[1]).dots
    assert dots is not None and len(dots) == 3 and all(map(math.isfinite, dots))
    assert len(repeats_of([summary, summary], timed[1])) == 3
