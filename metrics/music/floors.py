"""Sets of pieces that mark the floor: real music with its order taken away, and tokens drawn from nothing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from metrics.music.notes import Notes
from metrics.music.remi import VOCABULARY, notes_of_tokens, token_counts


def shuffled_pieces(pieces: Sequence[Notes], seed: int = 0) -> list[Notes]:
    """Each piece with pitches, velocities, durations and steps from note to note permuted on their own.

    What stays: how often a piece uses each value. What goes: order, chords, rhythm.
    """
    generator = np.random.default_rng([seed, 1])
    shuffled = []
    for piece in pieces:
        steps = np.diff(piece.onset)
        start = piece.onset[:1]
        onset = np.concatenate([start, start + np.cumsum(generator.permutation(steps))]) if len(piece) else piece.onset
        columns = [generator.permutation(c) for c in (piece.duration, piece.pitch, piece.velocity)]
        shuffled.append(Notes.from_arrays(onset, *columns, name=piece.name, meters=piece.meters))
    return shuffled


def unigram_pieces(pieces: Sequence[Notes], train: Sequence[Notes], seed: int = 0) -> list[Notes]:
    """What plays when as many REMI tokens as each piece has are drawn one by one, each as often as in training.

    The music of the unigram baseline: it knows how often each token is used and no grammar, so that about one token in
    fifty sounds (only Pitch, Velocity, Duration in a row is a note).
    """
    counts = np.sum([token_counts(piece) for piece in train], axis=0)
    return _played(pieces, counts / counts.sum(), np.random.default_rng([seed, 2]))


def uniform_pieces(pieces: Sequence[Notes], seed: int = 0) -> list[Notes]:
    """What plays when as many REMI tokens as each piece has are drawn, all tokens alike: an untrained model."""
    return _played(pieces, np.full(VOCABULARY, 1 / VOCABULARY), np.random.default_rng([seed, 3]))


def _played(pieces: Sequence[Notes], chance: NDArray[np.float64], generator: np.random.Generator) -> list[Notes]:
    reach = np.cumsum(chance)
    tokens = [generator.random(int(token_counts(piece).sum())) for piece in pieces]
    return [
        notes_of_tokens(np.minimum(np.searchsorted(reach, drawn, "right"), VOCABULARY - 1), piece.name)
        for piece, drawn in zip(pieces, tokens, strict=True)
    ]
