"""Intervals around ratios: of two sums over the groups that their terms fall into, of two independent figures."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

import numpy as np
from scipy.special import stdtrit

from metrics.statistics.intervals import Interval, check_level, without_interval


def ratio_interval(
    numerators: Sequence[float] | np.ndarray,
    denominators: Sequence[float] | np.ndarray,
    groups: Sequence[Hashable],
    level: float = 0.95,
) -> Interval:
    """sum(numerators) / sum(denominators) with its jackknife interval over groups; `n` counts the groups.

    For nats and tokens of windows, grouped by song, it is the nats/token of the windows with an interval over songs.
    With e the residual of a group (its numerator less the ratio times its denominator), d its denominator and D their
    sum, the ratio without the group differs by e / (D - d), so that the variance is (n - 1) / n times the sum of
    (e / (D - d))^2. Student's t with D^2 / sum(d^2) - 1 degrees of freedom, at least 1: n - 1 where groups are of one
    size, fewer where a few large ones decide. One group has no interval but a reason.
    Source: Tukey (1958); Cochran (1977), Sampling Techniques, section 6.17.

    >>> ratio_interval([1.0, 3.0], [1.0, 1.0], ["a", "b"]).value
    2.0
    """
    check_level(level)
    names = list(dict.fromkeys(groups))
    if not names:
        return without_interval(math.nan, 0, level, "no values")
    place = {name: index for index, name in enumerate(names)}
    index = np.array([place[name] for name in groups])
    above, below = (np.bincount(index, np.asarray(part, np.float64)) for part in (numerators, denominators))
    total = float(np.sum(denominators))
    value = float(np.sum(numerators)) / total if total else math.nan
    count = len(names)
    if count == 1 or not total:
        return without_interval(value, count, level, "one value has no interval" if total else "the denominator is 0")
    others = total - below
    if (others <= 0).any():
        return without_interval(value, count, level, "all of the denominator lies in one group")
    changes = (above - value * below) / others
    freedom = max(total**2 / float((below**2).sum()) - 1, 1.0)
    half = float(stdtrit(freedom, (1 + level) / 2) * math.sqrt((count - 1) / count * (changes**2).sum()))
    return Interval(value, value - half, value + half, count, level)


def independent_ratio(first: Interval, second: Interval) -> Interval:
    """first / second of two positive figures whose intervals are independent; `n` is the smaller of the two counts.

    On the scale of logarithms each end of the difference takes the distances to the two ends that lead to it as
    perpendicular (MOVER), so that the lower end is first / second / exp(sqrt(log(first / its low)^2 +
    log(its high / second)^2)). Where both figures were disturbed together it is wider than an interval of pairs.
    Source: Zou and Donner (2008), Statistics in Medicine 27, 1693, doi 10.1002/sim.3095.

    >>> independent_ratio(Interval(8.0, 4.0, 16.0, 5), Interval(2.0, 2.0, 2.0, 9))
    Interval(value=4.0, low=2.0, high=8.0, n=5, level=0.95, reason='')
    """
    n, level = min(first.n, second.n), min(first.level, second.level)
    if not second.value > 0:
        return without_interval(math.nan, n, level, "the denominator is not positive")
    value = first.value / second.value
    if not (first.low > 0 and second.low > 0 and math.isfinite(first.high) and math.isfinite(second.high)):
        return without_interval(value, n, level, "no interval of positive figures on both sides")
    below = math.hypot(math.log(first.value / first.low), math.log(second.high / second.value))
    above = math.hypot(math.log(first.high / first.value), math.log(second.value / second.low))
    return Interval(value, value / math.exp(below), value * math.exp(above), n, level)
