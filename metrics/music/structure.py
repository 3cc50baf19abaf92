"""Structure: similarity of bars by their distance, compared with that in real music."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from metrics.music.features import bar_of_notes
from metrics.music.grid import STEPS_PER_BEAT, TIME_BINS, duration_bins, snap_beats
from metrics.music.notes import Notes, per_piece, song_numbers
from metrics.music.resample import measured
from metrics.quantities import SHARE, Section, music_metric, register
from metrics.result import MetricResult, missing

MOST_LAGS: Final = 32  # bars apart; eight phrases of four bars
FEWEST_PAIRS: Final = 30  # a lag with fewer pairs of bars on either side is left out
STRUCTURE_ERROR: Final = register(
    "structure_similarity_error",
    "1",
    "lower",
    bounds=SHARE,
    definition="structure_similarity_error/32-lags v1",
    section=Section.FORM,
)


@per_piece
def bar_similarity(notes: Notes, lags: int = MOST_LAGS) -> NDArray[np.float64]:
    """Sum of similarities, and number of pairs, of bars t apart, t = 1..lags: shape (2, lags).

    The similarity of two bars is the Jaccard index of their sets of (pitch, duration, onset inside the bar), times on
    the token grid. Pairs of two empty bars are left out.
    """
    table = np.zeros((2, lags))
    if not len(notes):
        return table
    bar, bars = bar_of_notes(notes)
    position = np.rint((snap_beats(notes.onset) - notes.bar_starts()[bar]) * STEPS_PER_BEAT).astype(np.int64)
    keys = ((position - position.min()) * TIME_BINS + duration_bins(notes.duration)) * 128 + notes.pitch
    reach = bars + lags + 1
    codes = np.unique(
        (keys - keys.min()) * reach + bar
    )  # one a note of a bar's set; equal notes lie next to each other
    bar = codes % reach
    size = np.bincount(bar, minlength=bars)
    both = np.zeros((lags + 1, bars))  # notes that a bar shares with the bar so many later
    for ahead in range(1, lags + 1):
        apart = codes[ahead:] - codes[:-ahead]
        near = apart <= lags
        if not near.any():
            break
        np.add.at(both, (apart[near], bar[:-ahead][near]), 1)
    for lag in range(1, min(lags, bars - 1) + 1):
        shared = both[lag, : bars - lag]
        either = size[:-lag] + size[lag:] - shared
        filled = either > 0
        table[:, lag - 1] = (shared[filled] / either[filled]).sum(), np.count_nonzero(filled)
    return table


@music_metric({})
def structure_similarity_error(
    generated: Sequence[Notes], reference: Sequence[Notes], *, intervals: bool = True, seed: int = 0
) -> MetricResult:
    """Mean over lags t = 1..32 bars of |L_t - L'_t|, L_t the mean similarity of bars t apart in a set; 0..1, lower is
    better.

    Source: Museformer (Yu et al. 2022, arXiv 2210.10349), similarity error. Departures: times on the token grid; lags
    with fewer than 30 pairs of bars in either set are left out. `parts`: lags used, n_reference, songs_reference, and
    mean similarity at lags 1, 4, 8 and 16 of both sets (NaN where left out).
    """
    tables = [
        np.array([bar_similarity(p) for p in pieces]).reshape(-1, 2, MOST_LAGS) for pieces in (generated, reference)
    ]
    filled = [table[:, 1].sum(1) > 0 for table in tables]
    sets = [song_numbers(pieces)[mask] for pieces, mask in zip((generated, reference), filled, strict=True)]
    tables = [table[mask] for table, mask in zip(tables, filled, strict=True)]
    pairs = [table[:, 1].sum(0) if len(table) else np.zeros(MOST_LAGS) for table in tables]
    used = (pairs[0] >= FEWEST_PAIRS) & (pairs[1] >= FEWEST_PAIRS)
    if not used.any():
        reason = f"no lag has {FEWEST_PAIRS} pairs of bars in both sets"
        return missing(STRUCTURE_ERROR, len(tables[0]), reason)
    curves = [_curve(table.sum(0)) for table in tables]
    value = float(np.abs(curves[0] - curves[1])[used].mean())

    def redraw(*weights: NDArray[np.float64]) -> NDArray[np.float64]:
        draws = [_curve(np.einsum("rp,pcl->rcl", w, table)) for w, table in zip(weights, tables, strict=True)]
        return np.nanmean(np.abs(draws[0] - draws[1])[:, used], axis=1)

    parts = {"lags": used.sum(), "n_reference": len(tables[1])}
    for lag in (1, 4, 8, 16):
        for side, curve in zip(("generated", "reference"), curves, strict=True):
            parts[f"lag_{lag}_{side}"] = curve[lag - 1] if used[lag - 1] else np.nan
    return measured(STRUCTURE_ERROR, value, sets, redraw, parts, intervals=intervals, seed=seed, scale="distance")


def _curve(table: NDArray[np.float64]) -> NDArray[np.float64]:
    with np.errstate(invalid="ignore", divide="ignore"):
        return table[..., 0, :] / table[..., 1, :]
