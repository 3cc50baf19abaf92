"""Drift along the piece: change of a measure from beginning to end, less that of real music."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from metrics.music.attribute import ATTRIBUTES, BINS, attribute_bins, histogram_overlap
from metrics.music.chords import sounding_steps
from metrics.music.notes import TICKS_PER_BEAT, Notes, song_numbers
from metrics.music.outliers import pitch_limits
from metrics.music.resample import Songs, measured, weighted_means
from metrics.quantities import Better, Kind, Section, music_metric, register
from metrics.result import MetricResult, check_known, missing

WINDOW_BEATS: Final = 16.0
HOP_BEATS: Final = 8.0
FEWEST_WINDOWS: Final = 3
FEWEST_OTHERS: Final = 2  # reference pieces that must reach a window before it is compared
MEASURES: Final = ("oa", "outliers", "density")
WINDOWED: Final = {"oa": "distance to real music", "outliers": "pitch outliers", "density": "sounding pitches"}
"""Short words for what each measure is in a window."""


def _register(measure: str, unit: str, better: Better, kind: Kind = "music") -> str:
    short = WINDOWED.get(measure, "")
    more = {"kind": kind, "label": f"Drift, {short or measure}", "short": short, "section": Section.DRIFT}
    return register(f"drift_{measure}", unit, better, definition=f"drift/{measure}/16-beats-hop-8 v1", **more)


DRIFT: Final = {
    "oa": _register("oa", "1", "lower"),
    "outliers": _register("outliers", "1", "lower"),
    "density": _register("density", "pitches", "none"),
}
DRIFT_BITS: Final = _register("bits", "bits/token", "none", "quality")

TokenBits = tuple[NDArray[np.float64], NDArray[np.float64]]  # beat and bits of each token, both (L,), in order
PieceWindows = list[NDArray[np.float64]]  # one value a window, a piece each; NaN where the window has no value


def window_starts(notes: Notes) -> NDArray[np.float64]:
    """Beats at which windows of 16 beats, hop 8, start; all end inside the piece: shape (windows,)."""
    return _starts(notes.end_beats)


def _starts(end_beats: float) -> NDArray[np.float64]:
    count = int(np.floor((end_beats - WINDOW_BEATS) / HOP_BEATS + 1e-9)) + 1
    return np.arange(max(count, 0), dtype=np.float64) * HOP_BEATS


@music_metric(*({"measure": measure} for measure in MEASURES), redraws="mean")
def drift(
    generated: Sequence[Notes],
    reference: Sequence[Notes],
    measure: str = "oa",
    *,
    train: Sequence[Notes] = (),
    intervals: bool = True,
    seed: int = 0,
) -> MetricResult:
    """Mean slope of a measure from the start (0) to the end (1) of a piece, minus the held-out pieces' own mean slope.

    Windows of 16 quarter notes, hop 8. `oa`: 1 - mean `oa_attribute` of window i against the pooled window i of the
    reference pieces, a reference piece against the others; above 0 the music moves away from real music. `outliers`:
    share of notes outside the training percentiles. `density`: mean number of pitches sounding. Each piece gives one
    least-squares slope over relative position; pieces with fewer than 3 windows are left out. Unit: change over the
    length of a piece. `parts`: slope_generated, slope_reference, n_reference, songs_reference,
    left_out.
    """
    check_known("drift measure", measure, MEASURES)
    try:
        windows = measure_windows(generated, reference, measure, train=train)
    except ValueError as error:
        return missing(DRIFT[measure], len(generated), str(error))
    sets = [song_numbers(pieces) for pieces in (generated, reference)]
    return _against_reference(DRIFT[measure], windows, sets, intervals=intervals, seed=seed)


@music_metric()
def token_drift(
    generated: Sequence[TokenBits],
    reference: Sequence[TokenBits],
    *,
    reference_songs: Songs | None = None,
    intervals: bool = True,
    seed: int = 0,
) -> MetricResult:
    """Drift of the masked bits/token: change of a denoiser's uncertainty from the start to the end of a piece.

    A piece is the beat at which each of its tokens stands and the bits that the denoiser needs for it when it is
    masked, both (L,). Windows, slopes and `parts` as in `drift`; a window's figure is the mean over its tokens. Near 0
    the predictability of generated music changes on its way as that of held-out music does, below 0 it turns
    monotonous. Unit: bits/token over the length of a piece. `reference_songs` are the songs of the reference pieces
    (default: each one of its own).
    """
    windows = (_token_windows(generated), _token_windows(reference))
    songs = np.arange(len(reference)) if reference_songs is None else reference_songs
    sets = [np.arange(len(generated)), songs]
    return _against_reference(DRIFT_BITS, windows, sets, intervals=intervals, seed=seed)


def _token_windows(pieces: Sequence[TokenBits]) -> PieceWindows:
    windows = []
    for beats, bits in pieces:
        if len(beats) != len(bits):
            raise ValueError(f"a piece has {len(beats)} beats and {len(bits)} bits; allowed: one of each a token")
        end = float(beats[-1]) if len(beats) else 0.0
        windows.append(_window_means(np.asarray(beats, np.float64), bits, _starts(end)))
    return windows


def _window_means(onset: NDArray[np.float64], values: NDArray[Any], starts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean of the values whose onset lies in each window; NaN where none does: shape (windows,)."""
    first, last = _window_edges(onset, starts)
    total = np.concatenate([[0], np.cumsum(values)])
    with np.errstate(invalid="ignore"):
        return (total[last] - total[first]) / (last - first)


