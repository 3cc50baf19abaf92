"""Which calls count when two trees are timed in turns; the timing itself is no test."""

from __future__ import annotations

import math

from compare_trees import judged


def test_calls_beside_which_the_machine_was_slow_are_left_out() -> None:
    rows = judged(
        [{"arm": "a", "timed_s": [(2.0, 1.0), (3.0, 1.09), (9.0, 1.2)]}, {"arm": "b", "timed_s": [(5.0, 1.3)]}]
    )
    first, second = rows
    assert (first["median_s"], first["calls"], first["slowed"]) == (2.5, 2, 1) and "timed_s" not in first
    assert math.isnan(second["median_s"]) and (second["calls"], second["slowed"]) == (0, 1)


def test_one_probe_faster_than_all_others_makes_no_call_a_slow_one() -> None:
    (row,) = judged([{"timed_s": [(1.0, 0.8), *[(2.0, 1.0)] * 20, (2.0, 1.05)]}])
    assert (row["calls"], row["slowed"], row["median_s"]) == (22, 0, 2.0)
