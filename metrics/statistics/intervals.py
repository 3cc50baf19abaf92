"""Intervals around a mean and a median."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import bdtr, stdtrit


@dataclass(frozen=True)
class Interval:
    """An estimate with its interval; where there is no interval, `low` and `high` are NaN and `reason` is given."""

    value: float
    low: float
    high: float
    n: int
    level: float = 0.95
    reason: str = ""

    @property
    def half_width(self) -> float:
        """Half the width of the interval, in the unit of the value; NaN where there is no interval."""
        return (self.high - self.low) / 2

    def excludes(self, point: float) -> bool:
        """Whether the interval exists and `point` lies outside it."""
        return bool(self.high < point or self.low > point)


def without_interval(value: float, n: int, level: float, reason: str) -> Interval:
    """An `Interval` whose bounds are NaN for the stated reason."""
    return Interval(value, math.nan, math.nan, n, level, reason)


def finite_values(values: Sequence[float] | np.ndarray) -> np.ndarray:
    """`values` as a flat float64 array without NaN: a missing figure takes no part in an average."""
    array = np.asarray(values, dtype=np.float64).ravel()
    return array[~np.isnan(array)]


def check_level(level: float) -> None:
    """Refuse a confidence level outside (0, 1)."""
    if not 0 < level < 1:
        raise ValueError(f"level = {level}: a confidence level lies strictly between 0 and 1")


def mean_interval(values: Sequence[float] | np.ndarray, level: float = 0.95) -> Interval:
    """Mean of independent values (one a seed) with Student's t interval, n - 1 degrees of freedom.

    Exact for normal values at every n >= 2 (12.7 standard errors to each side at two seeds, which is what two seeds
    are worth). NaN are left out and not counted in `n`. One value, or none, has no interval but a reason.
    Source: Student (1908), "The probable error of a mean", doi 10.1093/biomet/6.1.1.
    """
    check_level(level)
    kept = finite_values(values)
    n = kept.size
    if n == 0:
        return without_interval(math.nan, 0, level, "no values")
    mean = float(kept.mean())
    if n == 1:
        return without_interval(mean, 1, level, "one value has no interval")
    half = float(stdtrit(n - 1, (1 + level) / 2) * kept.std(ddof=1) / math.sqrt(n))
    return Interval(mean, mean - half, mean + half, n, level)


def median_interval(values: Sequence[float] | np.ndarray, level: float = 0.95) -> Interval:
    """Median of independent values with the distribution-free interval between two order statistics.

    The k-th smallest to the k-th largest value, with the largest k that still covers at least `level` (binomial tail),
    so no shape of the distribution is assumed. At 95 % it exists from six values on; below that there is a reason.
    Source: Conover (1999), Practical Nonparametric Statistics, section 3.2.
    """
    check_level(level)
    kept = np.sort(finite_values(values))
    n = kept.size
    if n == 0:
        return without_interval(math.nan, 0, level, "no values")
    median = float(np.median(kept))
    # k values may lie outside on each side as long as P(Binomial(n, 1/2) <= k - 1) stays under half of what is allowed.
    outside = int(np.searchsorted(bdtr(np.arange(n), n, 0.5), (1 - level) / 2, side="right")) - 1
    if outside < 0:
        need = math.ceil(1 - math.log2(1 - level))
        return without_interval(median, n, level, f"{n} values are too few: {need} are needed at {level:.0%}")
    return Interval(median, float(kept[outside]), float(kept[n - 1 - outside]), n, level)
