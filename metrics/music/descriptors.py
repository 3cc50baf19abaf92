"""Descriptors of single pieces as muspy defines them: tonality, groove, silence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from metrics.music.notes import Notes, per_piece, song_numbers
from metrics.music.resample import Scale, mean_measured
from metrics.quantities import Better, Section, music_metric, register
from metrics.result import MetricResult, check_known, missing

STEPS_PER_BEAT: Final = 24  # resolution of the groove; muspy leaves it to the file, which makes files incomparable
MAJOR: Final = np.array([1, 0, 1, 0, 1, 1, 0, 1, 0, 1, 0, 1], bool)
MINOR: Final = np.array([1, 0, 1, 1, 0, 1, 0, 1, 1, 0, 1, 0], bool)
SCALES: Final = np.array([np.roll(mask, root) for mask in (MAJOR, MINOR) for root in range(12)], np.float64)  # 24 12


@music_metric()
def pitch_class_entropy(notes: Notes) -> float:
    """Entropy of the pitch classes of the notes, bits, 0..log2(12); NaN without notes."""
    counts = np.bincount(notes.pitch % 12, minlength=12).astype(np.float64)
    share = counts[counts > 0] / max(counts.sum(), 1)
    return float(-(share * np.log2(share)).sum()) if len(share) else float("nan")


@music_metric()
def scale_consistency(notes: Notes) -> float:
    """Largest share of notes that one of the 24 major and natural minor scales holds, 0..1; NaN without notes."""
    counts = np.bincount(notes.pitch % 12, minlength=12).astype(np.float64)
    return float((SCALES @ counts).max() / counts.sum()) if counts.any() else float("nan")


@music_metric()
def groove_consistency(notes: Notes) -> float:
    """1 - mean share of the 24th-beat steps at which the onsets of a bar and the next differ, 0..1; NaN for one bar.

    Bars of different length are not compared. muspy counts one more, empty bar when a piece ends on a bar line.
    """
    edges = np.rint(notes.bar_starts() * STEPS_PER_BEAT).astype(np.int64)
    length = np.diff(edges)
    onsets = np.unique(np.rint(notes.onset * STEPS_PER_BEAT).astype(np.int64))
    bar = np.searchsorted(edges, onsets, side="right") - 1
    inside = bar < len(length)
    onsets, bar = onsets[inside], bar[inside]
    pairs = np.flatnonzero(length[1:] == length[:-1])
    if not len(notes) or not len(pairs):
        return float("nan")
    widest = int(length.max())
    here = bar * widest + (onsets - edges[bar])
    shared = np.zeros(len(length))
    follows = np.isin(here + widest, here)  # the same step is struck in the next bar
    np.add.at(shared, bar[follows], 1)
    struck = np.bincount(bar, minlength=len(length))
    differ = struck[pairs] + struck[pairs + 1] - 2 * shared[pairs]
    return float(1 - differ.sum() / length[pairs].sum())


@music_metric()
def empty_beat_rate(notes: Notes) -> float:
    """Share of the beats up to the last note's end in which nothing sounds, 0..1; NaN without notes.

    A note that ends where a beat begins does not sound in it. In muspy it does, and muspy counts a beat after the end.
    """
    if not len(notes):
        return float("nan")
    first = np.floor(notes.onset + 1e-9).astype(np.int64)
    last = np.maximum(np.ceil(notes.releases - 1e-9).astype(np.int64), first + 1)  # one past the last beat
    steps = np.zeros(int(last.max()) + 1, np.int64)
    np.add.at(steps, first, 1)
    np.add.at(steps, last, -1)
    return float(np.mean(np.cumsum(steps)[:-1] == 0))


DESCRIPTORS: Final[dict[str, Callable[[Notes], float]]] = {}


def _register(function: Callable[[Notes], float], unit: str, better: Better, highest: float = 1.0) -> str:
    DESCRIPTORS[function.__name__] = function
    return register(function.__name__, unit, better, bounds=(0.0, highest), section=Section.FORM)


PITCH_CLASS_ENTROPY: Final = _register(pitch_class_entropy, "bits", "nearest", float(np.log2(12)))
SCALE_CONSISTENCY: Final = _register(scale_consistency, "1", "nearest")
GROOVE_CONSISTENCY: Final = _register(groove_consistency, "1", "nearest")
EMPTY_BEAT_RATE: Final = _register(empty_beat_rate, "1", "none")


@music_metric(*({"descriptor": name} for name in DESCRIPTORS))
def describe(
    generated: Sequence[Notes],
    descriptor: str,
    *,
    reference: Sequence[Notes] = (),
    intervals: bool = True,
    seed: int = 0,
) -> MetricResult:
    """Mean of a descriptor over pieces: pitch_class_entropy [bits], scale_consistency, groove_consistency,
    empty_beat_rate.

    Definitions: Wu & Yang 2020 (entropy, groove), Mogren 2016 (scale), Dong et al. 2018 (empty beats), as in muspy
    0.5 but for the departures named at each function. To be read beside the held-out value. Pieces without
    a value are left out. `parts`: sd (over pieces), left_out, reference.
    """
    check_known("descriptor", descriptor, DESCRIPTORS)
    values = _values(generated, descriptor)
    kept = values[np.isfinite(values)]
    if not len(kept):
        return missing(descriptor, 0, "no generated piece has a value")
    parts = {"sd": kept.std(ddof=1) if len(kept) > 1 else np.nan, "left_out": len(values) - len(kept)}
    held_out = _values(reference, descriptor)
    if np.isfinite(held_out).any():
        parts["reference"] = np.nanmean(held_out)
    scale: Scale = "linear" if descriptor == PITCH_CLASS_ENTROPY else "rate"
    songs = song_numbers(generated)
    return mean_measured(descriptor, values, songs, parts, scale=scale, intervals=intervals, seed=seed)


def _values(pieces: Sequence[Notes], descriptor: str) -> NDArray[np.float64]:
    return np.array([described(piece, descriptor) for piece in pieces], np.float64)


@per_piece
def described(notes: Notes, descriptor: str) -> float:
    """One descriptor of one piece, by name."""
    return DESCRIPTORS[descriptor](notes)
