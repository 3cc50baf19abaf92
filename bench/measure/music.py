"""What quality and reference cells share: tokens of a corpus, and its held-out music as notes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bench.errors import UserError

if TYPE_CHECKING:
    from bench.data import TokenCorpus
    from metrics import Notes

REFERENCE_SEED = 20260  # one fixed choice of held-out windows for every arm and seed


def load_tokens(corpus: str, tokenizer: dict[str, Any]) -> TokenCorpus:
    """Tokens of `NAME`, `NAME/SUBSET` or `folder:PATH` under the tokenizer settings given (the rest as default)."""
    from bench.data import TokenizerSettings, load_corpus, tokenize

    if corpus.startswith("folder:"):
        loaded = load_corpus(corpus)
    else:
        name, _, subset = corpus.partition("/")
        loaded = load_corpus(name, subset=subset or None)
    return tokenize(loaded, TokenizerSettings(**tokenizer))


def held_out_windows(tokens: TokenCorpus, length: int, count: int) -> np.ndarray:
    """`count` full windows (count, length) of the test split, the same for every arm, spread over its pieces.

    Raises UserError where the test split has fewer full windows.
    """
    windows = np.asarray(tokens.windows("test", length).tokens)
    full = windows[(windows != tokens.pad_id).all(axis=1)]
    if len(full) < count:
        raise UserError(
            f"the test split has {len(full)} windows of {length} tokens, {count} are wanted: "
            "lower sample.pieces or length, or take a larger corpus"
        )
    chosen = np.random.default_rng(REFERENCE_SEED).permutation(len(full))[:count]
    return full[np.sort(chosen)]


def to_notes(tokens: TokenCorpus, sequences: list[np.ndarray] | np.ndarray, name: str) -> list[Notes]:
    """Notes of each token sequence, through the same decoder as generated pieces."""
    from metrics import read_notes

    return [read_notes(tokens.decode(np.asarray(sequence))) for sequence in sequences]


def train_notes(tokens: TokenCorpus) -> list[Notes]:
    """Notes of the training pieces, decoded from tokens: what percentiles and ranges are taken from."""
    return to_notes(tokens, tokens.pieces("train"), "train")
