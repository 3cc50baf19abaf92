"""What one record of samples says as rows: clocks that stand still or differ, kernels that are slow."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from bench.measure.efficiency.latency_rows import spreads_of
from bench.measure.efficiency.record import Record
from bench.measure.efficiency.rows import rows_of, slow_fallbacks

SAMPLES = {"event": "samples", "kind": "step", "length": 16, "samples_s": [1.0], "clocks_agree": True, "note": ""}


def test_times_that_are_not_positive_are_the_clocks_fault_and_never_a_zero(cell):
    record = Record()
    for length, samples_s in ((16, [0.0, -1.0]), (16, [0.0, 2.0]), (32, [0.0]), (32, [-3.0])):
        record.take(SAMPLES | {"length": length, "samples_s": samples_s})
    rows = {(row["metric"], row["length"]): row for row in rows_of(cell("a", training=False), record, {}, {})}
    assert rows["step_latency", 16]["value"] == 2000.0 and rows["step_latency", 16]["n"] == 1
    still = rows["step_latency", 32]
    assert math.isnan(still["value"]) and "the clock did not move" in still["reason"]
    assert ("tokens_per_second", 16) in rows and ("tokens_per_second", 32) not in rows


def test_rows_of_a_slow_fallback_and_of_clocks_that_differ_are_marked(cell):
    record = Record()
    record.take({"event": "warm", "kind": "step", "length": 16, "cold_s": 1.0, "kernel": "scan=torch sdpa=flash_cpu"})
    for clocks_agree in (False, True):
        record.take(SAMPLES | {"clocks_agree": clocks_agree})
    rows = {(row["metric"], row["length"]): row for row in rows_of(cell("a", (16,)), record, {}, {})}
    assert rows["step_latency", 16]["note"] == "slow fallback: scan=torch; the two clocks differ by over 5 %"
    assert slow_fallbacks("scan=c sdpa=flash_cpu") == ""
    assert slow_fallbacks("sdpa=flash_cpu+math") == "sdpa=flash_cpu+math"


def test_a_row_of_energy_has_an_interval_and_names_the_idle_power(cell):
    record = Record()
    use = {
        "value": 2.0,
        "low": 1.5,
        "high": 2.5,
        "n": 6,
        "raw": [1.9, 2.0, 2.1],
        "reason": "",
        "note": "idle power 30 W",
    }
    record.take({"event": "energy", "kind": "step", "length": 16, **use})
    rows = {(row["metric"], row["length"]): row for row in rows_of(cell("a", training=False), record, {}, {})}
    row = rows["step_energy", 16]
    assert {name: row[name] for name in use} == use and "less its idle power" in row["definition"]


def test_the_interval_of_an_arm_is_over_replicates_with_the_spread_of_all_arms(cell):
    # logarithms of a: 0 2, of b: 1 1 (see test_replicates): spread 1 on 2 degrees, t = 4.302653, over sqrt(2)
    records = [Record(), Record()]
    for record, times in zip(records, ((1.0, math.e**2), (math.e, math.e)), strict=True):
        for replicate, time in enumerate(times):
            record.take(SAMPLES | {"samples_s": [time], "replicate": replicate})
    spreads = spreads_of(records)
    rows = {(row["metric"], row["length"]): row for row in rows_of(cell("a", training=False), records[0], {}, spreads)}
    found, factor = rows["step_latency", 16], math.exp(4.302653 / math.sqrt(2))
    assert found["value"] == pytest.approx(1e3 * math.e) and found["replicate_sizes"] == [1, 1]
    assert (found["low"], found["high"]) == pytest.approx((1e3 * math.e / factor, 1e3 * math.e * factor), rel=1e-5)
    rate = rows["tokens_per_second", 16]
    assert rate["low"] == pytest.approx(16 / math.e / factor, rel=1e-5)


def test_a_step_replayed_as_a_graph_is_not_compiled(cell):
    record = Record()
    times = {"samples_s": [0.5], "compile_s": 2.0, "note": ""}
    record.take({"event": "compiled", "kind": "step", "length": 16} | times)
    found = rows_of(replace(cell("a", (16,), compile=True), device="cuda", graphs=True), record, {}, {})
    assert [row["value"] for row in found if row["metric"] == "step_latency_compiled"] == [500.0]


def test_no_flops_by_formula_leave_nothing_to_compare_with(cell):
    record = Record()
    for counter, flops in (("formula", 0), ("dispatch", 5)):
        record.take({"event": "flops", "kind": counter, "length": 16, "flops": flops, "uncounted": []})
    rows = {(row["metric"], row["length"]): row for row in rows_of(cell("a", (16,)), record, {}, {})}
    assert (rows["forward_gflops", 16]["value"], rows["forward_gflops", 16]["note"]) == (0.0, "")
