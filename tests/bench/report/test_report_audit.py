"""A/A pairs, ratios with a decision, FLOP audit, local slopes, closed forms and crossovers, from made-up timings."""

from __future__ import annotations

import io
import json

import numpy as np
import pandas as pd
import pytest

from bench.report.analysis.aa import decision
from bench.report.pages.cost_summary import cost_summary, shown_lengths
from bench.report.rows.frame import as_frame
from bench.report.tables.audit import audit_tables
from bench.report.tables.growth import growth_tables
from metrics.statistics.intervals import Interval

LENGTHS = (256, 512, 1024, 2048)
ROUNDS = 12


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
            raw = (cost_ms(arm, length) * np.exp(generator.normal(0, 0.005, ROUNDS))).tolist()
            shared = {"cell_id": folder.name, "kind": "efficiency", "arm": arm, "length": length, "session": "s"}
            shared |= {"status": "done", "batch": 1, "device": "cpu", "threads": 1, "note": "", "unit": "ms"}
            value = float(np.median(raw))
            timing = {"metric": "step_latency", "value": value, "low": value * 0.99, "high": value * 1.01, "n": ROUNDS}
            own.append(shared | timing | {"raw": raw, "round_sizes": [1] * ROUNDS})
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


def test_one_model_under_two_names_is_an_aa_pair_and_nothing_else_is(timed):
    table = tables(timed)["aa"]
    assert {row[0].text for row in table.rows} == {"twin / first"} and len(table.rows) == len(LENGTHS)
    assert all(row[3].value == pytest.approx(1.0, abs=0.02) for row in table.rows)
    assert "of 4 pairs are called different" in table.notes[0] and "(all within 2%): passed" in table.notes[0]


def test_a_planted_tenth_is_found_and_the_twin_is_not_tested_against_itself(timed):
    table = tables(timed)["ratios"]
    tenth = [row for row in table.rows if row[0].text == "tenth / first"]
    assert [row[5].text for row in tenth] == ["slower"] * 4
    assert all(row[3].low < 1.1 < row[3].high for row in tenth)
    assert not [row for row in table.rows if row[0].text.startswith("twin")]


@pytest.mark.parametrize(
    ("low", "value", "high", "words"),
    [
        (0.97, 1, 1.03, "no difference found"),
        (0.98, 1, 1.02, "same within 2%"),
        (1.004, 1.008, 1.012, "same within 2%"),
        (1.002, 1.015, 1.03, "no difference found"),
        (1.01, 1.1, 1.2, "slower"),
        (0.7, 0.8, 0.9, "faster"),
    ],
)
def test_decisions(low, value, high, words):
    assert decision(Interval(value, low, high, 5)) == words
    assert decision(Interval(1.0, float("nan"), float("nan"), 1)) == "no interval"


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
