"""Grammar: does a model speak the token language at all, before constraints mend it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from metrics.music.resample import half_weights, interval
from metrics.result import MetricResult, missing


def grammar_errors(
    sequences: Sequence[Any], checker: Callable[[Any], float], *, intervals: bool = True, seed: int = 0
) -> MetricResult:
    """Mean share of tokens that cannot follow the token before them, 0..1, lower is better.

    `checker` turns one token sequence into its share of errors: `tokenizer.tokens_errors` of MidiTok, which counts
    wrong successions of types, times that do not go forward and notes played twice. Give it what the model sampled,
    before constraints: after them the figure is 0 by construction. `parts`: sequences_with_any (share), worst.
    """
    name, definition = "grammar_errors", "grammar_errors/tokens_errors v1"
    rates = np.array([float(checker(sequence)) for sequence in sequences], np.float64)
    if not len(rates):
        return missing(name, "1", 0, "lower", definition, "no token sequences")
    if not (np.isfinite(rates).all() and rates.min() >= 0 and rates.max() <= 1):
        raise ValueError(f"checker must give shares in 0..1, got {rates.min()}..{rates.max()}")
    value = float(rates.mean())
    low, high = float("nan"), float("nan")
    if intervals:
        low, high = interval(value, half_weights(len(rates), [seed, 0]) @ rates / len(rates), len(rates), "rate")
    parts = {"sequences_with_any": float((rates > 0).mean()), "worst": float(rates.max())}
    return MetricResult(name, value, "1", len(rates), "lower", definition, "", low, high, parts)
