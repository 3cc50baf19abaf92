"""What is measured on tokens before they are decoded: how varied they are, and whether they are REMI at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.measure.rows import metric_row

if TYPE_CHECKING:
    import numpy as np

    from bench.data import TokenCorpus


def token_rows(tokens: TokenCorpus, sequences: np.ndarray) -> list[dict[str, Any]]:
    """Rows of token entropy and grammar errors of token sequences (n, L)."""
    from bench.data.remi import build_tokenizer
    from metrics import grammar_errors, token_entropy

    tokenizer = build_tokenizer(tokens.settings)
    pieces = [sequence.astype(int).tolist() for sequence in sequences]
    results = (token_entropy(pieces), grammar_errors(pieces, lambda piece: tokenizer.tokens_errors([piece])[0]))
    return [metric_row(result) for result in results]
