"""Power of the paired test: smallest detectable difference and seeds needed."""

from __future__ import annotations

import math
from functools import lru_cache

from scipy import optimize, stats

from metrics.statistics.comparison import smallest_p_value

MOST_SEEDS = 10_000
"""Beyond this many seeds an effect is called too small to be found."""


def paired_power(effect: float, deviation: float, seeds: int, allowed_p: float = 0.05) -> float:
    """Chance that a paired test with `seeds` pairs calls a true mean difference `effect` at p <= `allowed_p`, 0..1.

    `deviation` is the standard deviation of the differences between seeds. Power of the two-sided paired t test
    (noncentral t), which the sign-flip test comes close to; 0 where `seeds` pairs cannot reach `allowed_p` at all.
    Source: Cohen (1988), Statistical Power Analysis, section 2.4.
    """
    if seeds < 2 or smallest_p_value(seeds) > allowed_p:
        return 0.0
    if deviation == 0:
        return 1.0 if effect else allowed_p
    freedom, shift = seeds - 1, abs(effect) / deviation * math.sqrt(seeds)
    critical = float(stats.t.isf(allowed_p / 2, freedom))
    found = float(stats.nct.sf(critical, freedom, shift) + stats.nct.cdf(-critical, freedom, shift))
    return 1.0 if math.isnan(found) else found


def minimum_detectable_effect(deviation: float, seeds: int, allowed_p: float = 0.05, power: float = 0.8) -> float:
    """The smallest true difference that `seeds` pairs find with chance `power`; infinite where they cannot decide.

    In the unit of `deviation`, the standard deviation of the paired differences. Print it beside "no difference found".
    """
    if seeds < 2 or smallest_p_value(seeds) > allowed_p:
        return math.inf
    return deviation * _unit_effect(seeds, allowed_p, power) if deviation else 0.0


@lru_cache(maxsize=1024)
def _unit_effect(seeds: int, allowed_p: float, power: float) -> float:
    """The smallest difference found with chance `power` where the deviation is 1; a table asks for few of them."""
    high = 1.0
    while paired_power(high, 1.0, seeds, allowed_p) < power:
        high *= 2
    return float(optimize.brentq(lambda d: paired_power(d, 1.0, seeds, allowed_p) - power, 0.0, high))


def seeds_needed(effect: float, deviation: float, allowed_p: float = 0.05, power: float = 0.8) -> int | None:
    """The fewest seeds with which a paired test finds a true difference `effect` with chance `power`.

    None for no effect at all, or when more than `MOST_SEEDS` would be needed.
    """
    if not effect or math.isnan(effect) or math.isnan(deviation):
        return None
    low = next(n for n in range(2, MOST_SEEDS) if smallest_p_value(n) <= allowed_p)
    if paired_power(effect, deviation, low, allowed_p) >= power:
        return low
    high = low
    while paired_power(effect, deviation, high, allowed_p) < power:
        low, high = high, 2 * high
        if high > MOST_SEEDS:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if paired_power(effect, deviation, middle, allowed_p) >= power else (middle, high)
    return high
