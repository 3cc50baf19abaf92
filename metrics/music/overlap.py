"""Overlapping area of distance distributions, for any feature matrix: the core of `oa_distance`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metrics.music.kde import FLAT, REACH, GridDensity, density_of, divergence_nats, scott_bandwidth, shared_mass
from metrics.music.overlap_interval import LEFT_OUT, Redraws, overlap_redraws
from metrics.music.resample import Songs, interval, renumbered, song_counts, stretch, too_few_songs
from metrics.quantities import SHARE, Section, music_metric, register
from metrics.result import MetricResult, check_known, missing

LIMITS: Final = ("full", "data")
DEFINITION: Final = "oa_distance/features/limits-{} v1"
OA_FROM_FEATURES: Final = register(
    "oa_from_features", "1", "higher", bounds=SHARE, definition=DEFINITION.format("full"), section=Section.DISTANCES
)


@dataclass(frozen=True)
class Distances:
    """Euclidean distances inside the reference set and from generated to reference pieces.

    A pair of reference pieces counts where they are of different songs: what two pieces of one song share, a generated
    piece cannot have.
    """

    inside: NDArray[np.float64]  # (M, M), NaN for pairs of one song
    inter: NDArray[np.float64]  # (N, M)

    @cached_property
    def intra(self) -> NDArray[np.float64]:
        """Distances of reference pieces of different songs, each pair once: at most (M (M - 1) / 2,)."""
        above = self.inside[np.triu_indices(len(self.inside), 1)]
        return above[np.isfinite(above)]

    @property
    def ends(self) -> tuple[float, float]:
        """Smallest and largest distance of both."""
        return (float(min(self.intra.min(), self.inter.min())), float(max(self.intra.max(), self.inter.max())))


@music_metric()
def oa_from_features(
    generated: ArrayLike,
    reference: ArrayLike,
    *,
    songs: Sequence[Songs] = (),
    limits: str = "full",
    intervals: bool = True,
    seed: int = 0,
    method: str = "auto",
) -> MetricResult:
    """Overlapping area of Yang & Lerch (2020, doi 10.1007/s00521-018-3849-7) between two feature matrices, 0..1.

    `generated` (N, F) and `reference` (M, F), one row a piece, or (N,) and (M,). OA = integral of min(p, q): p the
    Gaussian kernel density (Scott's factor) of the distances of all ordered pairs i != j of reference rows, q that of
    all N x M distances. `songs` are the numbers of the songs of the rows of both (default: each row is one): pairs of
    reference rows of one song are left out, and the interval is over songs. `limits="data"` integrates from the
    smallest to the largest pooled distance as published, which loses the tails (a set against itself is below 1);
    `"full"` (default) integrates over the whole line.
    `method`: `exact`, `grid` (error below 1e-6), or `auto`, exact for few pieces.

    Constant features give 1 when equal, 0 when not. Rows with NaN are left out and counted in `parts["left_out"]`.
    `parts`: n_reference, songs_reference, left_out, kl_nats (KL(p || q) on one common grid), mean_intra, mean_inter.
    Not symmetric: the spread inside the reference is the yardstick. The value depends on N and M: two draws of one
    source reach 1 only as both grow, so compare with a real-vs-real row of the same size. The interval is for the
    value expected at this N and M.
    Raises ValueError for unknown limits or columns that differ.
    """
    check_known("limits", limits, LIMITS)
    result, redrawn = overlap_and_redraws(
        feature_rows(generated, "generated"),
        feature_rows(reference, "reference"),
        songs,
        limits=limits,
        seed=seed if intervals else None,
        method=method,
    )
    return with_interval(replace(result, definition=DEFINITION.format(limits)), redrawn)


def overlap_and_redraws(
    generated: NDArray[np.float64],
    reference: NDArray[np.float64],
    songs: Sequence[Songs] = (),
    *,
    limits: str,
    seed: int | None,
    method: str = "auto",
) -> tuple[MetricResult, Redraws | None]:
    """The overlap without its interval, and the overlaps of redrawn sets (None when `seed` is, or without a value)."""
    if generated.shape[1] != reference.shape[1] and len(generated) and len(reference):
        columns = f"generated has {generated.shape[1]} columns, reference {reference.shape[1]}"
        raise ValueError(f"features differ: {columns}")
    whole = [np.isfinite(table).all(1) for table in (generated, reference)]
    gen, ref = generated[whole[0]], reference[whole[1]]
    numbers = songs or [np.arange(len(table)) for table in (generated, reference)]
    sets = [renumbered(own[kept]) for own, kept in zip(numbers, whole, strict=True)]
    for side, rows in (("generated", gen), ("reference", ref)):
        if len(rows) < 2:
            reason = f"needs at least 2 {side} pieces with this feature, got {len(rows)}"
            return missing(OA_FROM_FEATURES, len(gen), reason), None
    if song_counts(sets)[1] < 2:
        reason = f"needs reference pieces of at least 2 songs, got {len(ref)} pieces of 1"
        return missing(OA_FROM_FEATURES, len(gen), reason), None
    distances = pair_distances(gen, ref, sets[1])
    value, divergence, reason = overlap_of_distances(distances, limits, method)
    if reason:
        return missing(OA_FROM_FEATURES, len(gen), reason), None
    parts = {
        "n_reference": float(len(ref)),
        "songs_reference": float(song_counts(sets)[1]),
        "left_out": float(len(generated) + len(reference) - len(gen) - len(ref)),
        "kl_nats": divergence,
        "mean_intra": float(distances.intra.mean()),
        "mean_inter": float(distances.inter.mean()),
    }
    result = MetricResult(OA_FROM_FEATURES, value, len(gen), parts=parts, songs=song_counts(sets)[0])
    if seed is None:
        return result, None
    reason = too_few_songs(sets)
    if reason:
        return replace(result, reason=reason), None
    return result, overlap_redraws(distances.inside, distances.inter, sets, distances.ends, limits, seed)


def with_interval(result: MetricResult, redrawn: Redraws | None) -> MetricResult:
    """The result with the interval that its redraws give."""
    if not result.measured or redrawn is None:
        return result
    songs = min(result.songs, int(result.parts["songs_reference"]))
    low, high = interval(result.value, redrawn.drawn, songs, "rate", redrawn.degrees, stretch(LEFT_OUT))
    return replace(result, low=low, high=high, without=redrawn.without)


def pair_distances(
    generated: NDArray[np.float64], reference: NDArray[np.float64], songs: Songs | None = None
) -> Distances:
    """Distances of rows: pairs inside `reference` (M, F), of different songs, and of `generated` (N, F) with it."""
    from scipy.spatial.distance import cdist, pdist, squareform

    inside = squareform(pdist(reference))
    numbers = np.arange(len(reference)) if songs is None else songs
    inside[numbers[:, None] == numbers] = np.nan
    return Distances(inside, cdist(generated, reference))


def overlap_of_distances(distances: Distances, limits: str, method: str = "auto") -> tuple[float, float, str]:
    """OA, KL in nats, and the reason when there is no value."""
    intra, inter = distances.intra, distances.inter.ravel()
    widths = scott_bandwidth(intra, copies=2), scott_bandwidth(inter)  # ordered pairs: each distance counts twice
    if not any(widths):
        same = abs(float(intra.mean() - inter.mean())) <= FLAT * max(abs(float(inter.mean())), 1e-300)
        return (1.0, 0.0, "") if same else (0.0, float("inf"), "")
    if not widths[0] and len(intra) == 1 and intra[0] > 0:
        return float("nan"), float("nan"), "2 reference pieces have one distance; a density needs at least 3 pieces"
    if not all(widths):
        return 0.0, float("inf"), ""  # a point mass and a density share nothing
    low, high = distances.ends
    reach = REACH * max(widths)
    edges = (low, high) if limits == "data" else (low - reach, high + reach)
    pairs = list(zip((intra, inter), widths, strict=True))
    p, q = (density_of(values, width, method=method) for values, width in pairs)
    grids = [d if isinstance(d, GridDensity) else GridDensity(*pair) for d, pair in zip((p, q), pairs, strict=True)]
    divergence = divergence_nats(grids[0], grids[1], *edges)
    return min(shared_mass(p, q, *edges), 1.0), divergence, ""


def feature_rows(matrix: ArrayLike, side: str) -> NDArray[np.float64]:
    """`matrix` as float64 with one row a piece: (N,) -> (N, 1). Raises ValueError for more than two dimensions."""
    table = np.asarray(matrix, np.float64)
    if table.ndim == 1:
        table = table[:, None]  # N -> N 1
    if table.ndim != 2:
        raise ValueError(f"{side} features must have one row a piece, got an array of {table.ndim} dimensions")
    return table
