"""Novelty: how much of a piece is copied from the training pieces, and how near the nearest of them is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from metrics.grid import TIME_BINS, duration_bins, snap_beats, time_bins
from metrics.notes import Notes, with_notes
from metrics.resample import half_weights, interval
from metrics.result import MetricResult, missing
from metrics.vectors import scaling, summary_vectors

KINDS: Final = ("longest_copy", "nearest_distance")
MOST_NEIGHBOURS: Final = 1000  # training pieces that the nearest one is sought among, evenly picked

MULTIPLIER: Final = 0x9E3779B97F4A7C15  # odd, so that it has an inverse modulo 2^64
MIXER: Final = np.uint64(0xBF58476D1CE4E5B9)
FILTER_BITS: Final = 22


def note_words(notes: Notes) -> NDArray[np.uint64]:
    """One number a note after the first: its step from the note before, pitch and duration, on the token grid: (N -
    1,)."""
    if len(notes) < 2:
        return np.zeros(0, np.uint64)
    steps = time_bins(np.diff(snap_beats(notes.onset)))
    words = (steps * 128 + notes.pitch[1:]) * TIME_BINS + duration_bins(notes.duration[1:])
    mixed = (words.astype(np.uint64) + np.uint64(1)) * MIXER
    return mixed ^ (mixed >> np.uint64(29))


class Passages:
    """Every run of note words of some pieces: hashes that one subtraction finds, none crossing from piece to piece."""

    def __init__(self, pieces: Sequence[Notes]) -> None:
        texts = [note_words(piece) for piece in pieces]
        joined = np.concatenate([*texts, np.zeros(0, np.uint64)])
        self.lengths = np.array([len(text) for text in texts], np.int64)
        self.owner = np.repeat(np.arange(len(texts)), self.lengths)
        self._room = np.concatenate([np.arange(n, 0, -1) for n in self.lengths] + [np.zeros(0, np.int64)])
        sums = np.cumsum(joined * _powers(len(joined), MULTIPLIER), dtype=np.uint64)
        self._prefix = np.concatenate([np.zeros(1, np.uint64), sums])  # polynomial hash modulo 2^64
        self._inverse = _powers(len(joined), pow(MULTIPLIER, -1, 1 << 64))

    def runs(self, size: int) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
        """Hash of every run of `size` words inside one piece, and where it starts."""
        start = np.flatnonzero(self._room >= size)
        return (self._prefix[start + size] - self._prefix[start]) * self._inverse[start], start


def longest_copies(pieces: Sequence[Notes], train: Sequence[Notes]) -> NDArray[np.int64]:
    """Notes after the first of the longest passage of each piece that one training piece holds too: shape (pieces,).

    Lengths grow until nothing is shared, then every piece halves its own range.
    """
    asked, known = Passages(pieces), Passages(train)
    low, high = np.zeros(len(pieces), np.int64), asked.lengths.copy()
    growth = 4
    while (low < high).any():
        unsure = low < high
        middle = np.where(high - low > growth, low + growth, (low + high + 1) // 2)
        for size in np.unique(middle[unsure]):
            now = unsure & (middle == size)
            found = _shared(asked, known, int(size), now)
            low = np.where(now & found, size, low)
            high = np.where(now & ~found, size - 1, high)
        growth *= 2
    return low


def _shared(asked: Passages, known: Passages, size: int, now: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which of the pieces in question share a run of `size` words with `known`."""
    runs, start = asked.runs(size)
    wanted = now[asked.owner[start]]
    runs, owner = runs[wanted], asked.owner[start[wanted]]
    seen = np.zeros(1 << FILTER_BITS, bool)  # most training runs are ruled out by a few bits, without a sort
    shift = np.uint64(64 - FILTER_BITS)
    seen[runs >> shift] = True
    others = known.runs(size)[0]
    others = others[seen[others >> shift]]
    found = np.zeros(len(now), bool)
    found[owner[np.isin(runs, others)]] = True
    return found


def novelty(
    generated: Sequence[Notes],
    train: Sequence[Notes],
    kind: str = "longest_copy",
    *,
    reference: Sequence[Notes] = (),
    intervals: bool = True,
    seed: int = 0,
) -> MetricResult:
    """What ties generated pieces to the training pieces; read it beside held-out real music, `parts["reference"]`.

    `longest_copy` [notes]: mean over pieces of the longest run of notes, equal in step, pitch and duration on the
    token grid, that some training piece holds too. Far above the reference: the model copies. `nearest_distance`:
    mean distance of the summary vector (`summary_vectors`, scaled by the training pieces' spread) to the nearest of
    up to 1,000 training pieces; far below the reference: copies, far above: strange music.
    `parts`: largest (copy) or smallest (distance), n_train, reference, and for copies copied_whole, the share of
    pieces of which at least 90 % is one copy.
    """
    if kind not in KINDS:
        raise ValueError(f"novelty kind {kind!r} is unknown; allowed: {', '.join(KINDS)}")
    name, definition = f"novelty_{kind}", f"novelty/{kind} v1"
    unit = "notes" if kind == "longest_copy" else "1"
    gen, known, held_out = with_notes(generated), with_notes(train), with_notes(reference)
    for side, pieces in (("generated", gen), ("training", known)):
        if not pieces:
            return missing(name, unit, len(gen), "none", definition, f"no {side} piece has notes")
    parts: dict[str, float] = {}
    if kind == "longest_copy":
        copies = longest_copies([*gen, *held_out], known).astype(np.float64)
        values, beside = copies[: len(gen)], copies[len(gen) :]
        lengths = np.array([max(len(piece) - 1, 1) for piece in gen])
        parts |= {"largest": float(values.max()), "copied_whole": float((values >= 0.9 * lengths).mean())}
    else:
        picked = np.unique(np.linspace(0, len(known) - 1, min(len(known), MOST_NEIGHBOURS)).astype(np.int64))
        known = [known[i] for i in picked]
        values, beside = _nearest([gen, held_out], known)
        if not len(values):
            return missing(name, unit, len(gen), "none", definition, "needs 2 training pieces with two notes each")
        parts["smallest"] = float(values.min())
    value = float(values.mean())
    low, high = float("nan"), float("nan")
    if intervals:
        low, high = interval(value, half_weights(len(values), [seed, 0]) @ values / len(values), len(values))
    parts["n_train"] = float(len(known))
    if len(beside):
        parts["reference"] = float(beside.mean())
    return MetricResult(name, value, unit, len(values), "none", definition, "", low, high, parts)


def _nearest(sets: Sequence[Sequence[Notes]], train: Sequence[Notes]) -> list[NDArray[np.float64]]:
    from scipy.spatial.distance import cdist

    known = summary_vectors(train)
    if len(known) < 2:
        return [np.zeros(0) for _ in sets]
    centre, scale = scaling(known)
    known = (known - centre) / scale
    vectors = [summary_vectors(pieces) for pieces in sets]
    return [cdist((v - centre) / scale, known).min(1) if len(v) else np.zeros(0) for v in vectors]


def _powers(count: int, base: int) -> NDArray[np.uint64]:
    factors = np.full(count, base, np.uint64)
    factors[:1] = 1
    return np.multiply.accumulate(factors)
