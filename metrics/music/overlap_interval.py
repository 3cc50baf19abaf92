"""Redraws of the overlapping area: other draws of the songs, without pairing pieces of one song."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from metrics.music.resample import (
    REPLICATES,
    Songs,
    group_songs,
    half_weights,
    left_out_in_turn,
    song_counts,
)
from metrics.statistics.jackknife import degrees_of_freedom

LEFT_OUT: Final = 0.3  # of the songs in a draw; halves are so small that overlaps of whole numbers spread too little
GRID_POINTS: Final = (128, 1024)
STEPS_PER_BANDWIDTH: Final = 3


@dataclass(frozen=True)
class Redraws:
    """Overlaps of draws of 70 % of the songs (replicates,), and of all but one song or group, for either set."""

    drawn: NDArray[np.float64]
    without: tuple[NDArray[np.float64], NDArray[np.float64]]

    @property
    def degrees(self) -> float:
        """Degrees of freedom of the spread: few where few songs decide it."""
        return degrees_of_freedom(self.without)

    @classmethod
    def mean_of(cls, several: Sequence[Redraws]) -> Redraws:
        """The redraws of the mean of several figures of the same pieces."""
        alike = [one for one in several if [len(w) for w in one.without] == [len(w) for w in several[0].without]]
        without = (np.mean([one.without[0] for one in alike], 0), np.mean([one.without[1] for one in alike], 0))
        return cls(np.mean([one.drawn for one in several], 0), without)


def overlap_redraws(
    inside: NDArray[np.float64],
    inter: NDArray[np.float64],
    sets: Sequence[Songs],
    ends: tuple[float, float],
    limits: str,
    seed: int,
    replicates: int = REPLICATES,
) -> Redraws:
    """Overlapping areas of draws from both sets, and of the sets less one song.

    `inside` (M, M), NaN for pairs that do not count, and `inter` (N, M) are the distances, `sets` the songs of the
    pieces of both sets, `ends` the smallest and largest distance. The weight of a distance is the product of its two
    songs' weights. For more than 50 songs, 50 groups of about equal size stand for them.
    The densities lie on a grid of 3 steps a bandwidth, fine enough for a spread, not for a value.
    """
    groups = [group_songs(songs) for songs in sets]
    spread = max(float(np.ptp(ends)), 1e-300)
    pairs = (int(np.isfinite(inside).sum()), inter.size)
    width = min(float(np.nanstd(d)) * count ** (-1 / 5) for d, count in zip((inside, inter), pairs, strict=True))
    points = int(np.clip(STEPS_PER_BANDWIDTH * spread / max(width, 1e-300), *GRID_POINTS))
    step = spread / (points - 1)
    counts = song_counts(groups)
    parts = [half_weights(count, [seed, side], replicates, LEFT_OUT) for side, count in enumerate(counts)]
    less = [left_out_in_turn(count) for count in counts]
    draws = [
        np.concatenate([parts[0], less[0], np.ones((counts[1], counts[0]))]),
        np.concatenate([parts[1], np.ones((counts[0], counts[1])), less[1]]),
    ]
    densities = []
    for distances, sides, count in ((inside, (1, 1), pairs[0]), (inter, (0, 1), pairs[1])):
        blocks = _block_counts(distances, groups[sides[0]], groups[sides[1]], ends[0], step, points)  # G H K
        densities.append(_smooth(_weighted(blocks, draws[sides[0]], draws[sides[1]]), count, step))  # R 3K
    shared = np.maximum(np.minimum(*densities), 0)
    overlaps = shared[:, points : 2 * points].sum(1) if limits == "data" else shared.sum(1)
    drawn, first, second = np.split(overlaps, np.cumsum([replicates, counts[0]]))
    return Redraws(drawn, (first, second))


def _block_counts(
    distances: NDArray[np.float64],
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    start: float,
    step: float,
    points: int,
) -> NDArray[np.float32]:
    """Linear-binned distance counts of every pair of groups: N M -> G H K."""
    shape = (int(rows.max()) + 1, int(columns.max()) + 1, points)
    position = np.clip((distances - start) / step, 0, points - 1)
    valid = np.isfinite(position)
    block = ((rows[:, None] * shape[1] + columns) * points)[valid]
    position = position[valid]
    k = np.minimum(position.astype(np.int64), points - 2)
    u = position - k
    size = int(np.prod(shape))
    total = np.bincount(block + k, weights=1 - u, minlength=size)
    total += np.bincount(block + k + 1, weights=u, minlength=size)
    return total.reshape(shape).astype(np.float32)


def _weighted(
    blocks: NDArray[np.float32], rows: NDArray[np.float64], columns: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Counts under drawn weights: G H K, R G, R H -> R K."""
    weights = (rows[:, :, None] * columns[:, None, :]).reshape(len(rows), -1).astype(np.float32)  # R G H -> R GH
    return (weights @ blocks.reshape(-1, blocks.shape[-1])).astype(np.float64)


def _smooth(counts: NDArray[np.float64], pairs: int, step: float) -> NDArray[np.float64]:
    """Kernel density with Scott's factor of each row of counts, as mass a grid point, padded on both sides: R K -> R
    3K."""
    points = counts.shape[1]
    with np.errstate(invalid="ignore"):  # half of two pieces is one, which has no pairs: NaN, left out of the spread
        share = counts / counts.sum(1, keepdims=True)
    x = np.arange(points) * step
    mean = share @ x
    deviation = np.sqrt(np.maximum(share @ x**2 - mean**2, 0))
    width = np.maximum(deviation * pairs ** (-1 / 5), 1e-9 * step)
    padded = np.pad(share, ((0, 0), (points, points)))
    frequency = 2 * np.pi * np.fft.rfftfreq(padded.shape[1], step)
    return np.fft.irfft(np.fft.rfft(padded) * np.exp(-0.5 * (frequency * width[:, None]) ** 2), padded.shape[1])
