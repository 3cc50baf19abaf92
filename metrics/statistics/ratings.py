"""Ratings of systems by listeners: signed-rank test and interval, Holm's steps, agreement, and checks of a listener."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from metrics.statistics.intervals import Interval, check_level, finite_values, without_interval


@dataclass(frozen=True)
class Ratings:
    """Ratings of samples by listeners, one an entry; T ratings of K systems.

    `rating` in points; `listener`, `system` (0..K-1) and `sample`: numbers, all (T,).
    """

    systems: int
    rating: NDArray[np.float64]
    listener: NDArray[np.int64]
    system: NDArray[np.int64]
    sample: NDArray[np.int64]

    @cached_property
    def means(self) -> NDArray[np.float64]:
        """Mean rating of each system by each listener, NaN where there is none: (listeners, K)."""
        names, row = np.unique(self.listener, return_inverse=True)
        sums, counts = np.zeros((2, len(names), self.systems))
        np.add.at(sums, (row, self.system), self.rating)
        np.add.at(counts, (row, self.system), 1)
        return np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)

    def differences(self, first: int, second: int) -> NDArray[np.float64]:
        """First - second of each listener who rated both: (listeners,)."""
        return finite_values(self.means[:, first] - self.means[:, second])

    def compare(self, first: int, second: int, level: float = 0.95) -> tuple[Interval, float]:
        """Typical difference of two systems with its interval and the p value of 0: `signed_rank` over listeners, the
        interval made wider and the normal score of p smaller by `design_factor`, since samples are random too."""
        interval, p = signed_rank(self.differences(first, second), level)
        factor = self.design_factor(first, second)
        low, high = (interval.value + factor * (end - interval.value) for end in (interval.low, interval.high))
        wider = Interval(interval.value, low, high, interval.n, level, interval.reason)
        return wider, float(2 * stats.norm.sf(stats.norm.isf(p / 2) / factor)) if factor > 1 else p

    def design_factor(self, first: int, second: int) -> float:
        """Standard error of a difference of means over that without what samples add, at least 1 (Kish's design
        effect)."""
        of_listeners, of_samples = self.errors(first, second)
        return math.hypot(of_listeners, of_samples) / of_listeners if of_listeners > 0 else 1.0

    def errors(self, first: int, second: int) -> tuple[float, float]:
        """Standard errors of a difference of means: the part that more listeners make smaller, NaN for one listener,
        and the part that samples add, 0 where listeners do not differ.

        Samples add the variance of means over samples less that of single ratings.
        """
        differences = self.differences(first, second)
        if len(differences) < 2:
            return math.nan, math.nan
        of_listeners = math.sqrt(float(differences.var(ddof=1)) / len(differences))
        of_samples = max(self._of_samples(first) + self._of_samples(second), 0.0) if of_listeners else 0.0
        return of_listeners, math.sqrt(of_samples)

    def _of_samples(self, system: int) -> float:
        """Variance of the mean of a system by samples less that by single ratings, each listener's mean left out."""
        row = np.unique(self.listener, return_inverse=True)[1]
        centre = np.bincount(row, self.rating) / np.bincount(row)
        own = self.system == system
        deviation = (self.rating - centre[row])[own]
        deviation = deviation - deviation.mean()
        sums = np.bincount(np.unique(self.sample[own], return_inverse=True)[1], deviation)
        if len(sums) < 2:
            return 0.0
        count = len(deviation)
        by_sample = float((sums**2).sum()) * len(sums) / (len(sums) - 1)
        return (by_sample - float((deviation**2).sum()) * count / (count - 1)) / count**2


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