def _against_reference(
    name: str, windows: tuple[PieceWindows, PieceWindows], sets: Sequence[Songs], *, intervals: bool, seed: int
) -> MetricResult:
    """Mean slope of the generated pieces minus that of the reference pieces, with its interval."""
    slopes = [np.array([_slope(values) for values in side]) for side in windows]
    kept = [values[np.isfinite(values)] for values in slopes]
    for side, values in zip(("generated", "reference"), kept, strict=True):
        if not len(values):
            reason = f"no {side} piece has {FEWEST_WINDOWS} windows of 16 beats with notes"
            return missing(name, len(kept[0]), reason)
    value = float(kept[0].mean() - kept[1].mean())
    parts = {
        "slope_generated": kept[0].mean(),
        "slope_reference": kept[1].mean(),
        "n_reference": len(kept[1]),
        "left_out": sum(len(v) for v in slopes) - sum(len(v) for v in kept),
    }

    def redraw(*weights: NDArray[np.float64]) -> NDArray[np.float64]:
        first, second = (weighted_means(v, w) for w, v in zip(weights, kept, strict=True))
        return first - second

    sets = [songs[np.isfinite(values)] for songs, values in zip(sets, slopes, strict=True)]
    return measured(name, value, sets, redraw, parts, intervals=intervals, seed=seed, values=slopes[0])


def measure_windows(
    generated: Sequence[Notes], reference: Sequence[Notes], measure: str, *, train: Sequence[Notes] = ()
) -> tuple[PieceWindows, PieceWindows]:
    """The values that `drift` fits its slopes to: for each generated and each reference piece one a window of 16 beats,
    hop 8, NaN where a window has no value. `train` is needed for "outliers".

    Raises ValueError for an unknown measure.
    """
    makers: dict[str, Callable[[], tuple[PieceWindows, PieceWindows]]] = {
        "oa": lambda: _distance_windows(generated, reference),
        "outliers": lambda: _outlier_windows(generated, reference, train),
        "density": lambda: (_density_windows(generated), _density_windows(reference)),
    }
    check_known("drift measure", measure, makers)
    return makers[measure]()


