"""Notes, the input of every music metric: arrays of onset and duration in beats, pitch and velocity."""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Concatenate, ParamSpec, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

DEFAULT_BAR_BEATS = 4.0  # the MIDI standard's meter where a file names none
TICKS_PER_BEAT = 10**10  # resolution at which two times count as the same instant

Meters = tuple[tuple[float, float], ...]
Rest = ParamSpec("Rest")
Answer = TypeVar("Answer")


class NotesError(ValueError):
    """A file or an array that cannot be read as notes."""


@dataclass(frozen=True, eq=False)
class Notes:
    """The notes of one piece, all tracks merged, sorted by (onset, pitch).

    `onset` and `duration` in beats (quarter notes), float64; `pitch` (MIDI 0..127) and `velocity` (1..127), int16;
    all (N,). `duration` ends where the same pitch starts again, if that comes first; `held` is the duration before
    that cut, so that the pitches that sound at an instant are still those of the file (default: `duration`).
    `meters` are (beat, bar length in beats) from the time signatures of the whole file; empty means bars of 4 beats.
    `song` is the piece of music that these notes are an excerpt of; empty: they are a whole piece of their own.
    `tempo` [beats/min] (the median over time) and `ticks` (a beat) are those of the file; NaN and 0: not known.
    `unended` counts the notes of the file that are begun and never end, which are left out.
    Raises NotesError when arrays differ in length or hold NaN, infinite times or pitches outside 0..127.
    """

    onset: NDArray[np.float64]
    duration: NDArray[np.float64]
    pitch: NDArray[np.int16]
    velocity: NDArray[np.int16]
    name: str = ""
    meters: Meters = ()
    held: NDArray[np.float64] | None = field(default=None, repr=False)
    song: str = ""
    tempo: float = math.nan
    ticks: int = 0
    unended: int = 0
    remembered: dict[Any, Any] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        held = self.duration if self.held is None else self.held
        columns: dict[str, NDArray[Any]] = {
            "onset": np.asarray(self.onset, np.float64),
            "duration": np.asarray(self.duration, np.float64),
            "pitch": _whole_numbers(self.pitch, "pitch", self.name),
            "velocity": _whole_numbers(self.velocity, "velocity", self.name),
            "held": np.asarray(held, np.float64),
        }
        if {column.shape for column in columns.values()} != {(len(columns["onset"]),)}:
            shapes = ", ".join(f"{key} {column.shape}" for key, column in columns.items())
            raise NotesError(f"notes {self.name!r}: arrays must be one-dimensional and of one length, got {shapes}")
        if not all(np.isfinite(columns[key]).all() for key in ("onset", "duration", "held")):
            raise NotesError(f"notes {self.name!r}: onset and duration must be finite numbers of beats")
        order = np.lexsort((columns["pitch"], columns["onset"]))
        in_order = bool((np.diff(order) == 1).all())
        for key, column in columns.items():
            object.__setattr__(self, key, column if in_order else column[order])

    def __len__(self) -> int:
        return len(self.onset)

    @property
    def releases(self) -> NDArray[np.float64]:
        """Beat at which each note is released, before overlaps of one pitch are cut: shape (N,)."""
        return self.onset + (self.duration if self.held is None else self.held)

    @property
    def end_beats(self) -> float:
        """Beat at which the last held note ends; 0 for no notes."""
        return float(self.releases.max()) if len(self) else 0.0

    @property
    def content_hash(self) -> str:
        """Hexadecimal digest of the notes alone: equal for two files with the same notes, whatever their names."""
        digest = hashlib.sha256()
        for times in (self.onset, self.duration):
            digest.update(np.rint(times * 960).astype(np.int64).tobytes())
        digest.update(self.pitch.tobytes() + self.velocity.tobytes())
        return digest.hexdigest()

    def bar_starts(self) -> NDArray[np.float64]:
        """Beats at which bars start, and last the end of the final bar: shape (bars + 1,). A new meter starts a new
        bar."""
        meters = self.meters or ((0.0, DEFAULT_BAR_BEATS),)
        if meters[0][0] > 0:
            meters = ((0.0, DEFAULT_BAR_BEATS), *meters)
        end = max(self.end_beats, 1e-6)  # no notes still make one bar
        changes = [beat for beat, _ in meters[1:] if beat < end]
        starts: list[NDArray[np.float64]] = [np.zeros(0)]
        for (beat, bar_beats), stop in zip(meters, [*changes, end], strict=False):
            bars = max(int(np.ceil((stop - beat) / bar_beats - 1e-9)), 0)
            starts.append(np.asarray(beat + bar_beats * np.arange(bars), np.float64))
        last_bar_beats = meters[len(changes)][1]
        joined = np.concatenate(starts)
        return np.append(joined, joined[-1] + last_bar_beats)

    def with_bars(self, bar_beats: float) -> Notes:
        """The same notes with every bar `bar_beats` long, for files whose time signatures are known to be wrong."""
        if not bar_beats > 0:
            raise NotesError(f"bar_beats must be more than 0, got {bar_beats}")
        return replace(self, meters=((0.0, float(bar_beats)),))

    @classmethod
    def from_arrays(
        cls,
        onset: ArrayLike,
        duration: ArrayLike,
        pitch: ArrayLike,
        velocity: ArrayLike | None = None,
        *,
        name: str = "",
        meters: Meters = (),
    ) -> Notes:
        """Notes from raw arrays: zero-length notes dropped, an overlap of one pitch cut at the later onset.

        Of notes that share pitch and onset the longest is kept. `velocity` defaults to 64.
        """
        pitch_array = np.asarray(pitch)
        raw = cls(
            np.asarray(onset, np.float64),
            np.asarray(duration, np.float64),
            pitch_array,
            np.full(pitch_array.shape, 64, np.int16) if velocity is None else np.asarray(velocity),
            name,
            meters,
        )
        raw = raw._take(raw.duration > 0)
        by_pitch = np.lexsort((raw.duration, raw.onset, raw.pitch))
        onset_n, pitch_n = raw.onset[by_pitch], raw.pitch[by_pitch]
        follows = pitch_n[1:] == pitch_n[:-1]  # the next note of the list has the same pitch
        gap = np.where(follows, np.diff(onset_n), np.inf)
        cut = np.minimum(raw.duration[by_pitch], np.append(gap, np.inf))
        duration_n = np.empty(len(raw))
        duration_n[by_pitch] = cut
        return replace(raw, duration=duration_n, held=raw.duration)._take(duration_n > 1 / TICKS_PER_BEAT)

    def _take(self, keep: NDArray[np.bool_]) -> Notes:
        if keep.all():
            return self
        columns = {key: getattr(self, key)[keep] for key in ("onset", "duration", "pitch", "velocity", "held")}
        return replace(self, **columns)


