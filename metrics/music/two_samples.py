"""Two sets of pieces as samples of one source or two: kernel distance, and accuracy of the nearest neighbour."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from metrics.music.notes import Notes, song_numbers
from metrics.music.profile import DIMENSION, FEWEST_PIECES, yardstick
from metrics.music.resample import LEVEL, REPLICATES, Scale, measured
from metrics.quantities import ANY, SHARE, Section, music_metric, register
from metrics.result import MetricResult, missing

WIDTHS: Final = (0.5, 1.0, 2.0, 4.0, 8.0)  # of the median distance of training pieces
SCALED_BY: Final = ("training", "reference")
TIE: Final = 1e-9  # relative difference below which two distances are one
NEIGHBOUR_REPLICATES: Final = 100  # each seeks the neighbours again
NOTHING: Final = 1e-12  # sum of weights below which no pair counts
DRAWN: Final = 0.5  # weight, of a mean of 1, from which a piece takes part in a redraw


def _definition(name: str, scaled_by: str) -> str:
    return f"{name}/90-features/scaled-by-{scaled_by} v2"


def _register(name: str, better: str, **more: object) -> str:
    definition = _definition(name, SCALED_BY[0])
    return register(name, "1", better, section=Section.CLOUDS, definition=definition, **more)  # type: ignore[arg-type]


# Sets of 10 lieder against 10 others: a standard deviation of 0.010 and of 0.11 over draws; lieder against Irish: 0.28.
KERNEL_DISTANCE: Final = _register(
    "kernel_distance", "lower", bounds=ANY, label="Kernel distance", matters=0.01, spread=0.007
)
"""Spread: the median of seven studies of 2 to 6 arms and 3 to 7 seeds, with 32 or 48 pieces a seed."""
NEAREST_NEIGHBOUR_ACCURACY: Final = _register(
    "nearest_neighbour_accuracy", "nearest", bounds=SHARE, label="1-NN", matters=0.1
)


@dataclass(frozen=True)
class Samples:
    """Distances (N + M, N + M) of the standardised pieces of both sets, the N generated ones first.

    Infinite for two pieces of one song, and for a piece and itself: no such pair is counted.
    """

    distances: NDArray[np.float64]
    songs: NDArray[np.int64]  # (N + M,)
    generated: NDArray[np.int64]  # row of each generated piece, -1 where it is left out
    width: float
    scaled_by: str
    left_out: int = 0

    @property
    def own(self) -> NDArray[np.bool_]:
        """Which rows are generated pieces: shape (N + M,)."""
        return np.arange(len(self.songs)) < int((self.generated >= 0).sum())

    def only(self, rows: NDArray[np.int64]) -> Samples:
        """The samples cut to some rows, generated ones first."""
        left = np.arange(int(self.own[rows].sum()))
        return replace(self, distances=self.distances[np.ix_(rows, rows)], songs=self.songs[rows], generated=left)


def two_samples(generated: Sequence[Notes], reference: Sequence[Notes], train: Sequence[Notes]) -> Samples | str:
    """Both sets by the yardstick of `train`, or of the reference where there is none; or why that cannot be."""
    from scipy.spatial.distance import cdist

    unit = yardstick(train)
    scaled_by = SCALED_BY[unit is None]
    unit = unit or yardstick(reference)
    if unit is None:
        return f"needs {FEWEST_PIECES} reference or training pieces of two notes and two bars"
    first, second = (unit.standardised(pieces) for pieces in (generated, reference))
    sizes = len(first[0]), len(second[0])
    if min(sizes) < FEWEST_PIECES:
        found = f"{sizes[0]} generated and {sizes[1]} reference"
        return f"needs {FEWEST_PIECES} pieces of two notes and two bars on each side, got {found}"
    numbers = song_numbers([*reference, *generated])  # songs of the reference keep its order, whatever is copied
    own, other = numbers[len(reference) :], numbers[: len(reference)]
    songs = np.concatenate([own[first[1]], other[second[1]]])
    for side, numbers in zip(("generated", "reference"), np.split(songs, sizes[:1]), strict=True):
        if len(np.unique(numbers)) < 2:
            return f"needs pieces of 2 songs on each side, the {side} ones are of one"
    rows = np.where(first[1], np.cumsum(first[1]) - 1, -1)
    joined = np.concatenate([first[0], second[0]])
    left_out = len(generated) + len(reference) - len(joined)
    distances = np.where(songs[:, None] == songs, np.inf, cdist(joined, joined))
    return Samples(distances, songs, rows, unit.width, scaled_by, left_out)


def kernel_redraws(
    pool: Sequence[Notes], chosen: NDArray[np.int64], reference: Sequence[Notes], train: Sequence[Notes] = ()
) -> NDArray[np.float64]:
    """`kernel_distance` of each draw from a pool, as places in it: R N -> R; NaN where it has no value."""
    found = two_samples(pool, reference, train)
    if isinstance(found, str):
        return np.full(len(chosen), np.nan)
    rows, own = found.generated[chosen], found.own
    weights = np.zeros((len(chosen), len(own)))
    np.put_along_axis(weights, np.where(rows < 0, len(own) - 1, rows), 1.0, axis=1)
    drawn = weights[:, own]
    values = discrepancy(_kernel(found), drawn, np.ones((len(chosen), int((~own).sum()))))
    return np.where(drawn.sum(1) < FEWEST_PIECES, np.nan, values)


@music_metric({}, redraws=kernel_redraws)
def kernel_distance(
    generated: Sequence[Notes],
    reference: Sequence[Notes],
    train: Sequence[Notes] = (),
    *,
    intervals: bool = True,
    seed: int = 0,
) -> MetricResult:
    """Squared maximum mean discrepancy of the `profile` of pieces, order included; lower is nearer.

    Unbiased (Gretton et al. 2012): mean kernel within the generated set, plus that within the reference, less twice
    that across, over pairs of pieces of two songs. 0 in the mean for sets of one source, so single values may be below
    0; at most 2. Kernel: mean of five Gaussians, widths 1/2, 1, 2, 4 and 8 median distances of training pieces: a
    single one saturates before the sets are wholly apart. The 90 figures are standardised by the training pieces, or
    where there are none by the reference, which the definition then names. Pieces without two notes and two bars are
    left out. `parts`: n_reference, songs_reference, left_out, dimension, width.
    """
    found = two_samples(generated, reference, train)
    if isinstance(found, str):
        return missing(KERNEL_DISTANCE, len(generated), found)
    redraw = partial(discrepancy, _kernel(found))
    value = float(redraw(*(np.ones((1, int(side.sum()))) for side in (found.own, ~found.own)))[0])
    return _result(KERNEL_DISTANCE, value, found, redraw, {}, intervals=intervals, seed=seed)


def kernel_of(distances: NDArray[np.float64], width: float) -> NDArray[np.float64]:
    """Mean of the five Gaussian kernels of distances, elementwise, 0 for infinite ones; `width` is the median
    distance."""
    squares = distances**2 / (-2 * width**2)
    total = np.zeros_like(squares)
    for factor in WIDTHS:
        total += np.exp(squares / factor**2)
    return np.where(np.isfinite(distances), np.maximum(total / len(WIDTHS), np.finfo(float).tiny), 0.0)


def _kernel(samples: Samples) -> NDArray[np.float64]:
    return kernel_of(samples.distances, samples.width)


def discrepancy(
    kernel: NDArray[np.float64], left: NDArray[np.float64], right: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Unbiased squared discrepancy of two sets under weights of their pieces, over the pairs with a kernel above 0.

    `kernel` (N + M, N + M), `left` (R, N), `right` (R, M) -> (R,); NaN where a set has no such pair.
    """
    split = left.shape[1]
    first, second = slice(None, split), slice(split, None)
    sides = ((first, left, first, left), (second, right, second, right), (first, left, second, right))
    means = []
    for rows, weights, columns, others in sides:
        block = kernel[rows, columns]
        total, share = (((weights @ table) * others).sum(1) for table in (block, (block > 0).astype(np.float64)))
        with np.errstate(invalid="ignore", divide="ignore"):
            means.append(np.where(np.abs(share) > NOTHING, total / share, np.nan))
    return means[0] + means[1] - 2 * means[2]


