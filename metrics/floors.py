"""Sets of pieces that mark the floor: real music with its order taken away, and notes drawn from nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metrics.grid import TIME_BINS, VELOCITY_BINS, bin_beats, snap_beats
from metrics.notes import Notes

LONGEST_INTERVAL_BINS = 33  # uniform steps from note to note reach 4 beats, one bar of a REMI token stream


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
    """As many notes as each piece has, each attribute of each note drawn on its own from all training notes."""
    generator = np.random.default_rng([seed, 2])
    source = [piece for piece in train if len(piece) > 1]
    steps = np.concatenate([np.diff(snap_beats(piece.onset)) for piece in source])
    columns = [np.concatenate([getattr(piece, key) for piece in source]) for key in ("duration", "pitch", "velocity")]
    return [
        _draw(piece, generator.choice(steps, len(piece)), [generator.choice(c, len(piece)) for c in columns])
        for piece in pieces
    ]


def uniform_pieces(pieces: Sequence[Notes], seed: int = 0) -> list[Notes]:
    """As many notes as each piece has, every attribute uniform over its tokens: pitch 0..127, 32 velocities, all
    durations.

    Steps from note to note are uniform over 0..4 beats in eighths.
    """
    generator = np.random.default_rng([seed, 3])
    lengths = bin_beats()
    velocities = np.arange(VELOCITY_BINS) * (128 // VELOCITY_BINS) + 3
    return [
        _draw(
            piece,
            lengths[generator.integers(0, LONGEST_INTERVAL_BINS, len(piece))],
            [
                lengths[generator.integers(1, TIME_BINS, len(piece))],
                generator.integers(0, 128, len(piece)),
                velocities[generator.integers(0, VELOCITY_BINS, len(piece))],
            ],
        )
        for piece in pieces
    ]


def _draw(piece: Notes, steps: NDArray[np.float64], columns: list[NDArray[Any]]) -> Notes:
    return replace(Notes.from_arrays(np.cumsum(steps), *columns, name=piece.name), meters=piece.meters)
