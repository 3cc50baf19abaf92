"""Floors: music made of real pieces without what a model has to learn, from easy to hard."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from metrics.music.corruptions import Pool
from metrics.music.notes import Notes
from metrics.music.remi import BAR, VOCABULARY, note_tokens, notes_of_tokens, token_counts

Maker = Callable[[Sequence[Notes], Sequence[Notes], int], list[Notes]]


def uniform_pieces(pieces: Sequence[Notes], train: Sequence[Notes] = (), seed: int = 0) -> list[Notes]:
    """Music of as many REMI tokens as each piece has, drawn with equal chances: an untrained model."""
    return _played(pieces, np.full(VOCABULARY, 1 / VOCABULARY), np.random.default_rng([seed, 3]))


def unigram_pieces(pieces: Sequence[Notes], train: Sequence[Notes], seed: int = 0) -> list[Notes]:
    """Music of as many REMI tokens as each piece has, drawn one by one, each as often as in training.

    The music of the unigram baseline: frequencies of tokens without grammar, so that about one token in
    fifty sounds (only Pitch, Velocity, Duration in a row is a note).
    """
    counts = np.sum([token_counts(piece) for piece in train], axis=0)
    return _played(pieces, counts / counts.sum(), np.random.default_rng([seed, 2]))


def bigram_pieces(pieces: Sequence[Notes], train: Sequence[Notes], seed: int = 0) -> list[Notes]:
    """Music of as many REMI tokens as each piece has, each drawn as often as it follows the one before in training.

    The music of the bigram baseline: the grammar of tokens, and no memory beyond one token. Starts with a Bar; after a
    token that ends every training piece it holds, the next one is a Bar.
    """
    counts = np.zeros((VOCABULARY, VOCABULARY))
    for piece in train:
        tokens = note_tokens(piece)
        np.add.at(counts, (tokens[:-1], tokens[1:]), 1)
    counts[counts.sum(1) == 0, BAR] = 1
    reach = np.cumsum(counts / counts.sum(1, keepdims=True), axis=1)
    generator = np.random.default_rng([seed, 6])
    lengths = np.array([len(note_tokens(piece)) for piece in pieces], np.int64)
    rows = np.full((len(pieces), int(lengths.max(initial=1))), BAR, np.int64)
    for place in range(1, rows.shape[1]):
        drawn = generator.random(len(rows))
        rows[:, place] = np.minimum((reach[rows[:, place - 1]] < drawn[:, None]).sum(1), VOCABULARY - 1)
    made = (notes_of_tokens(row[:length], piece.name) for row, length, piece in zip(rows, lengths, pieces, strict=True))
    return _of_songs(made, pieces)


def unigram_notes(pieces: Sequence[Notes], train: Sequence[Notes], seed: int = 0) -> list[Notes]:
    """As many notes as each piece has, the step from the note before, duration, pitch and velocity of each drawn on
    their own, as often as in training. Notes that fall together are one."""
    pool = Pool.of(train)
    generator = np.random.default_rng([seed, 7])

    def drawn(piece: Notes) -> Notes:
        steps, *columns = (
            generator.choice(values, len(piece))
            for values in (pool.steps, pool.durations, pool.pitches, pool.velocities)
        )
        onset = np.cumsum(steps) - steps[:1].sum()
        return Notes.from_arrays(onset, *columns, name=piece.name, meters=piece.meters)

    return _of_songs(map(drawn, pieces), pieces)


def shuffled_pieces(pieces: Sequence[Notes], train: Sequence[Notes] = (), seed: int = 0) -> list[Notes]:
    """Each piece with pitches, velocities, durations and steps from note to note permuted on their own.

    Kept: how often a piece uses each value. Lost: order, chords, rhythm.
    """
    generator = np.random.default_rng([seed, 1])

    def shuffled(piece: Notes) -> Notes:
        start = piece.onset[:1]
        steps = generator.permutation(np.diff(piece.onset))
        onset = np.concatenate([start, start + np.cumsum(steps)]) if len(piece) else piece.onset
        columns = [generator.permutation(c) for c in (piece.releases - piece.onset, piece.pitch, piece.velocity)]
        return Notes.from_arrays(onset, *columns, name=piece.name, meters=piece.meters)

    return _of_songs(map(shuffled, pieces), pieces)


def pitches_shuffled(pieces: Sequence[Notes], train: Sequence[Notes] = (), seed: int = 0) -> list[Notes]:
    """Each piece with its pitches permuted and all else kept: rhythm and pitches without melody and harmony."""
    generator = np.random.default_rng([seed, 8])

    def shuffled(piece: Notes) -> Notes:
        columns = (piece.releases - piece.onset, generator.permutation(piece.pitch), piece.velocity)
        return Notes.from_arrays(piece.onset, *columns, name=piece.name, meters=piece.meters)

    return _of_songs(map(shuffled, pieces), pieces)


BIGRAM: Final = "bigram-tokens"  # a trained model has to make better music than this
FLOORS: Final[dict[str, Maker]] = {
    "uniform-tokens": uniform_pieces,
    "unigram-tokens": unigram_pieces,
    BIGRAM: bigram_pieces,
    "unigram-notes": unigram_notes,
    "shuffled": shuffled_pieces,
    "pitches-shuffled": pitches_shuffled,
}
"""Name -> maker of the floor of each of `pieces`, given training pieces and a seed."""


def _played(pieces: Sequence[Notes], chance: NDArray[np.float64], generator: np.random.Generator) -> list[Notes]:
    reach = np.cumsum(chance)
    tokens = [generator.random(int(token_counts(piece).sum())) for piece in pieces]
    made = (
        notes_of_tokens(np.minimum(np.searchsorted(reach, drawn, "right"), VOCABULARY - 1), piece.name)
        for piece, drawn in zip(pieces, tokens, strict=True)
    )
    return _of_songs(made, pieces)


def _of_songs(made: Iterable[Notes], pieces: Sequence[Notes]) -> list[Notes]:
    return [replace(floor, song=piece.song) for floor, piece in zip(made, pieces, strict=True)]