def per_piece(function: Callable[Concatenate[Notes, Rest], Answer]) -> Callable[Concatenate[Notes, Rest], Answer]:
    """Cache the results of `function` on the piece itself.

    Several metrics, and the rows of ceiling and floors, need the same values of the same pieces. Arrays are returned
    read-only.
    """

    @functools.wraps(function)
    def cached(notes: Notes, *rest: Rest.args, **named: Rest.kwargs) -> Answer:
        key = (function.__module__, function.__qualname__, rest, tuple(named.items()))
        if key not in notes.remembered:
            answer = function(notes, *rest, **named)
            if isinstance(answer, np.ndarray):
                answer.setflags(write=False)
            notes.remembered[key] = answer
        return notes.remembered[key]

    return cached


def _whole_numbers(values: ArrayLike, what: str, name: str) -> NDArray[np.int16]:
    array = np.asarray(values)
    if array.size and not (np.isfinite(array).all() and array.min() >= 0 and array.max() <= 127):
        raise NotesError(f"notes {name!r}: {what} must lie in 0..127, got {array.min()}..{array.max()}")
    return array.astype(np.int16)


def song_numbers(pieces: Sequence[Notes]) -> NDArray[np.int64]:
    """Number of the song of each piece, 0 for the first song: shape (N,). A piece without a song is one of its own.

    Pieces with the same notes are of one song, whatever their names: copies are no further evidence. Read-only.
    """
    return _song_numbers(tuple(pieces))


@functools.lru_cache(maxsize=16)  # every metric of a table asks for the same sets
def _song_numbers(pieces: tuple[Notes, ...]) -> NDArray[np.int64]:
    root: dict[int | str, int] = {}  # first piece of each song and of each content
    numbers = np.arange(len(pieces), dtype=np.int64)
    for index, piece in enumerate(pieces):
        keys = [_content(piece), *([f"song {piece.song}"] if piece.song else [])]
        known = {int(numbers[root[key]]) for key in keys if key in root}
        if known:
            numbers[index] = min(known)
        if len(known) > 1:  # a copy joins two songs
            numbers[np.isin(numbers, list(known))] = min(known)
        for key in keys:
            root.setdefault(key, index)
    found = np.unique(numbers, return_inverse=True)[1].astype(np.int64)
    found.setflags(write=False)
    return found


def repeated_pieces(pieces: Sequence[Notes]) -> list[list[Notes]]:
    """Groups of two or more pieces that hold the same notes, in order of their first piece."""
    groups: dict[str, list[Notes]] = {}
    for piece in with_notes(pieces):
        groups.setdefault(_content(piece), []).append(piece)
    return [group for group in groups.values() if len(group) > 1]


@per_piece
def _content(notes: Notes) -> str:
    return notes.content_hash


def by_piece(pieces: Sequence[Notes], figures: NDArray[np.float64]) -> NDArray[np.float64]:
    """Figures of the pieces that have notes, in the places of all pieces, NaN for the others: shape (N,)."""
    table = np.full(len(pieces), np.nan)
    table[[len(piece) > 0 for piece in pieces]] = figures
    return table


def with_notes(pieces: Sequence[Notes]) -> list[Notes]:
    """Those pieces that have at least one note."""
    return [piece for piece in pieces if len(piece)]
