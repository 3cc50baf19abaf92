"""Two sets of pieces as samples of one source or two: kernel distance, and accuracy of the nearest neighbour."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from metrics.music.notes import Notes, song_numbers
from metrics.music.profile import DIMENSION, FEWEST_PIECES, yardstick
from metrics.music.resample import Scale, measured
from metrics.quantities import ANY, SHARE, Section, music_metric, register
from metrics.result import MetricResult, missing

WIDTHS: Final = (0.5, 1.0, 2.0, 4.0, 8.0)  # of the median distance of training pieces
SCALED_BY: Final = ("training", "reference")
NEAREST: Final = 64  # neighbours kept of each piece; a redraw leaves out all of them once in 2^64
TIE: Final = 1e-9  # relative difference below which two distances are one
DRAWN: Final = 0.5  # weight, of a mean of 1, from which a piece takes part in a redraw


def _definition(name: str, scaled_by: str) -> str:
    return f"{name}/90-features/scaled-by-{scaled_by} v1"


def _register(name: str, better: str, **more: object) -> str:
    definition = _definition(name, SCALED_BY[0])
    return register(name, "1", better, section=Section.CLOUDS, definition=definition, **more)  # type: ignore[arg-type]


KERNEL_DISTANCE: Final = _register("kernel_distance", "lower", bounds=ANY)
NEAREST_NEIGHBOUR_ACCURACY: Final = _register("nearest_neighbour_accuracy", "nearest", bounds=SHARE, label="1-NN")


@dataclass(frozen=True)
class Samples:
    """Distances (N + M, N + M) of the standardised pieces of both sets, the first N generated, and what they are."""

    distances: NDArray[np.float64]
    songs: NDArray[np.int64]  # (N + M,)
    generated: int
    width: float
    scaled_by: str
    left_out: int

    @property
    def counts(self) -> tuple[int, int]:
        """Pieces of each set."""
        return self.generated, len(self.songs) - self.generated

    @property
    def strangers(self) -> NDArray[np.bool_]:
        """Which pairs are of two songs: shape (N + M, N + M). A piece and itself are of one."""
        return self.songs[:, None] != self.songs


def two_samples(
    generated: Sequence[Notes], reference: Sequence[Notes], train: Sequence[Notes], seed: int | None = None
) -> Samples | str:
    """Both sets by the yardstick of `train`, or of the reference where there is none; or why that cannot be.

    With a `seed` the larger set is cut at random to the size of the smaller.
    """
    from scipy.spatial.distance import cdist

    unit = yardstick(train)
    scaled_by = SCALED_BY[unit is None]
    unit = unit or yardstick(reference)
    if unit is None:
        return f"needs {FEWEST_PIECES} reference or training pieces of two notes and two bars"
    tables, kept = zip(*(unit.standardised(pieces) for pieces in (generated, reference)), strict=True)
    if min(map(len, tables)) < FEWEST_PIECES:
        sizes = f"{len(tables[0])} generated and {len(tables[1])} reference"
        return f"needs {FEWEST_PIECES} pieces of two notes and two bars on each side, got {sizes}"
    chosen = [np.flatnonzero(mask) for mask in kept]
    left_out = len(generated) + len(reference) - sum(map(len, tables))
    if seed is not None:
        size, generator = min(map(len, tables)), np.random.default_rng([seed, 5])
        rows = [np.sort(generator.permutation(len(table))[:size]) for table in tables]
        tables = tuple(table[row] for table, row in zip(tables, rows, strict=True))
        chosen = [places[row] for places, row in zip(chosen, rows, strict=True)]
    sides = zip((generated, reference), chosen, strict=True)
    pieces = [pieces[place] for pieces, places in sides for place in places.tolist()]
    songs, joined = song_numbers(pieces), np.concatenate(tables)
    for side, numbers in zip(("generated", "reference"), np.split(songs, [len(tables[0])]), strict=True):
        if len(np.unique(numbers)) < 2:
            return f"needs 2 songs on each side, the {side} pieces are of one"
    return Samples(cdist(joined, joined), songs, len(tables[0]), unit.width, scaled_by, left_out)


@music_metric({})
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
    left out. `parts`: n_reference, left_out, dimension, width.
    """
    found = two_samples(generated, reference, train)
    if isinstance(found, str):
        return missing(KERNEL_DISTANCE, len(generated), found)
    redraw = partial(discrepancy, kernel_of(found.distances, found.width), found.strangers)
    value = float(redraw(*(np.ones((1, count)) for count in found.counts))[0])
    return _result(KERNEL_DISTANCE, value, found, redraw, {}, intervals=intervals, seed=seed)


def kernel_of(distances: NDArray[np.float64], width: float) -> NDArray[np.float64]:
    """Mean of the five Gaussian kernels of distances, elementwise; `width` is the median distance."""
    squares = distances**2 / (2 * width**2)
    return np.mean([np.exp(-squares / factor**2) for factor in WIDTHS], axis=0)


