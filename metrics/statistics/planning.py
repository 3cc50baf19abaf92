"""Chance that a design decides a comparison, and the seeds or songs that it needs to: the one answer to "how many"."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import optimize, special, stats

from metrics.statistics.differences import FEWEST_SEEDS, Components, satterthwaite
from metrics.statistics.simultaneous import Family

MOST = 10_000
"""Beyond so many seeds or songs a comparison counts as undecidable."""
POWER = 0.8
MOST_SPREADS = 1e9
"""A difference of so many spreads that is not called never is."""


@dataclass(frozen=True)
class Needed:
    """The fewest seeds (with as many songs as now) and the fewest songs (with as many seeds as now) that decide.

    None: not by any number up to `MOST`, or, for songs, songs are not random. `limit` is the one that the comparison
    waits for: "seeds", "songs", "both" where only more of both decides, or "" where nothing up to `MOST` does. "songs"
    without a number of either: songs alone are random, and nothing up to `MOST` decides.
    """

    seeds: int | None
    songs: int | None
    limit: str

    @property
    def text(self) -> str:
        """For a table: "7 seeds", "7 seeds or 40 songs", "more seeds and more songs", "over 10,000 seeds"."""
        found = [f"{count} {name}" for name, count in (("seeds", self.seeds), ("songs", self.songs)) if count]
        if self.limit == "songs":
            found.reverse()
        if found:
            return " or ".join(found)
        return "more seeds and more songs" if self.limit == "both" else f"over {MOST:,} {self.limit or 'seeds'}"


def decision_chance(
    effect: float,
    margin: float | None,
    components: Components,
    family: Family,
    seeds: int,
    songs: int = 0,
    level: float = 0.95,
) -> float:
    """Chance that a true difference `effect` gets another verdict than "open", 0..1.

    Decided is an interval that excludes 0, or one inside +-margin (None: no margin, the first alone). The estimate is
    normal, its squared error a multiple of chi-square with the expected Satterthwaite degrees, independent of it.
    `songs` = 0: only seeds are random. Under `FEWEST_SEEDS` the chance is 0.
    """
    if seeds < FEWEST_SEEDS or songs == 1:
        return 0.0
    true_error, half_Q = _half_widths(components, family, seeds, songs, level)
    if true_error == 0:
        return 1.0 if effect != 0 or margin is not None else 0.0
    inside_Q = _between(-half_Q, half_Q, effect, true_error)
    if margin is not None:
        same_Q = np.maximum(margin - half_Q, -1.0)  # |estimate| under this: the interval lies inside the margin
        both_Q = np.minimum(same_Q, half_Q)
        inside_Q = inside_Q - np.where(both_Q > 0, _between(-both_Q, both_Q, effect, true_error), 0.0)
    return float(1 - inside_Q.mean())


def needed(
    effect: float,
    margin: float | None,
    components: Components,
    family: Family,
    seeds: int,
    songs: int = 0,
    level: float = 0.95,
    power: float = POWER,
    *,
    more: bool = False,
) -> Needed:
    """The fewest seeds, and the fewest songs where `songs` > 0, with which `effect` is decided with chance `power`.

    The effect and the components are taken for the truth: those of a pilot, or of the comparison that is open. `more`:
    only numbers above the present ones, which have left it open.
    """

    def chance(seed_count: int, song_count: int) -> float:
        return decision_chance(effect, margin, components, family, seed_count, song_count, level)

    now = max(seeds, FEWEST_SEEDS)
    by_seeds = fewest(lambda count: chance(count, songs), max(FEWEST_SEEDS, seeds + 1 if more else 0), power)
    if not songs:
        return Needed(by_seeds, None, "seeds" if by_seeds else "")
    by_songs = fewest(lambda count: chance(now, count), songs + 1 if more else 2, power)
    if by_seeds and by_songs:
        of_seeds = components.seed / now
        of_songs = components.song / songs
        return Needed(by_seeds, by_songs, "songs" if of_songs > of_seeds else "seeds")
    if by_seeds or by_songs:
        return Needed(by_seeds, by_songs, "seeds" if by_seeds else "songs")
    return Needed(None, None, "both" if chance(MOST, MOST) >= power else "")


def shown_from(
    components: Components, family: Family, seeds: int, songs: int = 0, level: float = 0.95, power: float = POWER
) -> float:
    """The smallest true difference that is called with chance `power`, in the unit of the components; infinite where
    none is. Noncentral t with the family's critical value. Source: Cohen (1988), Statistical Power Analysis, section
    2.4."""
    if seeds < FEWEST_SEEDS:
        return math.inf
    spread = math.sqrt(components.seed + components.song + components.residual)
    if spread == 0:
        return 0.0
    return _first(lambda effect: decision_chance(effect, None, components, family, seeds, songs, level) - power, spread)


def _first(missing: Callable[[float], float], spread: float) -> float:
    """Where a rising function crosses 0, searched from `spread` on; infinite where it stays below."""
    high = spread
    while missing(high) < 0:
        high *= 2
        if high > MOST_SPREADS * spread:
            return math.inf
    return float(optimize.brentq(missing, 0.0, high, xtol=1e-6 * spread))


def fewest(chance: Callable[[int], float], low: int, power: float = POWER) -> int | None:
    """The smallest count from `low` to `MOST` whose chance, which rises with the count, reaches `power`; None where
    none does."""
    if chance(low) >= power:
        return low
    if chance(MOST) < power:
        return None
    high = low
    while chance(high) < power:
        low, high = high, min(2 * high, MOST)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if chance(middle) >= power else (middle, high)
    return high


def _half_widths(
    components: Components, family: Family, seeds: int, songs: int, level: float
) -> tuple[float, np.ndarray]:
    """True standard error of the estimate, and quantiles of the half width of its interval."""
    of_songs = 1 / songs if songs else 0.0
    rest = components.residual * of_songs
    parts = ((components.seed + rest) / seeds, (components.song * of_songs + rest / seeds) if songs else 0.0)
    true_error = math.sqrt(max(sum(parts) - rest / seeds, 0.0))
    of_seeds = float((family.arms - 1) * (seeds - 1))
    freedom = float(satterthwaite(parts, (of_seeds, songs - 1)))
    widths = [
        (float(size) * math.sqrt(variance), degrees)
        for size, variance, degrees in zip(
            family.criticals(np.array([freedom, of_seeds]), level),
            (sum(parts), parts[0]),
            (freedom, of_seeds),
            strict=True,
        )
    ]
    half, degrees = max(widths)
    return true_error, half * _scale_quantiles(degrees)


@lru_cache(maxsize=1024)
def _scale_quantiles(freedom: float) -> np.ndarray:
    """200 evenly likely values of estimated over true standard error."""
    if math.isinf(freedom):
        return np.ones(1)
    return np.sqrt(stats.chi2.ppf((np.arange(200) + 0.5) / 200, freedom) / freedom)


def _between(low: np.ndarray, high: np.ndarray, mean: float, error: float) -> np.ndarray:
    return special.ndtr((high - mean) / error) - special.ndtr((low - mean) / error)
