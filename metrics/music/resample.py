"""Intervals over songs: halves of the songs are drawn with all their pieces, and the spread of the figures is taken.

Half of the songs, drawn without replacement, give a mean whose spread around the whole set's is that of the whole
set's mean around the truth (delete-half jackknife, Shao & Wu 1989). A bootstrap would do for means, but draws pieces
twice: copies at distance 0 move overlaps of distances, see `oa_from_features`. Only the spread is taken, never the
middle: the figure of half the songs is biased further than that of the whole. Pieces of one song are alike, so that
they are drawn together: taken as independent they would give an interval too narrow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from metrics.result import MetricResult
from metrics.statistics.jackknife import degrees_of_freedom

REPLICATES: Final = 300
LEVEL: Final = 0.95
FEWEST_SONGS: Final = 3
MOST_GROUPS: Final = 50  # above this many songs, groups of songs are left out in turn
FEWEST_REDRAWS: Final = 20
SIDES: Final = ("generated", "reference")
SMALLEST_RATE: Final = 1 / 20  # of the value: stands for a rate of 0 in a half, since the log-odds of 0 are infinite

Scale = Literal["linear", "overlap", "rate", "distance", "level"]
Songs = NDArray[np.int64]
"""Number of the song of each piece of a set, from 0: shape (N,), see `metrics.music.notes.song_numbers`."""


def half_weights(
    count: int, seed: int | list[int], replicates: int = REPLICATES, left_out: float = 0.5
) -> NDArray[np.float64]:
    """Weight of each of `count` songs in each draw of a half, or of 1 - `left_out`, mean 1: shape (replicates, count).

    Chosen songs have a weight over 1 and the others 0; where `count` does not divide the weights keep a little of the
    others, so that a weighted mean always has the variance of the mean of all songs, divided by `stretch(left_out)`
    squared, which is 1 for halves.
    """
    return _draw_parts(count, (seed,) if isinstance(seed, int) else tuple(seed), replicates, left_out)


def left_out_in_turn(count: int) -> NDArray[np.float64]:
    """Weights, mean 1, of `count` songs without each of them in turn: shape (count, count)."""
    return (1 - np.eye(count)) * count / max(count - 1, 1)


def measured(
    name: str,
    value: float,
    sets: Sequence[Songs],
    redraw: Callable[..., NDArray[np.float64]],
    parts: Mapping[str, float],
    *,
    intervals: bool,
    seed: int,
    scale: Scale = "linear",
    replicates: int = REPLICATES,
    values: NDArray[np.float64] | None = None,
) -> MetricResult:
    """A result with its interval over songs, its `parts` and the `values` of generated pieces.

    `sets` are the songs of the pieces of each set, the generated first. `redraw` takes a table of weights of the pieces
    of each set, (draws, pieces), and gives the figure of each draw; it is not called without `intervals`, nor where a
    set has fewer than 3 songs.
    """
    sets = [renumbered(songs) for songs in sets]
    counts = song_counts(sets)
    low, high, reason = float("nan"), float("nan"), ""
    turns: tuple[NDArray[np.float64], ...] = ()
    if intervals:
        reason = too_few_songs(sets)
        if not reason:
            drawn, without = _redrawn(sets, redraw, seed, replicates)
            low, high = interval(value, drawn, min(counts), scale, degrees_of_freedom(without))
            turns = () if scale == "level" else tuple(without)
    named = {part: float(parts[part]) for part in parts}
    named |= {f"songs_{side}": float(count) for side, count in zip(SIDES[1:], counts[1:], strict=False)}
    each = () if values is None else tuple(values.tolist())
    return MetricResult(name, value, len(sets[0]), reason, low, high, named, "", counts[0], each, turns)


def _redrawn(
    sets: Sequence[Songs], redraw: Callable[..., NDArray[np.float64]], seed: int, replicates: int
) -> tuple[NDArray[np.float64], list[NDArray[np.float64]]]:
    """Figures of halves of every set, and of the sets without each song, or group of songs, of one of them."""
    groups = [group_songs(songs) for songs in sets]
    sizes = song_counts(groups)
    tables = []
    for side, songs in enumerate(sets):
        halves = half_weights(song_counts([songs])[0], [seed, side], replicates)[:, songs]
        less = [
            left_out_in_turn(size)[:, groups[side]] if other == side else np.ones((size, len(songs)))
            for other, size in enumerate(sizes)
        ]
        tables.append(np.concatenate([halves, *less]))
    drawn, *without = np.split(redraw(*tables), np.cumsum([replicates, *sizes[:-1]]))
    return drawn, without


def song_counts(sets: Sequence[Songs]) -> list[int]:
    """Number of songs, or of groups of them, of each set."""
    return [int(songs.max()) + 1 if len(songs) else 0 for songs in sets]


def group_songs(songs: Songs) -> Songs:
    """The songs themselves up to 50 of them; above, 50 groups of songs of about equal number."""
    return songs % MOST_GROUPS


def too_few_songs(sets: Sequence[Songs]) -> str:
    """Why there is no interval: a set with fewer than 3 songs; empty where there is one."""
    for side, (songs, count) in enumerate(zip(sets, song_counts(sets), strict=True)):
        if count < FEWEST_SONGS:
            return f"no interval: {len(songs)} {SIDES[side]} pieces of {count} songs, {FEWEST_SONGS} songs are needed"
    return ""


def mean_measured(
    name: str,
    values: NDArray[np.float64],
    songs: Songs,
    parts: Mapping[str, float],
    *,
    intervals: bool,
    seed: int,
    scale: Scale = "linear",
) -> MetricResult:
    """The mean of one value a piece as a result, see `measured`; pieces without a value are NaN and left out."""
    kept = np.isfinite(values)
    means = partial(weighted_means, values[kept])
    more: dict[str, Any] = {"intervals": intervals, "seed": seed, "scale": scale}
    return measured(name, float(values[kept].mean()), [songs[kept]], means, parts, values=values, **more)


def renumbered(songs: Songs) -> Songs:
    """The songs numbered from 0 without gaps, for pieces that are some of a set."""
    return np.unique(songs, return_inverse=True)[1].astype(np.int64)


def weighted_means(values: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean of one value a piece under each row of weights: N, R N -> R."""
    return weights @ values / weights.sum(1)


