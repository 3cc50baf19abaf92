"""Intervals: worked answers, honesty at few values, coverage in seeded simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest

from metrics.statistics.intervals import mean_interval, median_interval


def test_mean_of_two_seeds_reaches_twelve_standard_errors():
    interval = mean_interval([1.0, 3.0])
    # standard error 1, t(0.975, 1) = tan(0.475 pi) = 12.7062
    assert interval.value == 2.0
    assert interval.high == pytest.approx(2 + math.tan(0.475 * math.pi))
    assert interval.low == pytest.approx(2 - 12.7062, abs=1e-4)


def test_mean_of_five_values_on_paper():
    # sd of 1..5 is sqrt(2.5), t(0.975, 4) = 2.77645
    assert mean_interval([1, 2, 3, 4, 5]).half_width == pytest.approx(2.77645 * math.sqrt(2.5 / 5), rel=1e-5)


def test_one_value_has_no_interval_and_says_so():
    interval = mean_interval([4.0])
    assert interval.value == 4.0 and math.isnan(interval.low) and math.isnan(interval.high)
    assert "one value" in interval.reason and not interval.excludes(100.0)


def test_missing_values_are_left_out_and_not_counted():
    interval = mean_interval([1.0, math.nan, 3.0])
    assert interval.n == 2 and interval.value == 2.0
    assert math.isnan(mean_interval([math.nan]).value)


@pytest.mark.parametrize("level", [0.0, 1.0, 95.0])
def test_a_level_outside_zero_and_one_is_refused(level):
    with pytest.raises(ValueError, match="level"):
        mean_interval([1.0, 2.0], level)


def test_median_interval_of_six_values_is_their_range():
    interval = median_interval([6, 1, 5, 2, 4, 3])
    assert (interval.value, interval.low, interval.high) == (3.5, 1.0, 6.0)


def test_median_interval_of_twenty_values():
    # binomial(20, 1/2): P(<= 5) = 0.0207, P(<= 6) = 0.0577, so the 6th smallest to the 6th largest
    interval = median_interval(range(1, 21))
    assert (interval.low, interval.high) == (6.0, 15.0)


def test_median_interval_of_five_values_does_not_exist_at_95_percent():
    interval = median_interval([1, 2, 3, 4, 5])
    assert interval.value == 3.0 and math.isnan(interval.low) and "6 are needed" in interval.reason
    assert median_interval([1, 2, 3, 4, 5], level=0.9).low == 1.0


@pytest.mark.parametrize("seeds", [2, 3, 5, 10])
def test_t_interval_covers_at_few_seeds(seeds):
    draws = np.random.default_rng(seeds).normal(7.0, 2.0, (2000, seeds))
    covered = np.mean([(i := mean_interval(row)).low <= 7.0 <= i.high for row in draws])
    assert 0.93 <= covered <= 0.97
