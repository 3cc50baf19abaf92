"""Bits/token of models without a network: the baselines beside a denoiser's."""

from __future__ import annotations

import numpy as np

from bench.data.tokens import TokenCorpus


class TokenBaselines:
    """Three models fitted on the train windows of `length` tokens of a corpus.

    unigram   p(token)
    bigram    p(token | token before)
    grammar   p(type | type before) p(token | its type): holds REMI's order of Bar, Position and a note's
              tokens, and nothing of music; a denoiser that is no better has learned no more than the grammar

    Counts are smoothed by adding 1 (Laplace) to every outcome; outcomes are the tokens, or types, other
    than PAD, BOS and MASK. The token before a window's first is a state of its own.
    """

    def __init__(self, token_corpus: TokenCorpus, length: int) -> None:
        self.corpus, self.length = token_corpus, length
        never = [token for token in token_corpus.special_ids if token_corpus.vocabulary[token] != "EOS_None"]
        tokens = np.setdiff1d(np.arange(token_corpus.vocab_size), never)
        self.kinds = kinds = token_corpus.type_of_token
        types = np.unique(kinds[tokens])
        before, after = self._pairs(token_corpus.windows("train", length).tokens)
        size, type_count = token_corpus.vocab_size, len(token_corpus.type_names)
        self.unigram = _conditional(np.zeros_like(after), after, 1, size, tokens)
        self.bigram = _conditional(before, after, size, size, tokens)
        self.types_after = _conditional(kinds[before], kinds[after], type_count, type_count, types)
        self.within = _conditional(kinds[after], after, type_count, size, tokens, groups=kinds)

    def bits(self, split: str = "test", chosen: np.ndarray | None = None) -> dict[str, float]:
        """Bits/token on the windows of `split`, PAD left out; of these on the rows that are `chosen` (bool or indices),
        None for all. NaN where there is none."""
        rows = self.corpus.windows(split, self.length).tokens
        before, after = self._pairs(rows if chosen is None else rows[chosen])
        kinds = self.kinds
        return {
            "unigram": _bits(self.unigram[0, after]),
            "bigram": _bits(self.bigram[before, after]),
            "grammar": _bits(self.types_after[kinds[before], kinds[after]] * self.within[kinds[after], after]),
        }

    def _pairs(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Each token but PAD, after the one before it; MASK, which no piece uses, is before the first."""
        after = np.asarray(rows, dtype=np.int64)
        before = np.concatenate([np.full((len(after), 1), self.corpus.mask_id), after[:, :-1]], axis=1)  # n L
        real = after != self.corpus.pad_id
        return before[real], after[real]


def _conditional(
    given: np.ndarray,
    outcome: np.ndarray,
    contexts: int,
    size: int,
    possible: np.ndarray,
    groups: np.ndarray | None = None,
) -> np.ndarray:
    """p(outcome | given), (contexts, size); with `groups`, context c allows only the outcomes of group c."""
    counts = np.bincount(given * size + outcome, minlength=contexts * size).reshape(contexts, size).astype(float)
    counts[:, possible] += 1
    if groups is not None:
        counts[groups[None, :] != np.arange(contexts)[:, None]] = 0.0
    totals = counts.sum(axis=1, keepdims=True)
    return np.divide(counts, totals, out=np.zeros_like(counts), where=totals > 0)


def _bits(probabilities: np.ndarray) -> float:
    if len(probabilities) == 0:
        return float("nan")
    with np.errstate(divide="ignore"):
        return float(-np.mean(np.log2(probabilities)))
