"""Summary vectors of pieces, and distances between two clouds of them: Frechet and maximum mean discrepancy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from metrics.music.features import feature_matrix
from metrics.music.notes import Notes, song_numbers
from metrics.music.resample import REPLICATES, Songs, measured, renumbered, song_counts
from metrics.quantities import ANY, POSITIVE, Section, music_metric, register
from metrics.result import MetricResult, check_known, missing

SUMMARY_FEATURES: Final = (
    "used_pitches",
    "pitch_range",
    "notes",
    "mean_pitch_shift",
    "mean_onset_interval",
    "pitch_class_histogram",
    "note_length_histogram",
)
HISTOGRAMS: Final = (slice(5, 17), slice(17, 29))
SUMMARY_WIDTH: Final = 29
KINDS: Final = {"frechet": POSITIVE, "mmd": ANY}  # kind -> bounds; the unbiased estimate may be below 0
VECTOR_DISTANCE: Final = {
    kind: register(
        f"{kind}_distance", "1", "lower", bounds=bounds, definition=f"{kind}/29-features v1", section=Section.CLOUDS
    )
    for kind, bounds in KINDS.items()
}
FRECHET_REPLICATES: Final = 40  # each needs the eigenvalues of two matrices


def summary_vectors(pieces: Sequence[Notes]) -> NDArray[np.float64]:
    """Seven features side by side, 5 figures and 2 histograms of 12: shape (pieces with two notes or more, 29)."""
    table = summary_table(pieces)
    return table[np.isfinite(table).all(1)]


def summary_table(pieces: Sequence[Notes]) -> NDArray[np.float64]:
    """`summary_vectors` with NaN in the rows of pieces with fewer than two notes: shape (pieces, 29)."""
    return np.concatenate([feature_matrix(pieces, feature) for feature in SUMMARY_FEATURES], axis=1)


def scaling(vectors: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and scale of each column; the twelve columns of a histogram share one scale, so that rare bins stay
    small."""
    variance = vectors.var(0, ddof=1)
    for histogram in HISTOGRAMS:
        variance[histogram] = variance[histogram].sum()
    deviation = np.sqrt(variance)
    return vectors.mean(0), np.where(deviation > 1e-12, deviation, 1.0)


@music_metric(*({"kind": kind} for kind in KINDS))
def vector_distance(
    generated: Sequence[Notes],
    reference: Sequence[Notes],
    kind: str = "frechet",
    *,
    intervals: bool = True,
    seed: int = 0,
) -> MetricResult:
    """Distance between the clouds of summary vectors of two sets, scaled by the reference's spread; lower is nearer.

    `frechet`: |m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)), the plug-in estimate; it grows as n falls even when the
    sets are alike, so n is matched (the larger set is cut at random) and only a real-vs-real row of the same n shows
    what is good. `mmd`: unbiased squared maximum mean discrepancy (Gretton et al. 2012) with a Gaussian kernel,
    bandwidth the median distance within the reference; 0 in the mean for equal sources, so single values may be below
    0. `parts`: n_reference, songs_reference, dimension.
    """
    check_known("vector distance", kind, KINDS)
    name = VECTOR_DISTANCE[kind]
    tables = [summary_table(pieces) for pieces in (generated, reference)]
    whole = [np.isfinite(table).all(1) for table in tables]
    gen, ref = (table[kept] for table, kept in zip(tables, whole, strict=True))
    size = min(len(gen), len(ref))
    if size < 3:
        reason = f"needs 3 pieces of two notes on each side, got {len(gen)} generated and {len(ref)} reference"
        return missing(name, len(gen), reason)
    centre, scale = scaling(ref)
    generator = np.random.default_rng([seed, 2])
    chosen = [np.sort(generator.permutation(len(vectors))[:size]) for vectors in (gen, ref)]
    gen, ref = ((vectors[rows] - centre) / scale for vectors, rows in zip((gen, ref), chosen, strict=True))
    sets = [
        song_numbers(pieces)[kept][rows]
        for pieces, kept, rows in zip((generated, reference), whole, chosen, strict=True)
    ]
    if kind == "mmd" and min(song_counts([renumbered(songs) for songs in sets])) < 2:
        return missing(name, len(gen), "needs pieces of 2 songs on each side")
    redraw = partial(_frechet, gen, ref) if kind == "frechet" else partial(_discrepancy, _kernels(gen, ref, sets))
    value = float(redraw(np.ones((1, size)), np.ones((1, size)))[0])
    parts = {"n_reference": size, "dimension": gen.shape[1]}
    draws = FRECHET_REPLICATES if kind == "frechet" else REPLICATES
    found = measured(name, value, sets, redraw, parts, intervals=intervals, seed=seed, replicates=draws)
    return replace(found, low=max(found.low, 0.0)) if kind == "frechet" else found


@music_metric()
def frechet_distance(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Plug-in Frechet distance of two clouds of row vectors (N, D), (M, D), covariances with n - 1."""
    ones = [np.ones((1, len(vectors))) for vectors in (first, second)]
    return float(_frechet(first, second, ones[0], ones[1])[0])


def _frechet(
    first: NDArray[np.float64], second: NDArray[np.float64], left: NDArray[np.float64], right: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Frechet distances under piece weights of mean 1: R N, R M -> R."""
    means, covariances = [], []
    for vectors, weights in ((first, left), (second, right)):
        count = len(vectors)
        shares = weights / weights.sum(1, keepdims=True)
        mean = shares @ vectors  # R D
        outer = vectors[:, :, None] * vectors[:, None, :]  # N D D
        second_moment = np.tensordot(shares, outer, axes=(1, 0))  # R D D
        means.append(mean)
        covariances.append((second_moment - mean[:, :, None] * mean[:, None, :]) * count / (count - 1))
    values, basis = np.linalg.eigh(covariances[0])
    root = (basis * np.sqrt(np.maximum(values, 0))[:, None, :]) @ np.swapaxes(basis, 1, 2)
    cross = np.linalg.eigvalsh(root @ covariances[1] @ root)
    trace = np.trace(covariances[0] + covariances[1], axis1=1, axis2=2) - 2 * np.sqrt(np.maximum(cross, 0)).sum(1)
    return np.maximum(((means[0] - means[1]) ** 2).sum(1) + trace, 0)


def _kernels(
    first: NDArray[np.float64], second: NDArray[np.float64], sets: Sequence[Songs]
) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Gaussian kernels of the pairs within the first, within the second and between both sets, N N, M M, N M, and which
    of them count (1 or 0): two pieces of one song do not."""
    from scipy.spatial.distance import cdist, pdist

    width = float(np.median(pdist(second))) or 1.0
    pairs = ((first, first), (second, second), (first, second))
    counted = [1.0 * (songs[:, None] != songs) for songs in sets] + [np.ones((len(first), len(second)))]
    kernels = (np.exp(-cdist(a, b, "sqeuclidean") / (2 * width**2)) for a, b in pairs)
    return [(kernel * mask, mask) for kernel, mask in zip(kernels, counted, strict=True)]


def _discrepancy(
    kernels: Sequence[tuple[NDArray[np.float64], NDArray[np.float64]]],
    left: NDArray[np.float64],
    right: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Unbiased squared MMD under piece weights: R N, R M -> R."""
    sides = ((left, left), (right, right), (left, right))
    with np.errstate(invalid="ignore"):
        first, second, across = (
            ((a @ kernel) * b).sum(1) / ((a @ mask) * b).sum(1)
            for (kernel, mask), (a, b) in zip(kernels, sides, strict=True)
        )
    return first + second - 2 * across
