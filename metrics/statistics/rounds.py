"""Timings taken in rounds: an interval for one arm, and the ratio of two arms that took turns.

Calls within one round share the state of the machine, so intervals count rounds, not calls. Other processes may disturb
a round, so centres are medians.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import islice
from typing import TypeVar

import numpy as np
from scipy import stats

from metrics.statistics.intervals import Interval, check_level, finite_values, median_interval, without_interval

Item = TypeVar("Item")
MEDIAN_EFFICIENCY = math.sqrt(math.pi / 2)
"""Standard error of a median over that of a mean, for normal values (asymptotic); an upper bound at small n."""
ENOUGH_ROUNDS = 9
"""From here on the interval lies between two order statistics: two rounds a side may be spoilt without harm."""


def grouped(items: Sequence[Item], sizes: Sequence[int]) -> list[list[Item]]:
    """Consecutive items in groups of these sizes, such as calls in rounds; [] where the sizes do not add up to them."""
    left = iter(items)
    return [list(islice(left, size)) for size in sizes] if sum(sizes) == len(items) else []


def round_medians(rounds: Sequence[Sequence[float]]) -> np.ndarray:
    """The median of each round that has a measured value."""
    kept = [finite_values(one) for one in rounds]
    return np.array([np.median(one) for one in kept if one.size], dtype=np.float64)


def _logarithmic_median(values: np.ndarray, level: float) -> Interval:
    """Median of positive values, one a round, with an interval on the scale of ratios.

    From `ENOUGH_ROUNDS` values on the distribution-free interval of `median_interval`; below, the median times or
    divided by exp(h), h being Student's t times the standard error of the mean logarithm times `MEDIAN_EFFICIENCY`.
    """
    if values.size >= ENOUGH_ROUNDS:
        return median_interval(values, level)
    median = float(np.median(values))
    spread = float(np.log(values).std(ddof=1)) / math.sqrt(values.size)
    factor = math.exp(float(stats.t.ppf((1 + level) / 2, values.size - 1)) * spread * MEDIAN_EFFICIENCY)
    return Interval(median, median / factor, median * factor, values.size, level)


def interquartile_range(values: Sequence[float]) -> float:
    """Distance between the quartiles of all timed calls; NaN below two."""
    kept = finite_values(values)
    if kept.size < 2:
        return math.nan
    low, high = np.percentile(kept, [25, 75])
    return float(high - low)


def rounds_interval(rounds: Sequence[Sequence[float]], level: float = 0.95) -> Interval:
    """Median of all timed calls with an interval over rounds; `n` is the number of calls.

    The interval is that of the median of the round medians, widened where needed so that it holds the median of all
    calls. One round, or a time of 0, has no interval.
    """
    check_level(level)
    calls = finite_values([value for one in rounds for value in one])
    if calls.size == 0:
        return without_interval(math.nan, 0, level, "no values")
    median, medians = float(np.median(calls)), round_medians(rounds)
    if medians.size < 2:
        return without_interval(median, calls.size, level, "one round has no interval")
    if (medians <= 0).any():
        return without_interval(median, calls.size, level, "a time of 0 is too short for the clock")
    found = _logarithmic_median(medians, level)
    return Interval(median, min(found.low, median), max(found.high, median), calls.size, level)


def rounds_ratio(first: Sequence[Sequence[float]], second: Sequence[Sequence[float]], level: float = 0.95) -> Interval:
    """How many times `first` is `second`: the median over rounds of the ratio of round medians, with its interval.

    Round i of both was taken one after the other, so drift of the machine cancels within a round. `n` counts rounds.
    Raises ValueError when a time is not positive.
    """
    check_level(level)
    count = min(len(first), len(second))
    pairs = [(finite_values(first[i]), finite_values(second[i])) for i in range(count)]
    ratios = np.array([np.median(a) / np.median(b) if np.median(b) else 0.0 for a, b in pairs if a.size and b.size])
    if (ratios <= 0).any():
        raise ValueError("rounds_ratio: every time must be positive")
    if ratios.size < 2:
        value = float(ratios[0]) if ratios.size else math.nan
        return without_interval(value, ratios.size, level, "fewer than two rounds have no interval")
    return _logarithmic_median(ratios, level)
