"""Timings in rounds: worked answers, coverage under drift and stray slow rounds, and the A/A test."""

from __future__ import annotations

import math

import numpy as np
import pytest

from metrics.statistics.rounds import interquartile_range, rounds_interval, rounds_ratio


def test_rounds_that_agree_have_no_width_and_one_round_has_none_at_all():
    same = rounds_interval([[1.0, 2.0, 3.0], [2.0, 1.0, 3.0]])
    assert (same.value, same.low, same.high, same.n) == (2.0, 2.0, 2.0, 6)
    alone = rounds_interval([[1.0, 2.0, 3.0]])
    assert alone.value == 2.0 and math.isnan(alone.low) and "one round" in alone.reason


def test_rounds_of_two_on_paper():
    # logarithms of 1 and 1.02: sd ln(1.02) / sqrt(2), over sqrt(2) rounds = ln(1.02) / 2; times t = 12.7062 and
    # sqrt(pi / 2) = 1.253314, around the median 1.01
    interval = rounds_interval([[1.0], [1.02]])
    factor = 1.02 ** (12.7062 * 1.253314 / 2)
    assert interval.value == pytest.approx(1.01)
    assert interval.high == pytest.approx(1.01 * factor, rel=1e-5)
    assert interval.low == pytest.approx(1.01 / factor, rel=1e-5) and interval.low > 0


def test_a_time_of_zero_gets_no_interval():
    assert "too short" in rounds_interval([[0.0], [1.0]]).reason


def test_rounds_interval_covers_when_the_machine_drifts_between_rounds():
    generator = np.random.default_rng(11)
    covered = []
    for _ in range(1500):
        mood = generator.normal(0.0, 0.02, (5, 1))
        calls = 10.0 * np.exp(mood + generator.normal(0.0, 0.02, (5, 4)))
        interval = rounds_interval(calls)
        covered.append(interval.low <= 10.0 <= interval.high)
    assert 0.93 <= np.mean(covered) <= 0.995


def test_ratio_cancels_what_a_whole_round_shares():
    rounds = [[1.0, 1.0], [2.0, 2.0], [4.0, 4.0]]
    ratio = rounds_ratio([[1.1 * call for call in one] for one in rounds], rounds)
    assert ratio.value == pytest.approx(1.1) and ratio.half_width == pytest.approx(0.0, abs=1e-9)
    with pytest.raises(ValueError, match="positive"):
        rounds_ratio([[0.0]], [[1.0]])


def test_many_rounds_take_order_statistics_and_shrug_at_spoilt_ones():
    # 9 rounds: the second smallest and the second largest median (binomial 0.0195 a side)
    rounds = [[float(value)] for value in (3, 1, 4, 1.5, 5, 9, 2, 6, 5.5)]
    interval = rounds_interval(rounds)
    assert (interval.value, interval.low, interval.high) == (4.0, 1.5, 6.0)
    spoilt = [[10.0, 10.0]] * 11 + [[70.0, 90.0]]
    assert (rounds_interval(spoilt).low, rounds_interval(spoilt).high) == (10.0, 10.0)


def one_round(generator, drift_share, noise_share, calls=4):
    """Two arms of equal speed: a drift that both share, noise of their own, and now and then a slow call."""
    drift = generator.normal(0, drift_share)
    arms = np.exp(drift + generator.normal(0, noise_share, (2, calls)))
    return np.where(generator.random((2, calls)) < 0.02, 1.5 * arms, arms)


@pytest.mark.parametrize("rounds", [5, 12])
def test_one_arm_under_two_names_is_rarely_called_different(rounds):
    generator, different = np.random.default_rng(7), 0
    for _ in range(200):
        pair = np.stack([one_round(generator, 0.05, 0.01) for _ in range(rounds)], axis=1)
        different += rounds_ratio(*pair).excludes(1.0)
    assert different / 200 <= 0.07


def test_stopping_when_intervals_are_narrow_does_not_invent_differences():
    """Rounds go on from 5 to 20 until both intervals are within 2 %, as a timing session does."""
    generator, different = np.random.default_rng(9), 0
    for _ in range(200):
        taken = [one_round(generator, 0.03, 0.02) for _ in range(5)]
        while len(taken) < 20:
            pair = np.stack(taken, axis=1)
            if max(one.half_width / one.value for one in map(rounds_interval, pair)) <= 0.02:
                break
            taken.append(one_round(generator, 0.03, 0.02))
        different += rounds_ratio(*np.stack(taken, axis=1)).excludes(1.0)
    assert different / 200 <= 0.07


@pytest.mark.parametrize("rounds", [5, 12])
def test_a_planted_slowdown_of_a_tenth_is_found(rounds):
    generator, found = np.random.default_rng(8), 0
    for _ in range(100):
        first, second = np.stack([one_round(generator, 0.05, 0.02) for _ in range(rounds)], axis=1)
        found += rounds_ratio(1.1 * first, second).low > 1.0
    assert found / 100 >= 0.9


def test_one_round_or_none_gives_no_interval():
    assert "fewer than two rounds" in rounds_ratio([[1.0]], [[2.0]]).reason
    assert math.isnan(rounds_ratio([], []).value)


def test_quartiles_of_all_calls_on_paper():
    assert interquartile_range([1.0, 2.0, 3.0, 4.0, 100.0]) == 2.0
    assert math.isnan(interquartile_range([1.0]))
