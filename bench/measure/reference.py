"""A reference cell: the floors and ceilings that quality figures are read against."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.measure.music import REFERENCE_SEED, held_out_windows, load_tokens, to_notes, train_notes
from bench.measure.rows import metric_row, row

if TYPE_CHECKING:
    from bench.data import TokenCorpus
    from metrics import Notes

BASELINE_WORDS = {
    "unigram": "baseline/unigram v1",
    "bigram": "baseline/bigram v1",
    "grammar": "baseline/type bigram x unigram within type v1",
}


def measure_reference(settings: dict[str, Any], emit: Callable[..., None]) -> list[dict[str, Any]]:
    """Rows of floors (random tokens, shuffled pieces), ceiling (real against real) and token baselines."""
    from bench.data.baselines import token_baselines
    from metrics import quality_table, reference_rows

    tokens = load_tokens(settings["corpus"], settings["tokenizer"])
    length, pieces = int(settings["length"]), int(settings["pieces"])
    emit(event="progress", stage="token baselines")
    rows = [
        row("validation_bits_per_token", bits, "bits/token", arm=name, definition=BASELINE_WORDS[name])
        for name, bits in token_baselines(tokens, length, "validation").items()
    ]
    emit(event="progress", stage="floors and ceiling")
    reference = to_notes(tokens, held_out_windows(tokens, length, pieces), "held-out")
    train = train_notes(tokens)
    for name, results in reference_rows(reference, train, seed=REFERENCE_SEED).items():
        rows += [metric_row(result) | {"arm": name} for result in results]
    for name, sequences in token_floors(tokens, length, pieces).items():
        results = quality_table(to_notes(tokens, sequences, name), reference, train, seed=REFERENCE_SEED)
        rows += [metric_row(result) | {"arm": name} for result in results]
    return rows


def token_floors(tokens: TokenCorpus, length: int, pieces: int) -> dict[str, np.ndarray]:
    """Token sequences (pieces, length) that no model was needed for: uniform over the vocabulary, and unigram."""
    generator = np.random.default_rng(REFERENCE_SEED)
    counts = np.bincount(np.concatenate(tokens.pieces("train")).astype(np.int64), minlength=tokens.vocab_size)
    for special in (tokens.pad_id, tokens.mask_id, tokens.bos_id, tokens.eos_id):
        counts[special] = 0
    seen = np.flatnonzero(counts)
    return {
        "uniform-tokens": generator.choice(seen, (pieces, length)),
        "unigram-tokens": generator.choice(tokens.vocab_size, (pieces, length), p=counts / counts.sum()),
    }


__all__ = ["Notes", "measure_reference", "token_floors"]
