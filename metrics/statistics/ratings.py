"""Ratings of systems by listeners: signed-rank test and interval, Holm's steps, agreement, and checks of a listener."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from metrics.statistics.intervals import Interval, check_level, finite_values, without_interval


def signed_rank(differences: ArrayLike, level: float = 0.95) -> tuple[Interval, float]:
    """Typical difference of paired ratings, one value a listener, with its interval, and the p value of 0.

    Hodges and Lehmann's median of the averages of all pairs (1963), the interval between two of those averages, and
    Wilcoxon's signed-rank test, two-sided, zeros left out, exact with ties, which ratings have and for which scipy's
    exact test is not made. NaN are left out. There is an interval of 95 % from six listeners on.
    Source: Hollander, Wolfe and Chicken (2014), Nonparametric Statistical Methods, chapter 3.
    """
    check_level(level)
    kept = finite_values(np.asarray(differences, np.float64))
    count = kept.size
    if not count:
        return without_interval(math.nan, 0, level, "no listener rated both"), math.nan
    averages = np.sort(((kept[:, None] + kept[None]) / 2)[np.triu_indices(count)])
    value = float(np.median(averages))
    outside = int(np.searchsorted(np.cumsum(_rank_sums(np.arange(1, count + 1))), (1 - level) / 2, "right"))
    if not outside:
        return without_interval(value, count, level, f"{count} listeners are too few"), _signed_rank_p(kept)
    interval = Interval(value, float(averages[outside - 1]), float(averages[-outside]), count, level)
    return interval, _signed_rank_p(kept)


def _signed_rank_p(differences: NDArray[np.float64]) -> float:
    kept = differences[differences != 0]
    ranks = np.rint(2 * stats.rankdata(np.abs(kept))).astype(np.int64)  # doubled, whole for ties too
    chances, observed = _rank_sums(ranks), int(ranks[kept > 0].sum())
    return float(min(2 * min(chances[: observed + 1].sum(), chances[observed:].sum()), 1.0))


def _rank_sums(ranks: NDArray[np.int64]) -> NDArray[np.float64]:
    """Chances of the sums 0, 1, ... of the positive ranks where every sign is a coin's."""
    chances = np.zeros(int(ranks.sum()) + 1)
    chances[0] = 1.0
    for rank in ranks.tolist():
        chances[rank:] = (chances[rank:] + chances[: len(chances) - rank]) / 2
        chances[:rank] /= 2
    return chances


def holm(p_values: Sequence[float]) -> list[float]:
    """p values that hold together: the chance of any false call of the family stays under the level.

    The smallest times their number, the next times one less, never falling, at most 1; NaN count as no member.
    Source: Holm (1979), "A simple sequentially rejective multiple test procedure".
    """
    found = np.asarray(p_values, np.float64)
    order = [place for place in np.argsort(found) if not math.isnan(found[place])]
    stepped = np.maximum.accumulate([found[place] * (len(order) - step) for step, place in enumerate(order)])
    found[order] = np.minimum(stepped, 1)
    return found.tolist()


def krippendorff_alpha(ratings: ArrayLike) -> float:
    """Agreement of listeners on units, (listeners, units), NaN where one did not rate: Krippendorff's alpha for
    intervals. 1: all agree; 0: as by chance. NaN where no unit has two ratings or all ratings are equal.

    Source: Krippendorff (2011), "Computing Krippendorff's alpha-reliability".
    """
    table = np.asarray(ratings, np.float64)
    table = table[:, (~np.isnan(table)).sum(0) > 1]
    values = table[~np.isnan(table)]
    if values.size < 2 or np.ptp(values) == 0:
        return math.nan
    # squared differences of ordered pairs: 2 n^2 times the variance of n values
    units = [column[~np.isnan(column)] for column in table.T]
    observed = sum(2 * unit.size**2 * float(unit.var()) / (unit.size - 1) for unit in units) / values.size
    expected = 2 * values.size * float(values.var()) / (values.size - 1)
    return 1 - observed / expected


def chance_of_guessing(right: int, checks: int) -> float:
    """Chance that as many of the checks or more are right by guessing, 0.5 each: exact binomial test, one-sided."""
    return float(stats.binomtest(right, checks, 0.5, alternative="greater").pvalue) if checks else 1.0
