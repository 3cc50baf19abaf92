"""Timings in fresh processes: the spread between replicates, pooled over arms, and the interval of one arm.

Two processes of one program keep a small difference for as long as they live, so the rounds of one process say little
about the next: what is repeated is the process, and its figure is the median over its rounds. Spreads are those of
natural logarithms. Source: Kalibera and Jones (2013), "Rigorous benchmarking in reasonable time",
doi 10.1145/2464157.2464160.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from metrics.statistics.intervals import Interval, check_level, without_interval
from metrics.statistics.rounds import round_medians

Rounds = Sequence[Sequence[float]]
"""Timed calls, a sequence a round."""


@dataclass(frozen=True)
class Spread:
    """Standard deviation of natural logarithms around the mean of their group, with its degrees of freedom.

    0 degrees: no group has two values, and the deviation is NaN.
    """

    deviation: float
    freedom: int

    def share(self, count: int, level: float = 0.95) -> float:
        """Half width of the interval of a mean of `count` logarithms, which is a share of the time: 0.02 for 2 %.

        NaN without degrees of freedom.
        """
        check_level(level)
        if not self.freedom or not count:
            return math.nan
        return float(stats.t.ppf((1 + level) / 2, self.freedom)) * self.deviation / math.sqrt(count)


def pooled_spread(groups: Iterable[Sequence[float]]) -> Spread:
    """The spread of positive times within groups: squares of all groups over all their degrees of freedom.

    Groups are the replicates of one arm each (spread between processes) or the rounds of one process each.
    """
    logarithms = [np.log(np.asarray(group, dtype=np.float64)) for group in groups if len(group)]
    freedom = sum(group.size - 1 for group in logarithms)
    if not freedom:
        return Spread(math.nan, 0)
    squares = sum(float(((group - group.mean()) ** 2).sum()) for group in logarithms)
    return Spread(math.sqrt(squares / freedom), freedom)


def replicate_time(rounds: Rounds) -> float:
    """The figure of one process: the median of its round medians; NaN without a round or where that is not positive."""
    medians = round_medians(rounds)
    middle = float(np.median(medians)) if medians.size else math.nan
    return middle if middle > 0 else math.nan


def replicates_interval(times: Sequence[float], spread: Spread, level: float = 0.95) -> Interval:
    """Geometric mean of one arm's replicates, times or divided by exp(t s / sqrt(n)) with the pooled spread s.

    Parameters
    ----------
    times
        `replicate_time` of each replicate; NaN are left out. `n` counts the others.
    spread
        Of the replicates of all arms of the session: arms x (replicates - 1) degrees of freedom.
    """
    check_level(level)
    kept = [time for time in times if time > 0]
    if not kept:
        return without_interval(math.nan, 0, level, "no values")
    value, share = math.exp(float(np.mean(np.log(kept)))), spread.share(len(kept), level)
    if math.isnan(share):
        return without_interval(value, len(kept), level, "one replicate has no interval")
    return Interval(value, value * math.exp(-share), value * math.exp(share), len(kept), level)
