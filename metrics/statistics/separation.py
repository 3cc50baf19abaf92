"""Separation of two samples of a figure: the area under the ROC curve."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

SEPARATED: Final = 0.9
"""Area under the curve from which a figure tells two kinds of sets apart; below, one pair in ten is in wrong order."""


def separation(better: NDArray[np.float64], worse: NDArray[np.float64]) -> float:
    """Chance that a loss drawn from `better` lies below one drawn from `worse`, ties counted half: (N,), (M,).

    1: all lie below; 0.5: cannot be told apart; 0: all in wrong order. NaN values are left out; NaN without any.

    >>> separation(np.array([1.0, 2.0]), np.array([2.0, 3.0]))
    0.875
    """
    first, second = better[np.isfinite(better)], worse[np.isfinite(worse)]
    if not len(first) or not len(second):
        return float("nan")
    return float(np.mean(np.sign(second[None, :] - first[:, None])) / 2 + 0.5)
