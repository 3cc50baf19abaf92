"""Redraws of the overlapping area: which pieces might have been drawn, without ever pairing a piece with itself."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from metrics.resample import REPLICATES, draw_weights

MOST_GROUPS: Final = 50  # above this many pieces, groups of pieces are drawn, not pieces
GRID_POINTS: Final = (128, 1024)
STEPS_PER_BANDWIDTH: Final = 3


def overlap_redraws(
    generated: NDArray[np.float64],
    reference: NDArray[np.float64],
    ends: tuple[float, float],
    limits: str,
    seed: int,
    replicates: int = REPLICATES,
) -> NDArray[np.float64]:
    """Overlapping areas of redrawn sets: shape (replicates,).

    A piece drawn w times weighs every distance to another piece by w; distances of a piece to itself never count. For
    more than 50 pieces, 50 groups of about equal size are drawn. Densities lie on a grid of 3 steps a bandwidth, fine
    enough for a spread, not for a value.
    """
    from scipy.spatial.distance import cdist

    spread = max(float(np.ptp(ends)), 1e-300)
    groups = [np.arange(len(rows)) * min(len(rows), MOST_GROUPS) // len(rows) for rows in (generated, reference)]
    inside = cdist(reference, reference)  # M M
    across = cdist(generated, reference)  # N M
    pairs = len(reference) * (len(reference) - 1)
    width = float(inside.std()) * pairs ** (-1 / 5)
    points = int(np.clip(STEPS_PER_BANDWIDTH * spread / max(width, 1e-300), *GRID_POINTS))
    step = spread / (points - 1)
    np.fill_diagonal(inside, np.nan)
    blocks = [
        _block_counts(inside, groups[1], groups[1], ends[0], step, points),  # G G K
        _block_counts(across, groups[0], groups[1], ends[0], step, points),
    ]
    draw = [draw_weights(int(g.max()) + 1, [seed, side], replicates) for side, g in enumerate(groups)]
    counts = [_weigh(blocks[0], draw[1], draw[1]), _weigh(blocks[1], draw[0], draw[1])]  # R K
    sizes = (pairs, across.size)
    densities = [_smooth(c, n, step) for c, n in zip(counts, sizes, strict=True)]  # R K + 2 pad
    shared = np.maximum(np.minimum(*densities), 0)
    if limits == "data":
        pad = (shared.shape[1] - points) // 2
        shared = shared[:, pad : pad + points]
    return shared.sum(1)


def _block_counts(
    distances: NDArray[np.float64],
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    start: float,
    step: float,
    points: int,
) -> NDArray[np.float32]:
    """Linear-binned distance counts of every pair of groups: N M -> G G K."""
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


def _weigh(blocks: NDArray[np.float32], rows: NDArray[np.float64], columns: NDArray[np.float64]) -> NDArray[np.float64]:
    """Counts under drawn weights: G H K, R G, R H -> R K."""
    weights = (rows[:, :, None] * columns[:, None, :]).reshape(len(rows), -1).astype(np.float32)
    return (weights @ blocks.reshape(-1, blocks.shape[-1])).astype(np.float64)


def _smooth(counts: NDArray[np.float64], pairs: int, step: float) -> NDArray[np.float64]:
    """Kernel density with Scott's factor of each row of counts, as mass a grid point: R K -> R (K + 2 K)."""
    points = counts.shape[1]
    share = counts / counts.sum(1, keepdims=True)
    x = np.arange(points) * step
    mean = share @ x
    deviation = np.sqrt(np.maximum(share @ x**2 - mean**2, 0))
    width = np.maximum(deviation * pairs ** (-1 / 5), 1e-9 * step)
    padded = np.pad(share, ((0, 0), (points, points)))
    frequency = 2 * np.pi * np.fft.rfftfreq(padded.shape[1], step)
    return np.fft.irfft(np.fft.rfft(padded) * np.exp(-0.5 * (frequency * width[:, None]) ** 2), padded.shape[1])
