"""A figure and the redraws of a reference: its place among them, and how well a figure separates two kinds of sets."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

SEPARATED: Final = 0.9
"""Area under the curve from which a figure separates two kinds of sets; below, one pair in ten is in wrong order."""
WITHIN: Final = "within real music"
WORDS: Final = {"lower": ("better", "worse"), "higher": ("worse", "better")}


def place(value: float, mean: float, sd: float, low: float, high: float, better: str) -> str:
    """The place of a value among redraws of real music with this mean, standard deviation and 95 % range, in words.

    "within real music" inside the range, else how many standard deviations away on which side: "4.2 sd worse" where
    lower or higher is better, "4.2 sd above" elsewhere. Empty where one of the figures is not known.

    >>> place(0.7, 0.8, 0.02, 0.76, 0.84, "higher")
    '5.0 sd worse'
    """
    if not all(map(math.isfinite, (value, mean, sd, low, high))):
        return ""
    if low <= value <= high:
        return WITHIN
    side = WORDS.get(better, ("below", "above"))[value > mean]
    return f"{abs(value - mean) / sd:.1f} sd {side}" if sd > 0 else side


def separation(better: NDArray[np.float64], worse: NDArray[np.float64]) -> float:
    """Chance that a loss drawn from `better` lies below one drawn from `worse`, ties counted half: (N,), (M,).

    1: all lie below; 0.5: cannot be separated; 0: all in wrong order. NaN values are left out; NaN without any.

    >>> separation(np.array([1.0, 2.0]), np.array([2.0, 3.0]))
    0.875
    """
    first, second = better[np.isfinite(better)], worse[np.isfinite(worse)]
    if not len(first) or not len(second):
        return float("nan")
    return float(np.mean(np.sign(second[None, :] - first[:, None])) / 2 + 0.5)
