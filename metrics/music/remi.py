"""REMI tokens as arrays: the tokens of a piece, and the notes of any sequence of tokens.

As MidiTok decodes the harness's default settings (4-beat bars, pitches 21..109, no tempos, no special tokens), fast
enough for a thousand pieces; equality with MidiTok is held by a test.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from metrics.music.grid import STEPS_PER_BEAT, TIME_BINS, VELOCITY_BINS, bin_beats, duration_bins, snap_beats
from metrics.music.notes import Notes, per_piece

BAR_BEATS: Final = 4
POSITIONS: Final = BAR_BEATS * STEPS_PER_BEAT
LOWEST_PITCH, HIGHEST_PITCH = 21, 109
PITCHES: Final = HIGHEST_PITCH - LOWEST_PITCH + 1
DURATIONS: Final = TIME_BINS - 1  # no token holds a duration of 0

BAR: Final = 0  # one Bar token, then those of each kind in a row
POSITION: Final = BAR + 1
PITCH: Final = POSITION + POSITIONS
VELOCITY: Final = PITCH + PITCHES
DURATION: Final = VELOCITY + VELOCITY_BINS
VOCABULARY: Final = DURATION + DURATIONS

VELOCITIES: Final = 128 // VELOCITY_BINS * np.arange(1, VELOCITY_BINS + 1) - 1  # 3, 7, 11 ... 127


@per_piece
def note_tokens(notes: Notes) -> NDArray[np.int64]:
    """The tokens of a piece in order: shape (L,). A note is Pitch, Velocity, Duration after the Position of its onset
    and the Bar tokens before it; notes outside the pitch range have no token."""
    inside = (notes.pitch >= LOWEST_PITCH) & (notes.pitch <= HIGHEST_PITCH)
    step = np.rint(snap_beats(notes.onset[inside]) * STEPS_PER_BEAT).astype(np.int64)
    order = np.lexsort((notes.pitch[inside], step))
    step, pitch = step[order], notes.pitch[inside][order].astype(np.int64)
    velocity = np.maximum((notes.velocity[inside][order].astype(np.int64) - 1) // (128 // VELOCITY_BINS), 0)
    duration = duration_bins(notes.duration[inside][order]) - 1
    bars = np.diff(step // POSITIONS, prepend=-1)  # Bar tokens before each note
    fresh = np.diff(step, prepend=-1) != 0  # whether a Position stands before it
    ends = np.cumsum(bars + fresh + 3)
    tokens = np.full(int(ends[-1]) if len(ends) else 0, BAR, np.int64)
    tokens[ends - 3], tokens[ends - 2], tokens[ends - 1] = (
        PITCH + pitch - LOWEST_PITCH,
        VELOCITY + velocity,
        DURATION + duration,
    )
    tokens[ends[fresh] - 4] = POSITION + step[fresh] % POSITIONS
    return tokens


@per_piece
def token_counts(notes: Notes) -> NDArray[np.float64]:
    """How often a piece uses each token: shape (VOCABULARY,)."""
    return np.bincount(note_tokens(notes), minlength=VOCABULARY).astype(np.float64)


def notes_of_tokens(tokens: NDArray[np.int64], name: str = "") -> Notes:
    """Notes of tokens (L,): only a Pitch with a Velocity and a Duration right after it is a note.

    A Bar goes to the start of the next bar, a Position to its place in the bar; tokens before the first Bar belong to
    the first bar.
    """
    is_bar = tokens == BAR
    is_position = (tokens >= POSITION) & (tokens < PITCH)
    bar = np.cumsum(is_bar)
    if not (is_position & (bar == 0)).any():
        bar = np.maximum(bar - 1, 0)  # the first Bar opens the first bar, unless a Position has done so
    places = np.flatnonzero(is_bar | is_position)
    offset = np.where(is_bar[places], 0, tokens[places] - POSITION)
    last = np.searchsorted(places, np.arange(len(tokens)), side="right") - 1
    step = bar * POSITIONS + (np.where(last >= 0, offset[last], 0) if len(places) else 0)
    head, middle, tail = tokens[:-2], tokens[1:-1], tokens[2:]
    whole = (head >= PITCH) & (head < VELOCITY) & (middle >= VELOCITY) & (middle < DURATION) & (tail >= DURATION)
    at = np.flatnonzero(whole)
    return Notes.from_arrays(
        step[at] / STEPS_PER_BEAT,
        bin_beats()[tokens[at + 2] - DURATION + 1],
        tokens[at] - PITCH + LOWEST_PITCH,
        VELOCITIES[tokens[at + 1] - VELOCITY],
        name=name,
        meters=((0.0, float(BAR_BEATS)),),
    )
