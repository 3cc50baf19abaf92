"""Metrics of token sequences: grammar errors and entropy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from metrics.music.resample import Songs, mean_measured
from metrics.quantities import POSITIVE, SHARE, music_metric, register
from metrics.result import MetricResult, missing

GRAMMAR_ERRORS: Final = register(
    "grammar_errors",
    "1",
    "lower",
    kind="quality",
    bounds=SHARE,
    label="Grammar errors",
    definition="grammar_errors/tokens_errors v1",
)
TOKEN_ENTROPY: Final = register(
    "token_entropy",
    "bits",
    "nearest",
    kind="quality",
    bounds=POSITIVE,
    label="Token entropy",
    definition="entropy of a piece's token frequencies, mean over pieces v1",
)


@music_metric()
def grammar_errors(
    sequences: Sequence[Any],
    checker: Callable[[Any], float],
    *,
    songs: Songs | None = None,
    intervals: bool = True,
    seed: int = 0,
) -> MetricResult:
    """Mean share of tokens that cannot follow the token before them, 0..1, lower is better.

    `checker` turns one token sequence into its share of errors: `tokenizer.tokens_errors` of MidiTok, which counts
    wrong successions of types, times that do not go forward and notes played twice. Give it the sampled tokens
    before constraints: after them the figure is 0 by construction. `songs` is the number of each sequence's song
    (default: equal sequences are of one song). `parts`: sequences_with_any (share), worst.
    """
    rates = np.array([float(checker(sequence)) for sequence in sequences], np.float64)
    if not len(rates):
        return missing(GRAMMAR_ERRORS, 0, "no token sequences")
    if not (np.isfinite(rates).all() and rates.min() >= 0 and rates.max() <= 1):
        raise ValueError(f"checker must give shares in 0..1, got {rates.min()}..{rates.max()}")
    parts = {"sequences_with_any": (rates > 0).mean(), "worst": rates.max()}
    numbers = _songs(sequences) if songs is None else songs
    return mean_measured(GRAMMAR_ERRORS, rates, numbers, parts, intervals=intervals, seed=seed, scale="rate")


@music_metric()
def token_entropy(
    sequences: Sequence[Any], *, songs: Songs | None = None, intervals: bool = True, seed: int = 0
) -> MetricResult:
    """Mean over pieces of the Shannon entropy of the piece's own token frequencies, bits.

    At most log2 of the piece's length. Best near that of real music of the same length.
    Zheng et al. 2024 (2409.02908) use it to show the loss of variety by sampling in low precision. `songs` as for
    `grammar_errors`. `parts`: lowest.
    """
    found = np.array([_entropy(np.asarray(sequence)) for sequence in sequences], np.float64)
    if not len(found):
        return missing(TOKEN_ENTROPY, 0, "no token sequences")
    numbers = _songs(sequences) if songs is None else songs
    return mean_measured(TOKEN_ENTROPY, found, numbers, {"lowest": found.min()}, intervals=intervals, seed=seed)


def _songs(sequences: Sequence[Any]) -> Songs:
    numbers: dict[bytes, int] = {}
    contents = [np.asarray(sequence).tobytes() for sequence in sequences]
    return np.array([numbers.setdefault(content, len(numbers)) for content in contents], np.int64)


def _entropy(tokens: np.ndarray) -> float:
    if not tokens.size:
        return 0.0
    share = np.unique(tokens, return_counts=True)[1] / tokens.size
    return float(-(share * np.log2(share)).sum()) + 0.0  # one token: 0.0, not -0.0
