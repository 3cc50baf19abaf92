"""Infilled bars against the bars that were hidden, piece by piece: notes, chroma and groove."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from metrics.music.grid import STEPS_PER_BEAT
from metrics.music.notes import Notes, song_numbers
from metrics.music.resample import mean_measured
from metrics.quantities import SHARE, music_metric, register
from metrics.result import MetricResult, missing

_register = partial(register, unit="1", better="higher", bounds=SHARE)

INFILL_NOTE_F1: Final = _register(
    "infill_note_f1",
    label="Infilled notes, F1",
    definition="F1 of infilled notes, onset on the token grid and pitch exact, mean over pieces v1",
)
INFILL_CHROMA: Final = _register(
    "infill_chroma_similarity",
    label="Infilled chroma similarity",
    definition="cosine of onsets by pitch class, mean over bars and pieces v1",
)
INFILL_GROOVE: Final = _register(
    "infill_groove_similarity",
    label="Infilled groove similarity",
    definition="1 - mean XOR of onset positions on the token grid, mean over bars and pieces v1",
)
INFILLING: Final = (INFILL_NOTE_F1, INFILL_CHROMA, INFILL_GROOVE)
OTHER_SONG: Final = "another-song"
REPEATED_BARS: Final = "repeated-bars"
"""Fillings without a network: hidden bars of another song, and the bars before the hidden ones once more."""


def infilling_results(
    generated: Sequence[Notes], hidden: Sequence[Notes], *, intervals: bool = True, seed: int = 0
) -> list[MetricResult]:
    """The three metrics of infilled pieces against what was hidden, in the order of `INFILLING`."""
    functions = (infill_note_f1, infill_chroma_similarity, infill_groove_similarity)
    return [function(generated, hidden, intervals=intervals, seed=seed) for function in functions]


@music_metric()
def infill_note_f1(
    generated: Sequence[Notes], hidden: Sequence[Notes], *, intervals: bool = True, seed: int = 0
) -> MetricResult:
    """F1 of the notes of each piece against those of its hidden counterpart, mean over pieces; 0..1.

    A note is found where both have its pitch at its onset, moved to the grid of 1/8 beat; each note is found once.
    Note-wise precision and recall of transcription (onset and pitch, without offsets; Bay et al. 2009; as in mir_eval,
    Raffel et al. 2014, with no tolerance beyond the grid). Durations and velocities do not count. A piece without any
    note on either side is left out. `hidden[i].song` is the song of pair i; the interval resamples songs.
    Raises ValueError for other numbers of pieces on the two sides. `parts`: sd (over pieces), left_out.

    >>> a = Notes.from_arrays([0, 1, 2], [1, 1, 1], [60, 62, 64])
    >>> b = Notes.from_arrays([0, 1], [1, 1], [60, 65])
    >>> infill_note_f1([a], [b], intervals=False).value
    0.4
    """
    return _paired(INFILL_NOTE_F1, _note_f1, generated, hidden, intervals=intervals, seed=seed)


@music_metric()
def infill_chroma_similarity(
    generated: Sequence[Notes], hidden: Sequence[Notes], *, intervals: bool = True, seed: int = 0
) -> MetricResult:
    """Cosine of the numbers of onsets by pitch class, bar by bar, mean over bars, then over pieces; 0..1.

    Chroma similarity of Wu & Yang 2021 (MuseMorphose, 2105.04090). Bars are those of the hidden piece; a bar that is
    silent on one side is 0, one that is silent on both is left out, and so is a piece of such bars alone.
    Otherwise as `infill_note_f1`.
    """
    return _paired(INFILL_CHROMA, _chroma, generated, hidden, intervals=intervals, seed=seed)


@music_metric()
def infill_groove_similarity(
    generated: Sequence[Notes], hidden: Sequence[Notes], *, intervals: bool = True, seed: int = 0
) -> MetricResult:
    """Share of the grid positions of a bar at which both or neither begin a note, mean over bars, then over pieces.

    Grooving similarity of Wu & Yang 2020 (The Jazz Transformer, 2008.01307), between the bars of two pieces and with
    1/8 beat as the grid: 32 positions in a bar of four beats. Most positions are empty in most music, so that it is
    high for any two bars: read it beside its floor. Bars as for `infill_chroma_similarity`.
    """
    return _paired(INFILL_GROOVE, _groove, generated, hidden, intervals=intervals, seed=seed)


def _paired(
    name: str,
    function: Callable[[Notes, Notes], float],
    generated: Sequence[Notes],
    hidden: Sequence[Notes],
    *,
    intervals: bool,
    seed: int,
) -> MetricResult:
    if len(generated) != len(hidden):
        raise ValueError(f"{len(generated)} infilled pieces for {len(hidden)} hidden ones: they are compared in pairs")
    values = np.array([function(one, other) for one, other in zip(generated, hidden, strict=True)], np.float64)
    kept = values[np.isfinite(values)]
    if not len(kept):
        return missing(name, 0, "no pair of pieces has notes")
    parts = {"sd": kept.std(ddof=1) if len(kept) > 1 else np.nan, "left_out": float(len(values) - len(kept))}
    songs = song_numbers(hidden)
    return mean_measured(name, values, songs, parts, intervals=intervals, seed=seed, scale="rate")


def _note_f1(generated: Notes, hidden: Notes) -> float:
    one, other = (
        Counter(zip(_steps(notes).tolist(), notes.pitch.tolist(), strict=True)) for notes in (generated, hidden)
    )
    notes = one.total() + other.total()
    return 2 * (one & other).total() / notes if notes else float("nan")


def _chroma(generated: Notes, hidden: Notes) -> float:
    edges = _bar_edges(generated, hidden)
    tables = [_counts(notes, edges, notes.pitch.astype(np.int64) % 12, 12) for notes in (generated, hidden)]
    squares = [(table**2).sum(1) for table in tables]
    filled = (squares[0] > 0) | (squares[1] > 0)
    product, size = (tables[0] * tables[1]).sum(1)[filled], np.sqrt(squares[0] * squares[1])[filled]
    cosines = np.divide(product, size, out=np.zeros(len(size)), where=size > 0)
    return float(cosines.mean()) if len(cosines) else float("nan")


def _groove(generated: Notes, hidden: Notes) -> float:
    edges = _bar_edges(generated, hidden)
    steps = np.maximum(np.rint(np.diff(edges) * STEPS_PER_BEAT), 1).astype(np.int64)
    tables = [_counts(notes, edges, _step_in_bar(notes, edges), int(steps.max())) > 0 for notes in (generated, hidden)]
    filled = (tables[0] | tables[1]).any(axis=1)
    differ = (tables[0] ^ tables[1]).sum(axis=1) / steps
    return float(1 - differ[filled].mean()) if filled.any() else float("nan")


def _steps(notes: Notes) -> NDArray[np.int64]:
    return np.rint(notes.onset * STEPS_PER_BEAT).astype(np.int64)


def _bar_edges(generated: Notes, hidden: Notes) -> NDArray[np.float64]:
    """Bars of the hidden piece, with further ones as long as its last where the other piece goes on: (bars + 1,)."""
    edges = hidden.bar_starts()
    bar = edges[-1] - edges[-2]
    last = float((_steps(generated) / STEPS_PER_BEAT).max()) if len(generated) else 0.0
    more = max(int(np.floor((last - edges[-1]) / bar + 1e-9)) + 1, 0)
    return np.append(edges, edges[-1] + bar * np.arange(1, more + 1))


def _bar_of_note(notes: Notes, edges: NDArray[np.float64]) -> NDArray[np.int64]:
    beats = _steps(notes) / STEPS_PER_BEAT
    return np.clip(np.searchsorted(edges, beats + 1e-9, side="right") - 1, 0, len(edges) - 2).astype(np.int64)


def _step_in_bar(notes: Notes, edges: NDArray[np.float64]) -> NDArray[np.int64]:
    return _steps(notes) - np.rint(edges[_bar_of_note(notes, edges)] * STEPS_PER_BEAT).astype(np.int64)


def _counts(notes: Notes, edges: NDArray[np.float64], kind: NDArray[np.int64], kinds: int) -> NDArray[np.float64]:
    """Notes of each kind in each bar: (bars, kinds)."""
    bars = len(edges) - 1
    place = _bar_of_note(notes, edges) * kinds + np.clip(kind, 0, kinds - 1)
    return np.bincount(place, minlength=bars * kinds).reshape(bars, kinds).astype(np.float64)
