"""Intervals over pieces: halves of the pieces are drawn, and the spread of the figures they give is taken.

Half of the pieces, drawn without replacement, give a mean whose spread around the whole set's is that of the whole
set's mean around the truth (delete-half jackknife, Shao & Wu 1989). A bootstrap would do for means, but draws pieces
twice: copies at distance 0 move overlaps of distances, see `oa_from_features`. Only the spread is taken, never the
middle: the figure of half the pieces is biased further than that of the whole.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from metrics.result import MetricResult

REPLICATES: Final = 300
LEVEL: Final = 0.95
FEWEST_PIECES: Final = 3
FEWEST_REDRAWS: Final = 20
FEWEST_DEGREES: Final = 3.0
SMALLEST_VARIANCE: Final = 1e-24  # of moves; below, rounding
SMALLEST_RATE: Final = 1 / 20  # of the value: stands for a rate of 0 in a half, since the log-odds of 0 are infinite

Scale = Literal["linear", "overlap", "rate", "level"]


def half_weights(
    count: int, seed: int | list[int], replicates: int = REPLICATES, left_out: float = 0.5
) -> NDArray[np.float64]:
    """Weight of each of `count` pieces in each draw of a half, or of 1 - `left_out`, mean 1: shape (replicates, count).

    Chosen pieces have a weight over 1 and the others 0; where `count` does not divide the weights keep a little of the
    others, so that a weighted mean always has the variance of the mean of all pieces, divided by `stretch(left_out)`
    squared, which is 1 for halves.
    """
    return _draw_parts(count, (seed,) if isinstance(seed, int) else tuple(seed), replicates, left_out)


def measured(
    name: str,
    value: float,
    counts: Sequence[int],
    redraw: Callable[..., NDArray[np.float64]],
    parts: Mapping[str, float],
    *,
    intervals: bool,
    seed: int,
    scale: Scale = "linear",
    replicates: int = REPLICATES,
) -> MetricResult:
    """A result with its interval over pieces, and its `parts`.

    `counts` are the pieces of each set, the generated first. `redraw` takes a table of `half_weights` for each set,
    (replicates, count), and gives the figure of each draw; it is not called without `intervals`.
    """
    low, high = float("nan"), float("nan")
    if intervals:
        weights = (half_weights(count, [seed, side], replicates) for side, count in enumerate(counts))
        low, high = interval(value, redraw(*weights), min(counts), scale)
    return MetricResult(name, value, counts[0], "", low, high, {part: float(parts[part]) for part in parts})


def mean_measured(
    name: str,
    values: NDArray[np.float64],
    parts: Mapping[str, float],
    *,
    intervals: bool,
    seed: int,
    scale: Scale = "linear",
) -> MetricResult:
    """The mean of one value a piece as a result, see `measured`."""
    means = partial(_weighted_means, values)
    return measured(
        name, float(values.mean()), [len(values)], means, parts, intervals=intervals, seed=seed, scale=scale
    )


def _weighted_means(values: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    return weights @ values / len(values)


def stretch(left_out: float) -> float:
    """Factor for the spread of values that leave out this share of the pieces."""
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


def degrees_of_freedom(without: Sequence[NDArray[np.float64]]) -> float:
    """Degrees of freedom of a spread, from the figures of each set without one of its pieces (Satterthwaite).

    The variance of a figure is about the sum of squares of what each of the n pieces moves it by, and the sampling
    error of that sum grows with the kurtosis k of the moves: 2 n / (k - 1). Normal moves give n; where few unusual
    pieces decide, the spread itself is uncertain and the interval must be wider.
    """
    known = [figures[np.isfinite(figures)] for figures in without]
    moves = np.concatenate([figures - figures.mean() for figures in known if len(figures)] or [np.zeros(0)])
    variance = float((moves**2).mean()) if len(moves) else 0.0
    if variance < SMALLEST_VARIANCE:
        return float("inf")
    kurtosis = float((moves**4).mean()) / variance**2
    return max(2 * len(moves) / max(kurtosis - 1, 1e-9), FEWEST_DEGREES)


def interval(
    value: float,
    redrawn: NDArray[np.float64],
    pieces: int,
    scale: Scale = "linear",
    degrees: float = float("inf"),
    stretched: float = 1.0,
) -> tuple[float, float]:
    """95 % interval around `value`: value -/+ t x spread of the redrawn figures, on the scale that suits, t with pieces
    - 1 degrees of freedom, or fewer if `degrees` is smaller. `stretched` multiplies the spread, see `stretch`.

    `overlap`: arcsine of the square root, for figures in 0..1 near 1. `rate`: log-odds, for shares near 0. `level`:
    whole numbers such as a 95th percentile of counts; quantiles of the redrawn figures, widened to hold the value.
    NaN for fewer than 3 pieces, and for a rate of 0 or 1, which has no spread. Covers the expected value of the
    metric at this number of pieces; an overlap of few pieces lies below that of many by construction.
    """
    redrawn = redrawn[np.isfinite(redrawn)]
    if pieces < FEWEST_PIECES or len(redrawn) < FEWEST_REDRAWS or not np.isfinite(value):
        return float("nan"), float("nan")
    if scale == "level":
        low, high = np.quantile(redrawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        return min(float(low), value), max(float(high), value)
    if scale == "rate" and not 0 < value < 1:
        return float("nan"), float("nan")
    from scipy.special import stdtrit

    points = _there(np.append(redrawn, value), value, scale)
    half_width = float(stdtrit(min(pieces - 1, degrees), (1 + LEVEL) / 2)) * stretched * float(points[:-1].std())
    low, high = _back(points[-1] + half_width * np.array([-1.0, 1.0]), scale)
    return float(low), float(high)


def _there(x: NDArray[np.float64], value: float, scale: Scale) -> NDArray[np.float64]:
    if scale == "overlap":
        return np.arcsin(np.sqrt(np.clip(x, 0, 1)))
    if scale == "rate":
        edge = SMALLEST_RATE * min(value, 1 - value)
        kept = np.clip(x, edge, 1 - edge)
        return np.log(kept / (1 - kept))
    return x


def _back(y: NDArray[np.float64], scale: Scale) -> NDArray[np.float64]:
    if scale == "overlap":
        return np.sin(np.clip(y, 0, np.pi / 2)) ** 2
    return 1 / (1 + np.exp(-y)) if scale == "rate" else y
