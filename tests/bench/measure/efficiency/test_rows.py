"""What one record of samples says as rows: clocks that stand still or differ, kernels that are slow."""

from __future__ import annotations

import math

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
