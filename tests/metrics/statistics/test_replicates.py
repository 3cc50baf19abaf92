"""Timings in fresh processes: worked answers, false calls, coverage where processes keep a difference for life."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from metrics.statistics.blocks import BlockModel
from metrics.statistics.replicates import (
    Spread,
    paired_times,
    pooled_spread,
    replicate_time,
    replicates_interval,
    replicates_spread,
    sessions_difference,
)
from metrics.statistics.rounds import rounds_ratio
from metrics.statistics.verdict import log_margin, verdict

PROCESS, ROUND, MACHINE = 0.005, 0.01, 0.02


def test_the_time_of_a_process_is_the_median_of_its_round_medians():
    assert replicate_time([[1.0, 2.0, 9.0], [4.0], [6.0, 6.0]]) == 4.0  # medians 2, 4, 6
    assert math.isnan(replicate_time([])) and math.isnan(replicate_time([[0.0]])) and replicate_time([[], [3.0]]) == 3.0


def test_the_spread_is_pooled_over_arms_on_paper():
    # logarithms 0 and 2 about 1: squares 2, one degree; 0, 0, 3 about 1: squares 6, two degrees; one value adds none
    spread = pooled_spread([np.exp([0.0, 2.0]), np.exp([0.0, 0.0, 3.0]), [5.0], []])
    assert spread.deviation == pytest.approx(math.sqrt(8 / 3)) and spread.freedom == 3
    assert pooled_spread([[1.0], [2.0]]).freedom == 0 and math.isnan(pooled_spread([]).deviation)


def test_the_spread_between_replicates_on_paper():
    # logarithms 0 2 and 1 1: means of replicates 0.5 and 1.5, so 2 x 0.5 between them, on one degree; errors of 0.5
    # each, so 1, on one degree. Pooled (1 + 1) / 2; Satterthwaite 1 / (0.25 + 0.25) = 2 degrees
    spread = replicates_spread([np.exp([0.0, 2.0]), np.exp([1.0, 1.0])])
    assert spread.deviation == pytest.approx(1.0) and spread.freedom == pytest.approx(2.0)
    # two arms that rise alike: only the machine's state differs, one degree for two replicates
    alike = replicates_spread([np.exp([0.0, 2.0]), np.exp([5.0, 7.0])])
    assert alike.deviation == pytest.approx(math.sqrt(2)) and alike.freedom == pytest.approx(1.0)
    lacking = replicates_spread([np.exp([0.0, 2.0]), np.exp([1.0, 1.0]), [7.0], [7.0, math.nan]])
    assert (lacking.deviation, lacking.freedom) == pytest.approx((1.0, 2.0))
    assert replicates_spread([np.exp([0.0, 2.0])]).freedom == 1 and replicates_spread([[1.0], [2.0]]).freedom == 0
    nowhere = replicates_spread([[1.0, math.nan, math.exp(2.0)], [math.e, math.nan, math.e]])  # the second of each slow
    assert (nowhere.deviation, nowhere.freedom) == pytest.approx((1.0, 2.0))
    # each arm lacks another: squares of 2 and 0.5 on a degree each, of which one counts
    apart = replicates_spread([[1.0, math.exp(2.0), math.nan], [math.nan, 1.0, math.e]])
    assert (apart.deviation, apart.freedom) == pytest.approx((math.sqrt(2.5 / 2), 1.0))
    same = replicates_spread([[2.0, 2.0], [3.0, 3.0]])
    assert replicates_spread([]).freedom == 0 and same.deviation == pytest.approx(0.0, abs=1e-12)


def test_the_interval_of_one_arm_on_paper():
    # geometric mean of 1 and 4 is 2; t of 6 degrees is 2.446912, times 0.01 / sqrt(2)
    interval = replicates_interval([1.0, 4.0, math.nan], Spread(0.01, 6))
    share = 2.446912 * 0.01 / math.sqrt(2)
    assert interval.value == pytest.approx(2.0) and interval.n == 2
    assert (interval.low, interval.high) == pytest.approx((2 * math.exp(-share), 2 * math.exp(share)), rel=1e-6)
    alone = replicates_interval([3.0], Spread(math.nan, 0))
    assert alone.value == pytest.approx(3.0) and math.isnan(alone.low) and "one replicate" in alone.reason
    assert replicates_interval([math.nan], Spread(0.01, 6)).reason == "no values"


@pytest.mark.parametrize("machine", [0.0, 0.005, MACHINE])
def test_the_interval_of_one_arm_covers_its_time_over_processes_and_states_of_the_machine(machine):
    generator, covered, fault = np.random.default_rng(3), 0, 0
    for _ in range(1000):
        times = np.exp(generator.normal(0, machine, (1, 3)) + generator.normal(0, PROCESS, (4, 3)))
        interval = replicates_interval(times[0], replicates_spread(times))
        covered += interval.low <= 1.0 <= interval.high
        interval = replicates_interval(times[0], pooled_spread(times))  # as if the machine's state were not shared
        fault += interval.low <= 1.0 <= interval.high
    assert 0.92 <= covered / 1000 <= 0.98  # Satterthwaite's degrees are approximate: 0.92 to 0.97 over all designs
    assert machine < MACHINE or fault / 1000 < 0.9


def test_two_sessions_on_paper():
    # means of logarithms 1 and 4; variances 0.04 / 2 and 0.09 / 3 on 4 and 5 degrees: 0.05^2 / (0.02^2/4 + 0.03^2/5)
    times = [math.e] * 2, [math.exp(4.0)] * 3
    found = sessions_difference(times, (Spread(0.2, 4), Spread(0.3, 5)))
    assert (found.value, found.standard_error, found.seeds) == pytest.approx((3.0, math.sqrt(0.05), 2))
    assert found.freedom == pytest.approx(0.0025 / 0.00028)
    half = stats.t.isf(0.025, found.freedom) * math.sqrt(0.05)
    assert found.interval.half_width == pytest.approx(half)
    two = sessions_difference(times, (Spread(0.2, 4), Spread(0.3, 5)), comparisons=2)
    assert two.interval.half_width == pytest.approx(
        half * stats.t.isf(0.0125, found.freedom) / stats.t.isf(0.025, found.freedom)
    )
    assert sessions_difference((times[0], times[0]), (Spread(0.0, 4), Spread(0.0, 4))).interval.high == 0.0
    assert math.isnan(sessions_difference(times, (Spread(math.nan, 0), Spread(0.3, 5))).interval.low)


@pytest.mark.parametrize("machine", [0.0, MACHINE])
def test_sessions_of_equal_arms_are_not_called_different(machine):
    generator, called, paired = np.random.default_rng(5), 0, 0
    for _ in range(300):
        sides = [np.exp(generator.normal(0, machine, (1, 3)) + generator.normal(0, PROCESS, (5, 3))) for _ in range(2)]
        spreads = (replicates_spread(sides[0]), replicates_spread(sides[1]))
        found = [sessions_difference((a, b), spreads, comparisons=5) for a, b in zip(*sides, strict=True)]
        called += any(verdict(one, better="lower").differs for one in found)
        logs = {f"{side} {arm}": dict(enumerate(np.log(row))) for side in (0, 1) for arm, row in enumerate(sides[side])}
        model = BlockModel.fit(logs)  # as if replicates of two sessions shared the machine's state
        wrong = [model.contrast([f"1 {arm}"], [f"0 {arm}"], comparisons=5) for arm in range(5)]
        paired += any(verdict(one, better="lower").differs for one in wrong)
    assert called / 300 <= 0.08
    assert machine < MACHINE or paired / 300 > 0.1


def test_what_a_round_shares_cancels_and_a_spoilt_round_does_not_matter():
    # the machine is half as fast in the last two rounds, and one round of the second arm is disturbed
    first, second = [[10.0], [10.0], [10.0], [20.0], [20.0]], [[11.0], [30.0], [11.0], [22.0], [22.0]]
    assert replicate_time(second) / replicate_time(first) == pytest.approx(2.2)  # medians of each arm alone
    times = paired_times({"first": first, "second": second})
    assert math.exp(times["second"] - times["first"]) == pytest.approx(1.1)
    third = paired_times(
        {"first": first, "second": second, "third": [[5.0]] * 3 + [[10.0]], "none": [[0.0]], "late": []}
    )
    assert list(third) == ["first", "second", "third"]
    assert math.exp(third["third"] - third["first"]) == pytest.approx(0.5)
    assert paired_times({}) == {} == paired_times({"none": []})


def equal_arms(generator, arms, replicates, rounds):
    """Times (arms, replicates, rounds) of equal arms, each process with a difference of its own."""
    machine = generator.normal(0, MACHINE, (1, replicates, 1))
    process = generator.normal(0, PROCESS, (arms, replicates, 1))
    return np.exp(machine + process + generator.normal(0, ROUND, (arms, replicates, rounds)))


def pairs_of(blocks):
    """Differences of all pairs from arm -> block -> time."""
    logs = {arm: {block: math.log(time) for block, time in enumerate(times)} for arm, times in blocks.items()}
    return list(BlockModel.fit(logs).pairs().values())


@pytest.mark.parametrize("replicates", [3, 5])
def test_equal_arms_are_rarely_called_different_and_all_intervals_cover(replicates):
    generator, called, covered = np.random.default_rng(replicates), 0, 0
    for _ in range(150):
        times = equal_arms(generator, 7, replicates, 2)
        by_replicate = [
            paired_times({str(a): times[a, place][:, None] for a in range(7)}) for place in range(replicates)
        ]
        pairs = pairs_of({str(a): [math.exp(one[str(a)]) for one in by_replicate] for a in range(7)})
        called += any(verdict(one, better="lower", margin=log_margin(0.02)).differs for one in pairs)
        covered += not any(one.interval.excludes(0.0) for one in pairs)
    assert called / 150 <= 0.06 and covered / 150 >= 0.93


def test_rounds_taken_for_replicates_would_call_most_sessions_different():
    """The planted fault: the rounds of one process per arm as blocks, and as they were judged before."""
    generator, blocks, rule = np.random.default_rng(5), 0, 0
    for _ in range(60):
        times = equal_arms(generator, 7, 1, 15)[:, 0]
        blocks += any(one.interval.excludes(0.0) for one in pairs_of({str(a): arm for a, arm in enumerate(times)}))
        pairs = [(times[b][:, None], times[a][:, None]) for a in range(7) for b in range(a + 1, 7)]
        rule += any(rounds_ratio(*pair).excludes(1.0) for pair in pairs)
    assert blocks / 60 > 0.5 and rule / 60 > 0.8


def test_a_planted_slowdown_of_a_tenth_is_found_in_three_replicates():
    generator, found = np.random.default_rng(6), 0
    for _ in range(50):
        times = equal_arms(generator, 4, 3, 2) * np.array([1.0, 1.0, 1.0, 1.1])[:, None, None]
        logs = {
            str(a): {r: math.log(replicate_time(one[:, None])) for r, one in enumerate(arm)}
            for a, arm in enumerate(times)
        }
        found += BlockModel.fit(logs).against("0")["3"].side == 1
    assert found / 50 >= 0.95
