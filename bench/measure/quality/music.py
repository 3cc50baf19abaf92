"""The tokens of a cell's corpus: held-out and training windows, their notes, and metrics of token sequences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.errors import UserError
from bench.measure.rows import metric_row

if TYPE_CHECKING:
    from bench.data import TokenCorpus, TokenizerSettings
    from metrics import Notes


REFERENCE_SEED = 20260  # one choice of held-out windows, the same for every arm and seed


def load_tokens(corpus: str, tokenizer: TokenizerSettings | Mapping[str, Any]) -> TokenCorpus:
    """Tokens of `NAME`, `NAME/SUBSET` or `folder:PATH` under a tokenizer, or under its settings in a cell."""
    from bench.data import TokenizerSettings, load_corpus, tokenize

    return tokenize(load_corpus(corpus), TokenizerSettings.model_validate(tokenizer))


def full_windows(tokens: TokenCorpus, split: str, length: int) -> np.ndarray:
    """The windows (n, length) of a split that hold no PAD: pieces as long as the generated ones."""
    windows = np.asarray(tokens.windows(split, length).tokens)
    return windows[(windows != tokens.pad_id).all(axis=1)]


def held_out_windows(tokens: TokenCorpus, length: int, count: int) -> np.ndarray:
    """`count` full windows (count, length) of the test split, drawn once for all arms and seeds.

    Raises UserError where the test split has fewer full windows.
    """
    full = full_windows(tokens, "test", length)
    if len(full) < count:
        raise UserError(
            f"the test split has {len(full)} full windows of {length} tokens, {count} are wanted: "
            "lower sample.pieces or length, or take a larger corpus"
        )
    chosen = np.random.default_rng(REFERENCE_SEED).permutation(len(full))[:count]
    return full[np.sort(chosen)]


def train_notes(tokens: TokenCorpus, length: int) -> list[Notes]:
    """All full windows of the training split as notes: what ranges, percentiles and the ceiling are taken from."""
    return to_notes(tokens, full_windows(tokens, "train", length), "train")


def to_notes(tokens: TokenCorpus, sequences: np.ndarray, name: str) -> list[Notes]:
    """Notes of each row of token sequences (n, L): real and generated music pass through the same decoder."""
    from metrics import read_notes

    return [read_notes(tokens.decode(row), name=f"{name}-{index:03d}") for index, row in enumerate(sequences)]


def token_rows(tokens: TokenCorpus, sequences: np.ndarray) -> list[dict[str, Any]]:
    """Rows of token entropy and grammar errors of token sequences (n, L)."""
    from bench.data.remi import build_tokenizer
    from metrics import grammar_errors, token_entropy

    tokenizer = build_tokenizer(tokens.settings)
    pieces = [sequence.astype(int).tolist() for sequence in sequences]
    results = (token_entropy(pieces), grammar_errors(pieces, lambda piece: tokenizer.tokens_errors([piece])[0]))
    return [metric_row(result) for result in results]
