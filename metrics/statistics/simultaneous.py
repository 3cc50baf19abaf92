"""Critical values and p values of a family of comparisons: Dunnett's against a baseline, Tukey's of all pairs.

Both are integrals over one normal variable and the pooled standard deviation. They are computed by the trapezoidal
rule, which is accurate to 1e-9 for such smooth integrands, takes degrees of freedom that are no integer, and is fast
enough for a report of hundreds of arms. Sources: Dunnett (1955), doi 10.1080/01621459.1955.10501294; Tukey (1953),
The problem of multiple comparisons.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from scipy import optimize, special, stats

from metrics.statistics.intervals import check_level

Kind = Literal["baseline", "pairs"]
NORMAL_LIMIT = 1e6
"""From so many degrees of freedom on the standard deviation counts as known."""


@dataclass(frozen=True)
class Family:
    """The comparisons that are judged together: every other arm against one baseline arm, or all pairs of arms."""

    kind: Kind
    arms: int

    def critical(self, freedom: float, level: float = 0.95) -> float:
        """Standard errors to each side of an estimate at which all intervals of the family cover with chance `level`.

        With two arms it is Student's t. NaN without degrees of freedom or with fewer than two arms.
        """
        check_level(level)
        if self.arms < 2 or not freedom > 0:
            return math.nan
        return _critical(self.kind, self.arms, min(float(freedom), NORMAL_LIMIT), level)

    def p_value(self, statistic: float, freedom: float) -> float:
        """Chance that the largest |t| of the family reaches `statistic` where all arms are equal; NaN as above."""
        if self.arms < 2 or not freedom > 0 or math.isnan(statistic):
            return math.nan
        size, known = abs(statistic), min(float(freedom), NORMAL_LIMIT)
        if math.isinf(size):
            return 0.0
        if self.arms == 2:
            return float(2 * stats.t.sf(size, known))
        return min(1.0, max(0.0, 1.0 - _inside(self.kind, self.arms, known, size)))


@lru_cache(maxsize=4096)
def _critical(kind: Kind, arms: int, freedom: float, level: float) -> float:
    single = float(stats.t.isf((1 - level) / 2, freedom))
    if arms == 2:
        return single
    count = arms - 1 if kind == "baseline" else arms * (arms - 1) // 2
    bonferroni = float(stats.t.isf((1 - level) / 2 / count, freedom))
    found = optimize.brentq(lambda size: _inside(kind, arms, freedom, size) - level, single, bonferroni, xtol=1e-9)
    return float(found)


def _inside(kind: Kind, arms: int, freedom: float, size: float) -> float:
    """Chance that every |t| of the family stays under `size`."""
    scale_S, mass_S = _scales(freedom)
    place_Z, weight_Z = _normal()
    width_SZ = math.sqrt(2) * size * scale_S[:, None]
    if kind == "baseline":  # every difference shares the baseline's value: correlations of 0.5
        chance_SZ = (special.ndtr(place_Z + width_SZ) - special.ndtr(place_Z - width_SZ)) ** (arms - 1)
    else:  # the largest arm lies at z, all others within the range below it
        chance_SZ = arms * (special.ndtr(place_Z) - special.ndtr(place_Z - width_SZ)) ** (arms - 1)
    return float(mass_S @ (chance_SZ @ weight_Z))


@lru_cache(maxsize=1)
def _normal() -> tuple[np.ndarray, np.ndarray]:
    """Places and weights of the standard normal distribution."""
    place = np.linspace(-8.5, 8.5, 101)
    weight = stats.norm.pdf(place)
    return place, weight / weight.sum()


@lru_cache(maxsize=512)
def _scales(freedom: float) -> tuple[np.ndarray, np.ndarray]:
    """Values of estimated over true standard deviation, and their weights; even steps of the logarithm."""
    if freedom >= NORMAL_LIMIT:
        return np.ones(1), np.ones(1)
    low, high = stats.chi2.ppf(1e-12, freedom), stats.chi2.isf(1e-14, freedom)
    logs = np.linspace(math.log(low), math.log(high), 121)
    squares = np.exp(logs)
    weight = squares * stats.chi2.pdf(squares, freedom)
    return np.sqrt(squares / freedom), weight / weight.sum()
