"""Two sets of pieces, or sets of several seeds, compared by one figure on a shared reference: songs are random."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Final

import numpy as np
from numpy.typing import NDArray

from metrics.statistics.differences import FEWEST_SEEDS, Components, Difference, Unit, satterthwaite
from metrics.statistics.intervals import Interval, without_interval
from metrics.statistics.jackknife import degrees_of_freedom
from metrics.statistics.simultaneous import Family
from metrics.statistics.songs import half_widths

NO_SPREAD: Final = "no spread over single songs"
NO_FIGURE: Final = "no figure without some of the songs"
Values = NDArray[np.float64]


@dataclass(frozen=True)
class SetFigure:
    """A figure of a set of pieces, and what it becomes without each of its songs (or groups of songs) in turn.

    `without`: first of the set itself (G,), then of the reference it is measured against (H,), if any. A figure without
    a spread has none, and `reason` says why. `songs`: of the smaller of the two, where songs are left out in groups; 0:
    as many as `without` has figures.
    """

    value: float
    without: tuple[Values, ...] = field(default=(), compare=False)
    reason: str = ""
    songs: int = 0


def set_difference(
    first: Sequence[SetFigure],
    second: Sequence[SetFigure],
    names: tuple[str, str],
    family: Family,
    level: float = 0.95,
) -> Difference:
    """first - second, each the mean over its figures: one for music that exists once, one per seed of a trained arm.

    The variance of the estimate has three independent parts. A set's own songs: that of a figure which exists once, by
    the jackknife, (G - 1) / G times the sum of squared moves (Efron & Stein 1981, doi 10.1214/aos/1176345462). Seeds:
    the variance between the figures of several seeds, and no less than that of their pieces. The reference: moves of
    the difference, since both sides are measured against the same songs. Freedom: that of the smallest set, or fewer
    where few songs decide (`degrees_of_freedom`); with seeds no more than that, nor than Satterthwaite's, and never
    narrower than with seeds alone (`half_widths`). Figures of sets that are near their reference spread less than the
    jackknife allows for: fewer false calls there, not more.

    `unit` of the difference is "song" where neither side has several seeds; `interval.n` then counts songs.
    """
    sides = (first, second)
    value = float(np.mean([one.value for one in first]) - np.mean([one.value for one in second]))
    repeated = [[one.value for one in side] for side in sides if len(side) > 1]
    own = [side[0].without[0] for side in sides if len(side) == 1 and side[0].without]
    moves = [_moves(one) for one in (*own, *_against_reference(first, second))]
    songs = min(map(len, moves), default=0)
    known = [one.songs for side in sides if len(side) == 1 for one in side if one.songs]
    real = max(songs, min(known, default=0))
    seeds = min(map(len, repeated), default=0)
    count, more = (seeds, real) if seeds else (real, 0)
    reason = next((one.reason or NO_SPREAD for side in sides for one in side if not one.without), "")
    if not reason and math.isfinite(value) and songs < FEWEST_SEEDS:
        reason = f"{songs} songs, {FEWEST_SEEDS} are needed"
    pieces = [one.without[0] for side in sides if len(side) > 1 for one in side if one.without]
    if not reason and not all(np.isfinite(figures).all() for figures in (*moves, *pieces)):
        reason = NO_FIGURE
    unit: Unit = "seed" if seeds else "song"
    if reason or not math.isfinite(value):
        interval, none = without_interval(value, count, level, reason or "no figure"), (math.nan, math.nan)
        return Difference(*names, interval, (), *none, none, family, Components(math.nan), more, unit)
    of_songs = float(sum(map(_variance, moves)))
    song_freedom = min(songs - 1, degrees_of_freedom(moves))
    variances = [_of_seeds(side) for side in sides if len(side) > 1]
    of_seeds = sum(variances)
    seed_freedom = float(satterthwaite(variances, [len(values) - 1 for values in repeated])) if seeds else math.inf
    error = math.sqrt(of_seeds + of_songs)
    freedom = min(float(satterthwaite((of_seeds, of_songs), (seed_freedom, song_freedom))), song_freedom)
    least = float(half_widths(of_seeds, of_songs, seed_freedom, song_freedom, family, level))
    half = max(family.critical(freedom, level) * error, least)
    alone = (math.sqrt(of_seeds), seed_freedom) if seeds else (error, freedom)
    components = Components(of_seeds * seeds, of_songs * real) if seeds else Components(of_songs * real)
    interval = Interval(value, value - half, value + half, count, level)
    return Difference(*names, interval, (), error, freedom, alone, family, components, more, unit)


def _variance(moves: Values) -> float:
    """Jackknife variance."""
    return (len(moves) - 1) / len(moves) * float((moves**2).sum())


def _of_seeds(side: Sequence[SetFigure]) -> float:
    """Variance of the mean over seeds: that between them, and no less than that of their pieces."""
    between = float(np.var([one.value for one in side], ddof=1)) / len(side)
    return max(between, sum(_variance(_moves(one.without[0])) for one in side) / len(side) ** 2)


def _moves(figures: Values) -> Values:
    return figures - figures.mean()


def _against_reference(first: Sequence[SetFigure], second: Sequence[SetFigure]) -> list[Values]:
    """First - second without each song of the reference; both apart where their references differ in size."""
    each = [[one.without[1] for one in side if len(one.without) > 1] for side in (first, second)]
    if len({len(values) for side in each for values in side}) == 1 and all(each):
        return [np.asarray(np.mean(each[0], axis=0) - np.mean(each[1], axis=0))]
    return [values / len(side) for side in each for values in side]


def set_pairs(figures: dict[str, SetFigure], level: float = 0.95) -> dict[tuple[str, str], Difference]:
    """first - second for every two sets: their intervals cover together with chance `level` (Games & Howell 1976, doi
    10.3102/10769986001002113: the studentised range with the freedom of each pair)."""
    family = Family("pairs", len(figures))
    return {
        (a, b): set_difference([figures[a]], [figures[b]], (a, b), family, level) for a, b in combinations(figures, 2)
    }
