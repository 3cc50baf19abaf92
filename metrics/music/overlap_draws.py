"""Overlapping areas of many draws from one pool against one reference, from distances that are computed once."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from metrics.music.draws import weights_of_draws
from metrics.music.kde import FLAT, REACH, STEPS_PER_BANDWIDTH, scott_bandwidth, smoothed, spline_counts
from metrics.music.overlap import overlap_of_distances, pair_distances
from metrics.music.resample import Songs

MOST_POINTS: Final = 1 << 14
MOST_ENTRIES: Final = 1 << 22  # counts of pool pieces held at once


def overlaps_of_draws(
    pool: NDArray[np.float64],
    reference: NDArray[np.float64],
    chosen: NDArray[np.int64],
    limits: str = "full",
    *,
    songs: Songs | None = None,
) -> NDArray[np.float64]:
    """`oa_from_features` of each draw of pool rows: (P, F), (M, F), rows of the pool (R, N) -> (R,); error below 1e-4.

    `songs` are the numbers of the songs of the reference rows (default: each row is one).

    The counts of each pool row's distances lie on one grid, so that the density of a draw is a sum of them, smoothed
    by the draw's own bandwidth. NaN where a draw has no value. Rows with NaN are left out.
    """
    kept = np.isfinite(reference).all(1)
    finite = np.asarray(np.isfinite(pool).all(1))
    found = pair_distances(pool[finite], reference[kept], None if songs is None else songs[kept])
    intra = found.intra
    if not intra.size or not finite.any():
        return np.full(len(chosen), np.nan)
    inter = np.full((len(pool), len(found.inside)), np.nan)
    inter[finite] = found.inter  # P M
    weight = weights_of_draws(chosen, len(pool)) * finite  # R P
    count = weight.sum(1)
    width, widths = scott_bandwidth(intra, copies=2), _bandwidths(inter[finite], weight[:, finite])
    plain: NDArray[np.bool_] = (count < 2) | (widths == 0) | (width == 0)
    values = np.full(len(chosen), np.nan)
    for draw in np.flatnonzero(plain & (count >= 2)):  # a constant feature has rules of its own
        values[draw] = overlap_of_distances(replace(found, inter=inter[chosen[draw][finite[chosen[draw]]]]), limits)[0]
    smooth = np.flatnonzero(~plain)
    if len(smooth):
        given = (inter[finite], weight[smooth][:, finite], widths[smooth])
        values[smooth] = _on_one_grid(intra, width, *given, limits)
    return values


def _bandwidths(inter: NDArray[np.float64], weight: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scott's bandwidth of each draw's distances, 0 for constant ones: P M, R P -> R."""
    centre = inter.mean()
    count = np.maximum(weight.sum(1) * inter.shape[1], 2)
    first, second = ((weight @ ((inter - centre) ** power).sum(1)) / count for power in (1, 2))
    deviation = np.sqrt(np.maximum(second - first**2, 0) * count / (count - 1))
    return np.where(deviation <= FLAT * np.abs(inter).max(initial=0), 0.0, deviation * count ** (-1 / 5))


def _on_one_grid(
    intra: NDArray[np.float64],
    width: float,
    inter: NDArray[np.float64],
    weight: NDArray[np.float64],
    widths: NDArray[np.float64],
    limits: str,
) -> NDArray[np.float64]:
    used = weight.any(0)
    inter, weight = inter[used], weight[:, used]
    reach = REACH * max(width, widths.max())
    low, high = min(intra.min(), inter.min()) - reach, max(intra.max(), inter.max()) + reach
    step = max(min(width, widths.min()) / STEPS_PER_BANDWIDTH, (high - low) / MOST_POINTS)
    size = max(int(np.ceil((high - low) / step)) + 4, 64)
    size += size % 2  # the inverse transform gives an even number of points
    mass = np.zeros((len(weight), size))
    rows = max(1, MOST_ENTRIES // size)
    for start in range(0, len(inter), rows):
        part = inter[start : start + rows]
        places = (part - low) / step + size * np.arange(len(part))[:, None]
        counts = spline_counts(places.ravel(), size * len(part)).reshape(len(part), size)
        mass += weight[:, start : start + rows] @ counts
    mass /= mass.sum(1, keepdims=True)
    q = smoothed(mass, step, widths)[0]
    p = smoothed(spline_counts((intra - low) / step, size) / len(intra), step, width)[0]
    shared = np.minimum(p, q) * step
    if limits == "full":
        return np.minimum(shared.sum(1), 1)
    nearest, furthest = inter.min(1), inter.max(1)
    ends = [
        [min(intra.min(), nearest[row > 0].min()), max(intra.max(), furthest[row > 0].max())] for row in weight
    ]  # R 2
    points = low + step * np.arange(size)
    below = np.cumsum(shared, 1) - shared / 2
    masses = [np.diff(np.interp(edges, points, row))[0] for edges, row in zip(ends, below, strict=True)]
    return np.minimum(masses, 1)