def neighbour_redraws(
    pool: Sequence[Notes],
    chosen: NDArray[np.int64],
    reference: Sequence[Notes],
    train: Sequence[Notes] = (),
    seed: int = 0,
) -> NDArray[np.float64]:
    """`nearest_neighbour_accuracy` of each draw from a pool, as places in it: R N -> R; NaN where it has no value."""
    found = two_samples(pool, reference, train)
    if isinstance(found, str):
        return np.full(len(chosen), np.nan)
    against = np.flatnonzero(~found.own)
    values = []
    for rows in found.generated[chosen]:
        drawn = rows[rows >= 0]
        even = _evened(found.only(np.concatenate([drawn, against])), seed) if len(drawn) >= FEWEST_PIECES else None
        values.append(np.nan if even is None else side_accuracies(even, np.ones(len(even.songs))).mean())
    return np.array(values)


@music_metric({}, redraws=neighbour_redraws)
def nearest_neighbour_accuracy(
    generated: Sequence[Notes],
    reference: Sequence[Notes],
    train: Sequence[Notes] = (),
    *,
    intervals: bool = True,
    seed: int = 0,
) -> MetricResult:
    """Share of pieces whose nearest other piece is of their own set, as many of either: 0.5 where both sets are
    alike, 1 where they lie apart, below 0.5 where generated pieces lie on reference pieces.

    Leave-one-out 1-NN two-sample test (Lopez-Paz & Oquab 2017, arXiv 1610.06545) on the standardised `profile` of
    `kernel_distance`; mean of the accuracies of both sets; the larger set is cut at random. Of several neighbours at
    one distance each counts its share. Excerpts of one song are never neighbours, whichever set they are in, and
    neither are pieces with the same notes; in a redraw the pieces that it leaves out are not there, and a piece that is
    drawn twice stays one.
    `parts`: reference, the accuracy expected of two equal sets, (n - 1) / (2n - 1) for n songs each;
    accuracy_generated, accuracy_reference, n_reference, songs_reference, left_out, dimension, width.
    """
    found = two_samples(generated, reference, train)
    if isinstance(found, str):
        return missing(NEAREST_NEIGHBOUR_ACCURACY, len(generated), found)
    found = _evened(found, seed)
    own, counted = found.own, np.isfinite(found.distances)
    sides = side_accuracies(found, np.ones(len(own)))
    chance = ((own[:, None] == own) & counted).sum(1) / counted.sum(1)
    parts = {
        "reference": np.mean([chance[own].mean(), chance[~own].mean()]),
        "accuracy_generated": sides[0],
        "accuracy_reference": sides[1],
    }

    def redraw(*weights: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.array([side_accuracies(found, row).mean() for row in np.concatenate(weights, axis=1)])

    more: dict[str, Any] = {"scale": "overlap", "replicates": NEIGHBOUR_REPLICATES}
    value, name = float(sides.mean()), NEAREST_NEIGHBOUR_ACCURACY
    result = _result(name, value, found, redraw, parts, intervals=intervals, seed=seed, **more)
    if np.isfinite(result.low) and value in (0, 1):  # halves hardly spread: at least the exact binomial bound
        edge = ((1 - LEVEL) / 2) ** (1 / (result.songs + result.parts["songs_reference"]))
        bounds = {"low": min(result.low, edge)} if value == 1 else {"high": max(result.high, 1 - edge)}
        result = replace(result, **bounds)
    return result


def _evened(samples: Samples, seed: int) -> Samples:
    """The samples with the larger set cut at random to the size of the smaller."""
    generator = np.random.default_rng([seed, 5])
    sides = [np.flatnonzero(samples.own), np.flatnonzero(~samples.own)]
    size = min(map(len, sides))
    return samples.only(np.concatenate([np.sort(generator.permutation(side)[:size]) for side in sides]))


def side_accuracies(samples: Samples, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Accuracy of the nearest neighbour among the generated and among the reference pieces that are drawn.

    `weights` (N + M,) of the pieces; those of half the mean weight or less are not drawn. Shape (2,), NaN for a set
    without a piece that has a neighbour.
    """
    rows = np.flatnonzero(weights > DRAWN)
    own, apart = samples.own[rows], samples.distances[np.ix_(rows, rows)]
    nearest = apart.min(1, initial=np.inf)
    tied = apart <= nearest[:, None] * (1 + TIE)
    correct = (tied & (own[:, None] == own)).sum(1) / tied.sum(1)
    counted = np.where(np.isfinite(nearest), weights[rows], 0.0)
    sums = [(counted[side].sum(), counted[side] @ correct[side]) for side in (own, ~own)]
    return np.array([hits / total if total > 0 else np.nan for total, hits in sums])


def _result(
    name: str,
    value: float,
    samples: Samples,
    redraw: Callable[..., NDArray[np.float64]],
    parts: Mapping[str, float],
    *,
    intervals: bool,
    seed: int,
    scale: Scale = "linear",
    replicates: int = REPLICATES,
) -> MetricResult:
    sets = [samples.songs[samples.own], samples.songs[~samples.own]]
    more = {
        "n_reference": len(sets[1]),
        "left_out": samples.left_out,
        "dimension": DIMENSION,
        "width": samples.width,
    }
    options: dict[str, Any] = {"intervals": intervals, "seed": seed, "scale": scale, "replicates": replicates}
    result = measured(name, value, sets, redraw, {**parts, **more}, **options)
    return replace(result, definition=_definition(name, samples.scaled_by))
