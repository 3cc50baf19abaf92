"""Excerpts of equal length and one grid for two sets of pieces, so that they can be compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final, Literal

import numpy as np

from metrics.music.notes import Meters, Notes, with_notes

GRIDS: Final = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48)  # steps a beat
ON_GRID: Final = 0.98  # share of the onsets of a set that lie on its grid
NEAR: Final = 1 / 400  # beats; a file of few ticks rounds the steps of a grid

Unit = Literal["notes", "beats"]


@dataclass(frozen=True)
class Extent:
    """How long and how fine the pieces of a set are: medians over pieces, NaN where nothing is known.

    `grid`: the fewest steps a beat on which nearly all onsets lie, 0 for a performance.
    """

    notes: float
    beats: float
    tempo: float
    ticks: float
    grid: int

    @classmethod
    def of(cls, pieces: Sequence[Notes]) -> Extent:
        """The extent of a set of pieces."""
        kept = with_notes(pieces)
        tables = (
            [len(piece) for piece in kept],
            [piece.end_beats - piece.onset[0] for piece in kept],
            [piece.tempo for piece in kept],
            [piece.ticks or np.nan for piece in kept],
        )
        known = (np.array(table, np.float64)[np.isfinite(np.array(table, np.float64))] for table in tables)
        medians = [float(np.median(values)) if len(values) else float("nan") for values in known]
        notes, beats, tempo, ticks = medians
        return cls(notes, beats, tempo, ticks, grid_of(kept))


def grid_of(pieces: Sequence[Notes]) -> int:
    """The fewest steps a beat on which 98 % of the onsets lie; 0 where no grid of up to 48 steps fits."""
    onsets = np.concatenate([piece.onset for piece in pieces] or [np.zeros(0)])
    for steps in GRIDS:
        if np.mean(np.abs(np.rint(onsets * steps) / steps - onsets) < NEAR) >= ON_GRID:
            return steps
    return 0


def on_grid(piece: Notes, steps: int) -> Notes:
    """The piece with onsets and durations moved to the nearest of `steps` steps a beat, durations at least one."""
    onset = np.rint(piece.onset * steps) / steps
    duration = np.maximum(np.rint((piece.releases - piece.onset) * steps), 1) / steps
    moved = Notes.from_arrays(onset, duration, piece.pitch, piece.velocity, name=piece.name, meters=piece.meters)
    return replace(moved, song=piece.song, tempo=piece.tempo, ticks=piece.ticks)


def excerpts(piece: Notes, length: float, unit: Unit = "notes") -> list[Notes]:
    """The piece cut to consecutive excerpts of `length` notes or beats, a shorter rest left out; the piece itself where
    it is no longer.

    An excerpt begins at the bar line before its first note. Its song is that of the piece, or the piece's name.
    """
    song = piece.song or piece.name
    if unit == "notes":
        edges = np.arange(0, len(piece) + 1, int(length))
    else:
        start = float(piece.onset[0]) if len(piece) else 0.0
        count = int((piece.end_beats - start) / length + 1e-9)
        edges = np.searchsorted(piece.onset, start + length * np.arange(count + 1) - 1e-9)
    if len(edges) < 2 or len(piece) == 0:
        return [replace(piece, song=song)]
    parts = [(first, last) for first, last in pairwise(edges) if last > first]
    return [replace(_part(piece, int(first), int(last)), song=song) for first, last in parts]


def _part(piece: Notes, first: int, last: int) -> Notes:
    bars = piece.bar_starts()
    start = float(bars[max(int(np.searchsorted(bars, piece.onset[first] + 1e-9)) - 1, 0)])
    rows = slice(first, last)
    held = piece.releases - piece.onset
    return replace(
        piece,
        onset=piece.onset[rows] - start,
        duration=piece.duration[rows],
        pitch=piece.pitch[rows],
        velocity=piece.velocity[rows],
        held=held[rows],
        meters=_meters_from(piece.meters, start),
    )


def _meters_from(meters: Meters, start: float) -> Meters:
    before = [bar for beat, bar in meters if beat <= start + 1e-9][-1:]
    after = tuple((beat - start, bar) for beat, bar in meters if beat > start + 1e-9)
    return (*((0.0, bar) for bar in before), *after)
