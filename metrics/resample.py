"""Intervals over pieces: which pieces are drawn, and what the spread of the redrawn figures says."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

REPLICATES: Final = 300
LEVEL: Final = 0.95
EDGE: Final = 1e-4  # shares are kept this far from 0 and 1 before their odds are taken


def draw_weights(count: int, seed: int | list[int], replicates: int = REPLICATES) -> NDArray[np.float64]:
    """How often each of `count` pieces is drawn in each redraw with replacement: shape (replicates, count)."""
    generator = np.random.default_rng(seed)
    return generator.multinomial(count, np.full(count, 1 / count), size=replicates).astype(np.float64)


def spread_interval(
    value: float, redrawn: NDArray[np.float64], pieces: int, *, share: bool = False
) -> tuple[float, float]:
    """95 % interval around `value` from the spread of redrawn figures: value -/+ t(pieces - 1) x standard deviation.

    The redrawn figures give the spread only, never the middle: drawing a piece twice moves an overlap downwards, so
    their own quantiles can miss the value. Figures in 0..1 (`share`) are taken on the log-odds scale, where the
    interval cannot leave 0..1. NaN for fewer than 3 pieces.
    """
    redrawn = redrawn[np.isfinite(redrawn)]
    if pieces < 3 or len(redrawn) < 20 or not np.isfinite(value):
        return float("nan"), float("nan")
    from scipy.stats import t as student

    factor = float(student.ppf((1 + LEVEL) / 2, pieces - 1)) * np.sqrt(pieces / (pieces - 1))
    if not share:
        half = factor * float(redrawn.std())
        return value - half, value + half
    if value <= 0 or value >= 1:
        half = factor * float(redrawn.std())
        return max(value - half, 0.0), min(value + half, 1.0)
    middle = float(_odds(np.float64(value)))
    half = factor * float(_odds(redrawn).std())
    low, high = (float(1 / (1 + np.exp(-edge))) for edge in (middle - half, middle + half))
    return low, high


def _odds(share: NDArray[np.float64] | np.float64) -> NDArray[np.float64]:
    kept = np.clip(share, EDGE, 1 - EDGE)
    return np.log(kept / (1 - kept))
