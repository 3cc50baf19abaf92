"""How varied the tokens of a piece are, whatever they mean: a sampler that repeats itself shows here first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from metrics.music.resample import half_weights, interval
from metrics.result import MetricResult, missing


def token_entropy(sequences: Sequence[Any], *, intervals: bool = True, seed: int = 0) -> MetricResult:
    """Mean over pieces of the Shannon entropy of the piece's own token frequencies, bits.

    At most log2 of the piece's length. Neither way is better: to be read against real music of the same length.
    Zheng et al. 2024 (2409.02908) use it to show what sampling in low precision loses. `parts`: lowest.
    """
    name, definition = "token_entropy", "entropy of a piece's token frequencies, mean over pieces v1"
    found = np.array([_entropy(np.asarray(sequence)) for sequence in sequences], np.float64)
    if not len(found):
        return missing(name, "bits", 0, "none", definition, "no token sequences")
    value = float(found.mean())
    low, high = float("nan"), float("nan")
    if intervals:
        low, high = interval(value, half_weights(len(found), [seed, 0]) @ found / len(found), len(found))
    return MetricResult(name, value, "bits", len(found), "none", definition, "", low, high, {"lowest": found.min()})


def _entropy(tokens: np.ndarray) -> float:
    if not tokens.size:
        return 0.0
    share = np.unique(tokens, return_counts=True)[1] / tokens.size
    return float(-(share * np.log2(share)).sum()) + 0.0  # one token: 0.0, not -0.0
