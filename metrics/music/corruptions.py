"""Graded corruptions of real pieces: known damage, to measure the response of each metric."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from metrics.music.grid import snap_beats
from metrics.music.notes import Notes
from metrics.result import check_known

JITTER_SEMITONES: Final = 12

Corrupt = Callable[[Notes, float, np.random.Generator, "Pool"], Notes]


@dataclass(frozen=True)
class Pool:
    """Attributes of all notes of a set, to draw from: how often each value is used and nothing else."""

    steps: NDArray[np.float64]
    durations: NDArray[np.float64]
    pitches: NDArray[np.int16]
    velocities: NDArray[np.int16]

    @classmethod
    def of(cls, pieces: Sequence[Notes]) -> Pool:
        """The pool of a set of pieces; steps from note to note on the token grid."""
        kept = [piece for piece in pieces if len(piece) > 1]
        return cls(
            np.concatenate([np.diff(snap_beats(piece.onset)) for piece in kept]),
            np.concatenate([piece.duration for piece in kept]),
            np.concatenate([piece.pitch for piece in kept]),
            np.concatenate([piece.velocity for piece in kept]),
        )


def pitch_shuffle(notes: Notes, share: float, generator: np.random.Generator, pool: Pool) -> Notes:
    """The pitches of a share of the notes change places among themselves."""
    chosen = np.flatnonzero(generator.random(len(notes)) < share)
    pitch = notes.pitch.copy()
    pitch[chosen] = pitch[generator.permutation(chosen)]
    return _changed(notes, pitch=pitch)


def pitch_jitter(notes: Notes, share: float, generator: np.random.Generator, pool: Pool) -> Notes:
    """A share of the notes moves by up to 12 semitones up or down; pitches stay in 0..127."""
    moved = generator.random(len(notes)) < share
    step = generator.integers(-JITTER_SEMITONES, JITTER_SEMITONES + 1, len(notes))
    return _changed(notes, pitch=np.clip(notes.pitch + np.where(moved, step, 0), 0, 127).astype(np.int16))


def onset_jitter(notes: Notes, beats: float, generator: np.random.Generator, pool: Pool) -> Notes:
    """Every onset moves by up to so many beats, earlier or later, not before the start."""
    onset = np.maximum(notes.onset + generator.uniform(-beats, beats, len(notes)), 0)
    return _changed(notes, onset=onset)


def unigram_tokens(notes: Notes, share: float, generator: np.random.Generator, pool: Pool) -> Notes:
    """A share of the notes is replaced, step, duration, pitch and velocity each drawn on its own from the whole set."""
    drawn = generator.random(len(notes)) < share
    steps = np.diff(notes.onset, prepend=0.0)

    def mixed(values: NDArray[Any], own: NDArray[Any]) -> NDArray[Any]:
        return np.where(drawn, generator.choice(values, len(notes)), own)

    return _changed(
        notes,
        duration=mixed(pool.durations, notes.duration),
        pitch=mixed(pool.pitches, notes.pitch),
        velocity=mixed(pool.velocities, notes.velocity),
        onset=np.cumsum(mixed(pool.steps, steps)),
    )


def transposition(notes: Notes, semitones: float, generator: np.random.Generator, pool: Pool) -> Notes:
    """Every note goes up by so many semitones; pitches stay in 0..127."""
    return _changed(notes, pitch=np.clip(notes.pitch + int(semitones), 0, 127).astype(np.int16))


def time_stretch(notes: Notes, factor: float, generator: np.random.Generator, pool: Pool) -> Notes:
    """Every onset and duration times a factor; the bars stay where they are."""
    return _changed(notes, onset=notes.onset * factor, duration=notes.duration * factor)


CORRUPTIONS: Final[dict[str, tuple[Corrupt, tuple[float, ...], str]]] = {
    "pitch_shuffle": (pitch_shuffle, (0.1, 0.3, 1.0), "share of notes"),
    "pitch_jitter": (pitch_jitter, (0.1, 0.3, 1.0), "share of notes moved by up to 12 semitones"),
    "onset_jitter": (onset_jitter, (0.125, 0.5, 2.0), "beats, up to"),
    "unigram_tokens": (unigram_tokens, (0.1, 0.3, 1.0), "share of notes"),
    "transposition": (transposition, (1.0, 6.0, 12.0), "semitones up"),
    "time_stretch": (time_stretch, (1.25, 1.5, 2.0), "times longer"),
}


def corrupted(pieces: Sequence[Notes], corruption: str, level: float, seed: int = 0) -> list[Notes]:
    """The pieces with one corruption at one level; the same seed damages the same notes. ValueError for unknown
    names."""
    check_known("corruption", corruption, CORRUPTIONS)
    pool = Pool.of(pieces)
    return [
        CORRUPTIONS[corruption][0](piece, level, np.random.default_rng([seed, index]), pool)
        for index, piece in enumerate(pieces)
    ]


def _changed(notes: Notes, **columns: Any) -> Notes:
    """The notes with some columns changed and nothing cut, so that the other columns stay exactly as they
    were.

    `held` is dropped: notes sound for their durations, in the untouched pieces too (`uncut`).
    """
    return replace(notes, held=None, **columns)


def uncut(notes: Notes) -> Notes:
    """The piece with every note sounding for its duration, to compare corrupted pieces with."""
    return _changed(notes)
