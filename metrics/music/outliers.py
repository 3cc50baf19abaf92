"""Pitch outliers: share of notes outside the pitch range of the training music."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from metrics.music.notes import Notes, by_piece, song_numbers, with_notes
from metrics.music.resample import measured
from metrics.quantities import SHARE, Section, music_metric, register_each
from metrics.result import MetricResult, check_known, missing

PIANO_LOWEST, PIANO_HIGHEST = 21, 108  # the keys of a piano
TAIL_PERCENT: Final = 0.5
KINDS: Final = ("percentile", "range", "absolute")
_MORE: Final = {"bounds": SHARE, "label": "Pitch outliers ({})", "section": Section.OUTLIERS}
PITCH_OUTLIERS: Final = register_each("pitch_outliers", KINDS, "1", "nearest", **_MORE)


def pitch_limits(train: Sequence[Notes], kind: str) -> tuple[int, int]:
    """Lowest and highest pitch that is no outlier.

    `absolute`: MIDI 21..108. `range`: lowest and highest pitch of the training pieces. `percentile`: their 0.5th
    percentile, rounded down to a pitch that occurs, and 99.5th, rounded up. Raises ValueError for an unknown kind or
    no training notes.
    """
    check_known("pitch outlier kind", kind, KINDS)
    if kind == "absolute":
        return PIANO_LOWEST, PIANO_HIGHEST
    pieces = with_notes(train)
    if not pieces:
        raise ValueError(f"pitch outlier kind {kind!r} needs training pieces with notes")
    return _limits(tuple(pieces), kind)


@lru_cache(maxsize=8)  # one training side measures many sets
def _limits(pieces: tuple[Notes, ...], kind: str) -> tuple[int, int]:
    pitches = np.concatenate([piece.pitch for piece in pieces])
    if kind == "range":
        return int(pitches.min()), int(pitches.max())
    low = np.percentile(pitches, TAIL_PERCENT, method="lower")
    high = np.percentile(pitches, 100 - TAIL_PERCENT, method="higher")
    return int(low), int(high)


def outlier_counts(pieces: Sequence[Notes], limits: tuple[int, int]) -> NDArray[np.float64]:
    """Notes strictly outside the limits, and all notes, of each piece: shape (pieces, 2)."""
    outside = [np.count_nonzero((p.pitch < limits[0]) | (p.pitch > limits[1])) for p in pieces]
    return np.array([outside, [len(p) for p in pieces]], np.float64).T


@music_metric(*({"kind": kind} for kind in KINDS))
def pitch_outliers(
    generated: Sequence[Notes],
    train: Sequence[Notes] = (),
    kind: str = "percentile",
    *,
    reference: Sequence[Notes] = (),
    intervals: bool = True,
    seed: int = 0,
) -> MetricResult:
    """Share of notes outside the limits of `pitch_limits(train, kind)`, pooled over all notes, 0..1.

    Best near the share of held-out music (`parts["reference"]` when `reference` is given). `parts`: mean_over_pieces,
    pieces_with_any (share of pieces), lowest, highest (the limits),
    reference. No Tukey fences: piano registers have two humps, and fences around both flag nothing.
    With tokens that hold pitches 21..109 only, `absolute` is 0 or nearly so by construction.
    """
    name, gen = PITCH_OUTLIERS.get(kind, ""), with_notes(generated)
    if name and not gen:
        return missing(name, 0, "no generated piece has notes")
    try:
        limits = pitch_limits(train, kind)
    except ValueError as error:
        if not name:
            raise
        return missing(name, len(gen), str(error))
    counts = outlier_counts(gen, limits)
    value = float(counts[:, 0].sum() / counts[:, 1].sum())
    parts = {
        "mean_over_pieces": (counts[:, 0] / counts[:, 1]).mean(),
        "pieces_with_any": (counts[:, 0] > 0).mean(),
        "lowest": limits[0],
        "highest": limits[1],
    }
    held_out = with_notes(reference)
    if held_out:
        held_counts = outlier_counts(held_out, limits)
        parts["reference"] = held_counts[:, 0].sum() / held_counts[:, 1].sum()
    values = by_piece(generated, np.divide(*counts.T))

    def redraw(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.divide(*(weights @ counts).T)

    more: dict[str, Any] = {"intervals": intervals, "seed": seed, "values": values}
    return measured(name, value, [song_numbers(gen)], redraw, parts, scale="rate", **more)