def stretch(left_out: float) -> float:
    """Factor for the spread of values that leave out this share of the songs."""
    return float(np.sqrt((1 - left_out) / left_out))


@lru_cache(maxsize=16)  # many metrics of one table draw the same halves
def _draw_parts(count: int, seed: tuple[int, ...], replicates: int, left_out: float) -> NDArray[np.float64]:
    generator = np.random.default_rng(seed)
    out = int(np.ceil(count * left_out))
    kept = count - out
    if kept == 0:
        weights = np.ones((replicates, count))
    else:
        rank = np.argsort(np.argsort(generator.random((replicates, count)), axis=1), axis=1)
        chosen = np.where(rank < kept, count / kept, 0.0)
        weights = 1 + np.sqrt(kept / out) / stretch(left_out) * (chosen - 1)
    weights.setflags(write=False)
    return weights


def interval(
    value: float,
    redrawn: NDArray[np.float64],
    songs: int,
    scale: Scale = "linear",
    degrees: float = float("inf"),
    stretched: float = 1.0,
) -> tuple[float, float]:
    """95 % interval around `value`: value -/+ t x spread of the redrawn figures, on the scale that suits, t with songs
    - 1 degrees of freedom, or fewer if `degrees` is smaller. `stretched` multiplies the spread, see `stretch`.

    `overlap`: arcsine of the square root, for figures in 0..1 near 1. `rate`: log-odds, for shares near 0. `distance`:
    square root, for distances near 0; the spread is taken about `value`, since halves lie further apart than wholes, so
    that the interval is wide where the distance is hardly more than chance. `level`: whole numbers such as a 95th
    percentile of counts; quantiles of the redrawn figures, widened to hold the value.
    NaN for fewer than 3 songs, and for a rate of 0 or 1, which has no spread. Covers the expected value of the
    metric at this number of pieces; an overlap of few pieces lies below that of many by construction.
    """
    redrawn = redrawn[np.isfinite(redrawn)]
    if songs < FEWEST_SONGS or len(redrawn) < FEWEST_REDRAWS or not np.isfinite(value):
        return float("nan"), float("nan")
    if scale == "level":
        low, high = np.quantile(redrawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        return min(float(low), value), max(float(high), value)
    if scale == "rate" and not 0 < value < 1:
        return float("nan"), float("nan")
    from scipy.special import stdtrit

    points = _there(np.append(redrawn, value), value, scale)
    middle = points[-1] if scale == "distance" else points[:-1].mean()
    spread = stretched * float(np.sqrt(((points[:-1] - middle) ** 2).mean()))
    half_width = float(stdtrit(min(songs - 1, degrees), (1 + LEVEL) / 2)) * spread
    low, high = _back(points[-1] + half_width * np.array([-1.0, 1.0]), scale)
    return float(low), float(high)


def _there(x: NDArray[np.float64], value: float, scale: Scale) -> NDArray[np.float64]:
    if scale == "overlap":
        return np.arcsin(np.sqrt(np.clip(x, 0, 1)))
    if scale == "rate":
        edge = SMALLEST_RATE * min(value, 1 - value)
        kept = np.clip(x, edge, 1 - edge)
        return np.log(kept / (1 - kept))
    return np.sqrt(np.maximum(x, 0)) if scale == "distance" else x


def _back(y: NDArray[np.float64], scale: Scale) -> NDArray[np.float64]:
    if scale == "overlap":
        return np.sin(np.clip(y, 0, np.pi / 2)) ** 2
    if scale == "distance":
        return np.maximum(y, 0) ** 2
    return 1 / (1 + np.exp(-y)) if scale == "rate" else y
