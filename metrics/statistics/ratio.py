"""Interval around a ratio of two sums, over the groups that its terms fall into."""

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