def discrepancy(
    kernel: NDArray[np.float64], counted: NDArray[np.bool_], left: NDArray[np.float64], right: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Unbiased squared discrepancy of two sets under weights of their pieces, over the pairs that are `counted`.

    `kernel` and `counted` (N + M, N + M), `left` (R, N), `right` (R, M) -> (R,); NaN without such a pair in a set.
    """
    split = left.shape[1]
    first, second = slice(None, split), slice(split, None)
    sides = ((first, left, first, left), (second, right, second, right), (first, left, second, right))
    means = []
    for rows, weights, columns, others in sides:
        pairs = counted[rows, columns]
        total = ((weights @ (kernel[rows, columns] * pairs)) * others).sum(1)
        share = ((weights @ pairs) * others).sum(1)
        with np.errstate(invalid="ignore", divide="ignore"):
            means.append(np.where(np.abs(share) > 1e-12, total / share, np.nan))
    return means[0] + means[1] - 2 * means[2]


@music_metric({})
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
    one distance each counts its share. Excerpts of one song are never neighbours, whichever set they are in; in a
    redraw neither are the pieces that it leaves out, and a piece that is drawn twice stays one.
    `parts`: reference, the accuracy expected of two equal sets, (n - 1) / (2n - 1) for n songs each;
    accuracy_generated, accuracy_reference, n_reference, left_out, dimension, width.
    """
    found = two_samples(generated, reference, train, seed)
    if isinstance(found, str):
        return missing(NEAREST_NEIGHBOUR_ACCURACY, len(generated), found)
    neighbours = Neighbours.of(found)
    ones = [np.ones((1, count)) for count in found.counts]
    sides = neighbours.accuracies(*ones)[0]
    same = np.arange(len(found.songs)) < found.generated
    strangers = found.strangers
    chance = ((same[:, None] == same) & strangers).sum(1) / strangers.sum(1)
    parts = {
        "reference": np.mean([chance[same].mean(), chance[~same].mean()]),
        "accuracy_generated": sides[0],
        "accuracy_reference": sides[1],
    }
    value = float(sides.mean())
    name = NEAREST_NEIGHBOUR_ACCURACY
    return _result(name, value, found, neighbours.accuracy, parts, intervals=intervals, seed=seed, scale="overlap")


@dataclass(frozen=True)
class Neighbours:
    """The nearest pieces of other songs of each piece, nearest first, the first N pieces generated."""

    places: NDArray[np.int64]  # (N + M, K)
    distances: NDArray[np.float64]  # (N + M, K), infinite beyond the last
    generated: int

    @classmethod
    def of(cls, samples: Samples) -> Neighbours:
        """Up to 64 neighbours of each piece, and those at the distance of the last."""
        apart = np.where(samples.strangers, samples.distances, np.inf)
        order = np.argsort(apart, axis=1, kind="stable")
        ordered = np.take_along_axis(apart, order, axis=1)
        last = ordered[:, min(NEAREST, ordered.shape[1]) - 1]
        kept = int((ordered <= last[:, None] * (1 + TIE)).sum(1).max()) if np.isfinite(last).all() else len(last)
        return cls(order[:, :kept], ordered[:, :kept], samples.generated)

    def accuracy(self, left: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
        """Mean of the accuracies of both sets under weights of their pieces: R N, R M -> R."""
        return self.accuracies(left, right).mean(1)

    def accuracies(self, left: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
        """Accuracy of either set among the pieces that are drawn: R N, R M -> R 2."""
        own = np.arange(len(self.places)) < self.generated
        same = own[self.places] == own[:, None]
        return np.array([self._drawn(np.concatenate(weights), same) for weights in zip(left, right, strict=True)])

    def _drawn(self, weights: NDArray[np.float64], same: NDArray[np.bool_]) -> NDArray[np.float64]:
        present = weights > DRAWN
        reach = np.where(present[self.places], self.distances, np.inf)
        nearest = reach.min(1)
        tied = reach <= nearest[:, None] * (1 + TIE)
        correct = (tied & same).sum(1) / tied.sum(1)
        counted = np.where(present & np.isfinite(nearest), weights, 0.0)
        parts = zip(np.split(counted, [self.generated]), np.split(correct, [self.generated]), strict=True)
        return np.array([share @ hits / share.sum() if share.sum() > 0 else np.nan for share, hits in parts])


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
) -> MetricResult:
    more = {
        "n_reference": samples.counts[1],
        "left_out": samples.left_out,
        "dimension": DIMENSION,
        "width": samples.width,
    }
    result = measured(
        name, value, samples.counts, redraw, {**parts, **more}, intervals=intervals, seed=seed, scale=scale
    )
    return replace(result, definition=_definition(name, samples.scaled_by))
