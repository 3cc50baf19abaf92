"""The nine features of a piece that `oa_distance` compares, and their per-bar forms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from metrics.music.notes import Notes, per_piece
from metrics.result import check_known

# Yang & Lerch's twelve note lengths, in beats: whole to 16th, the same dotted, half to 8th triplets.
NOTE_LENGTHS_BEATS: Final = np.array([4, 2, 1, 1 / 2, 1 / 4, 3, 3 / 2, 3 / 4, 3 / 8, 4 / 3, 2 / 3, 1 / 3])
TIME_DIGITS: Final = 9  # decimals of beats below which two distances are one

Feature = Callable[[Notes], NDArray[np.float64]]


def used_pitches(notes: Notes) -> NDArray[np.float64]:
    """Number of different pitches: shape (1,)."""
    return np.array([len(np.unique(notes.pitch))], np.float64)


def pitch_range(notes: Notes) -> NDArray[np.float64]:
    """Highest minus lowest pitch, semitones: shape (1,)."""
    return np.array([np.ptp(notes.pitch)], np.float64) if len(notes) else np.full(1, np.nan)


def note_count(notes: Notes) -> NDArray[np.float64]:
    """Number of notes: shape (1,)."""
    return np.array([len(notes)], np.float64)


def mean_pitch_shift(notes: Notes) -> NDArray[np.float64]:
    """Mean absolute step between consecutive notes in (onset, pitch) order, semitones; NaN for one note: shape (1,)."""
    steps = np.abs(np.diff(notes.pitch.astype(np.float64)))
    return np.array([steps.mean() if len(steps) else np.nan])


def mean_onset_interval(notes: Notes) -> NDArray[np.float64]:
    """Mean time between the onsets of consecutive notes, beats, 0 inside a chord; NaN for one note: shape (1,)."""
    steps = np.diff(notes.onset)
    return np.array([steps.mean() if len(steps) else np.nan])


def pitch_class_histogram(notes: Notes) -> NDArray[np.float64]:
    """Share of sounding time of each pitch class, sum 1: shape (12,)."""
    return _shares(np.bincount(notes.pitch % 12, weights=notes.duration, minlength=12).astype(np.float64))


def pitch_class_transitions(notes: Notes) -> NDArray[np.float64]:
    """Share of each step from pitch class to pitch class among consecutive notes, sum 1: shape (144,), row = from."""
    return _transitions(notes.pitch.astype(np.int64) % 12)


def note_length_histogram(notes: Notes) -> NDArray[np.float64]:
    """Share of notes in each of the twelve note lengths, sum 1: shape (12,)."""
    return _shares(np.bincount(_length_classes(notes), minlength=12).astype(np.float64))


def note_length_transitions(notes: Notes) -> NDArray[np.float64]:
    """Share of each step from note length to note length among consecutive notes, sum 1: shape (144,), row = from."""
    return _transitions(_length_classes(notes))


def used_pitches_per_bar(notes: Notes) -> NDArray[np.float64]:
    """Mean number of different pitches that start in a bar, over all bars: shape (1,)."""
    bar, bars = bar_of_notes(notes)
    return np.array([len(np.unique(bar * 128 + notes.pitch)) / bars])


def notes_per_bar(notes: Notes) -> NDArray[np.float64]:
    """Mean number of notes that start in a bar, over all bars: shape (1,)."""
    return np.array([len(notes) / bar_of_notes(notes)[1]])


def pitch_class_histogram_per_bar(notes: Notes) -> NDArray[np.float64]:
    """Mean over the bars with notes of each bar's own pitch class shares: shape (12,)."""
    bar, bars = bar_of_notes(notes)
    table = np.bincount(bar * 12 + notes.pitch % 12, weights=notes.duration, minlength=bars * 12).reshape(bars, 12)
    filled = table[table.sum(1) > 0]
    return (filled / filled.sum(1, keepdims=True)).mean(0) if len(filled) else np.full(12, np.nan)


FEATURES: Final[dict[str, Feature]] = {
    "used_pitches": used_pitches,
    "pitch_range": pitch_range,
    "notes": note_count,
    "mean_pitch_shift": mean_pitch_shift,
    "mean_onset_interval": mean_onset_interval,
    "pitch_class_histogram": pitch_class_histogram,
    "pitch_class_transitions": pitch_class_transitions,
    "note_length_histogram": note_length_histogram,
    "note_length_transitions": note_length_transitions,
}
BAR_FEATURES: Final[dict[str, Feature]] = {
    "used_pitches_per_bar": used_pitches_per_bar,
    "notes_per_bar": notes_per_bar,
    "pitch_class_histogram_per_bar": pitch_class_histogram_per_bar,
}
DIMENSIONS: Final = {
    "pitch_class_histogram": 12,
    "pitch_class_transitions": 144,
    "note_length_histogram": 12,
    "note_length_transitions": 144,
    "pitch_class_histogram_per_bar": 12,
}  # the others have one


def feature_matrix(pieces: Sequence[Notes], feature: str) -> NDArray[np.float64]:
    """One row a piece: shape (pieces, dimension). NaN rows where a piece has no notes, or too few for the feature."""
    known = FEATURES | BAR_FEATURES
    check_known("feature", feature, known)
    rows = [feature_vector(piece, feature) if len(piece) else None for piece in pieces]
    width = DIMENSIONS.get(feature, 1)
    return np.array([np.full(width, np.nan) if row is None else row for row in rows], np.float64).reshape(-1, width)


@per_piece
def feature_vector(notes: Notes, feature: str) -> NDArray[np.float64]:
    """One feature of one piece with notes, by name: shape (dimension,)."""
    return (FEATURES | BAR_FEATURES)[feature](notes)


@per_piece
def bar_of_notes(notes: Notes) -> tuple[NDArray[np.int64], int]:
    """Bar in which each note starts, shape (N,), and the number of bars."""
    edges = notes.bar_starts()
    bar = np.clip(np.searchsorted(edges, notes.onset + 1e-9, side="right") - 1, 0, len(edges) - 2)
    return bar.astype(np.int64), len(edges) - 1


def _length_classes(notes: Notes) -> NDArray[np.int64]:
    """Nearest of the twelve note lengths, of two at one distance the first in NOTE_LENGTHS_BEATS (as mgeval): shape
    (N,)."""
    distance = np.abs(notes.duration[:, None] - NOTE_LENGTHS_BEATS)  # N -> N 12
    return np.argmin(np.round(distance, TIME_DIGITS), axis=1).astype(np.int64)


def _transitions(classes: NDArray[np.int64]) -> NDArray[np.float64]:
    return _shares(np.bincount(classes[:-1] * 12 + classes[1:], minlength=144).astype(np.float64))


def _shares(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    total = counts.sum()
    return counts / total if total > 0 else np.full(counts.shape, np.nan)