def _slope(values: NDArray[np.float64]) -> float:
    filled = np.flatnonzero(np.isfinite(values))
    if len(filled) < FEWEST_WINDOWS:
        return float("nan")
    position = filled / (len(values) - 1)
    centred = position - position.mean()
    return float(centred @ values[filled] / (centred @ centred))


def _window_edges(
    onset: NDArray[np.float64], starts: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First note of each window, and the first after it."""
    first = np.searchsorted(onset, starts - 1e-9)
    return first, np.searchsorted(onset, starts + WINDOW_BEATS - 1e-9)


def _window_counts(notes: Notes, starts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Counts of every attribute's bins in each window, one attribute after the other: shape (windows, all bins)."""
    first, last = _window_edges(notes.onset, starts)
    parts = []
    for attribute in ATTRIBUTES:
        bins = attribute_bins(notes, attribute)
        short = len(notes.onset) - len(bins)  # the last note has no interval to a next one
        rows = [
            np.bincount(bins[a : max(b - short, a)], minlength=BINS[attribute])
            for a, b in zip(first, last, strict=True)
        ]
        parts.append(np.array(rows, np.float64).reshape(-1, BINS[attribute]))
    return np.concatenate(parts, axis=1)


def _distance_windows(generated: Sequence[Notes], reference: Sequence[Notes]) -> tuple[PieceWindows, PieceWindows]:
    tables = [[_window_counts(p, window_starts(p)) for p in pieces] for pieces in (generated, reference)]
    most = max((len(table) for table in tables[1]), default=0)
    pooled = np.zeros((most, sum(BINS.values())))
    reach = np.zeros(most, np.int64)
    for table in tables[1]:
        pooled[: len(table)] += table
        reach[: len(table)] += table.any(1)
    return (
        [_distances(table, pooled, reach, own=False) for table in tables[0]],
        [_distances(table, pooled, reach, own=True) for table in tables[1]],
    )


def _distances(
    table: NDArray[np.float64], pooled: NDArray[np.float64], reach: NDArray[np.int64], *, own: bool
) -> NDArray[np.float64]:
    """1 - mean overlap of each window with the pooled one, without the piece's own share of the pool if `own`."""
    count = min(len(table), len(pooled))
    mine = table[:count]
    others = pooled[:count] - mine if own else pooled[:count]
    edges = np.cumsum([0, *(BINS[a] for a in ATTRIBUTES)])
    overlaps = [histogram_overlap(mine[:, a:b], others[:, a:b]) for a, b in pairwise(edges)]
    values = 1 - np.mean(overlaps, axis=0)
    enough = reach[:count] - (mine.any(1) if own else 0) >= FEWEST_OTHERS
    return np.concatenate([np.where(enough, values, np.nan), np.full(len(table) - count, np.nan)])


def _outlier_windows(
    generated: Sequence[Notes], reference: Sequence[Notes], train: Sequence[Notes]
) -> tuple[PieceWindows, PieceWindows]:
    low, high = pitch_limits(train, "percentile")
    first, second = (
        [_window_means(p.onset, (p.pitch < low) | (p.pitch > high), window_starts(p)) for p in pieces]
        for pieces in (generated, reference)
    )
    return first, second


def _density_windows(pieces: Sequence[Notes]) -> PieceWindows:
    windows = []
    for piece in pieces:
        edges = np.add.outer([0.0, WINDOW_BEATS], window_starts(piece))  # 2 windows
        times, level = sounding_steps(piece)
        beats, length = times / TICKS_PER_BEAT, np.diff(times) / TICKS_PER_BEAT
        filled = (
            [
                np.diff(np.interp(edges, beats, np.concatenate([[0.0], np.cumsum(length * weight)])), axis=0)[0]
                for weight in (level[:-1], level[:-1] > 0)
            ]
            if len(times)
            else [np.zeros(0), np.zeros(0)]
        )
        with np.errstate(invalid="ignore"):
            windows.append(filled[0] / filled[1])
    return windows
