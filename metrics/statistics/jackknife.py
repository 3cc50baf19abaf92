"""Degrees of freedom of a spread over songs, from figures without one song each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

FEWEST_DEGREES: Final = 3.0
SMALLEST_VARIANCE: Final = 1e-24  # of moves; below, rounding


def degrees_of_freedom(without: Sequence[NDArray[np.float64]]) -> float:
    """Degrees of freedom of a spread, from the figures of each set without one of its songs (Satterthwaite).

    The variance of a figure is about the sum of squares of what each of the n songs moves it by, and the sampling
    error of that sum grows with the kurtosis k of the moves: 2 n / (k - 1). Normal moves give n; where few unusual
    songs decide, the spread itself is uncertain and the interval must be wider.
    """
    known = [figures[np.isfinite(figures)] for figures in without]
    moves = np.concatenate([figures - figures.mean() for figures in known if len(figures)] or [np.zeros(0)])
    variance = float((moves**2).mean()) if len(moves) else 0.0
    if variance < SMALLEST_VARIANCE:
        return float("inf")
    kurtosis = float((moves**4).mean()) / variance**2
    return max(2 * len(moves) / max(kurtosis - 1, 1e-9), FEWEST_DEGREES)
