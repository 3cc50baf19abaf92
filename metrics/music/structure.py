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


def _register(name: str, definition: str, label: str = "") -> str:
    more = {"bounds": SHARE, "definition": definition, "section": Section.FORM, "label": label}
    return register(name, "1", "lower", **more)


STRUCTURE_ERROR: Final = _register("structure_error", "structure_error/32-lags/steps v1")
STRUCTURE_SIMILARITY_ERROR: Final = _register(
    "structure_similarity_error", "structure_similarity_error/32-lags v1", "structure similarity error (Museformer)"
)


@per_piece
def bar_similarity(notes: Notes, lags: int = MOST_LAGS, *, steps: bool = False) -> NDArray[np.float64]:
    """Sum of similarities, and number of pairs, of bars t apart, t = 1..lags: shape (2, lags).

    The similarity of two bars is the Jaccard index of their sets of (pitch, duration, onset inside the bar), times on
    the token grid; with `steps` of their sets of (pitch step to the next note, onset inside the bar), the last note
    left out. Pairs of two empty bars are left out.
    """
    table = np.zeros((2, lags))
    if len(notes) <= steps:
        return table
    bar, bars = bar_of_notes(notes)
    position = np.rint((snap_beats(notes.onset) - notes.bar_starts()[bar]) * STEPS_PER_BEAT).astype(np.int64)
    if steps:
        bar, position = bar[:-1], position[:-1]
        keys = (position - position.min()) * 256 + np.diff(notes.pitch.astype(np.int64))
    else:
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


def structure_redraws(
    pool: Sequence[Notes], chosen: NDArray[np.int64], reference: Sequence[Notes]
) -> NDArray[np.float64]:
    """`structure_error` of each draw from a pool, as places in it: R N -> R; NaN where it has no value."""
    return _redraws(pool, chosen, reference, steps=True)


@music_metric({}, redraws=structure_redraws)
def structure_error(
    generated: Sequence[Notes], reference: Sequence[Notes], *, intervals: bool = True, seed: int = 0
) -> MetricResult:
    """Weighted mean over lags t = 1..32 bars of |L_t - L'_t|, L_t the mean similarity of bars t apart in a set; 0..1,
    lower is better.

    As `structure_similarity_error`, but bars are alike where the pitch steps from note to note are, in any key and with
    any durations, and a lag has the weight of its pairs of bars, the fewer of both sets: far lags of short pieces are
    few pairs and mostly noise. Lags with fewer than 30 pairs in either set are left out. `parts`: as there.
    """
    return _measured(STRUCTURE_ERROR, generated, reference, steps=True, intervals=intervals, seed=seed)


def similarity_redraws(
    pool: Sequence[Notes], chosen: NDArray[np.int64], reference: Sequence[Notes]
) -> NDArray[np.float64]:
    """`structure_similarity_error` of each draw from a pool, as places in it: R N -> R; NaN where it has no value."""
    return _redraws(pool, chosen, reference, steps=False)


@music_metric({}, redraws=similarity_redraws)
def structure_similarity_error(
    generated: Sequence[Notes], reference: Sequence[Notes], *, intervals: bool = True, seed: int = 0
) -> MetricResult:
    """Mean over lags t = 1..32 bars of |L_t - L'_t|, L_t the mean similarity of bars t apart in a set; 0..1, lower is
    better.

    Source: Museformer (Yu et al. 2022, arXiv 2210.10349), similarity error. Departures: times on the token grid; lags
    with fewer than 30 pairs of bars in either set are left out. `parts`: lags used, n_reference, songs_reference, and
    mean similarity at lags 1, 4, 8 and 16 of both sets (NaN where left out).
    """
    return _measured(STRUCTURE_SIMILARITY_ERROR, generated, reference, steps=False, intervals=intervals, seed=seed)


def _measured(
    name: str, generated: Sequence[Notes], reference: Sequence[Notes], *, steps: bool, intervals: bool, seed: int
) -> MetricResult:
    tables = [_tables(pieces, steps) for pieces in (generated, reference)]
    filled = [table[:, 1].sum(1) > 0 for table in tables]
    sets = [song_numbers(pieces)[mask] for pieces, mask in zip((generated, reference), filled, strict=True)]
    tables = [table[mask] for table, mask in zip(tables, filled, strict=True)]
    sums = [table.sum(0) for table in tables]
    weight = _weights(sums[0], sums[1], steps)
    if not weight.any():
        return missing(name, len(tables[0]), f"no lag has {FEWEST_PAIRS} pairs of bars in both sets")
    value = float(_errors(sums[0], sums[1], weight))

    def redraw(*weights: NDArray[np.float64]) -> NDArray[np.float64]:
        draws = [np.einsum("rp,pcl->rcl", w, table) for w, table in zip(weights, tables, strict=True)]
        return _errors(draws[0], draws[1], weight)

    parts: dict[str, float] = {"lags": int((weight > 0).sum()), "n_reference": len(tables[1])}
    for lag in (1, 4, 8, 16):
        for side, curve in zip(("generated", "reference"), map(_curve, sums), strict=True):
            parts[f"lag_{lag}_{side}"] = curve[lag - 1] if weight[lag - 1] else np.nan
    return measured(name, value, sets, redraw, parts, intervals=intervals, seed=seed, scale="distance")


def _redraws(
    pool: Sequence[Notes], chosen: NDArray[np.int64], reference: Sequence[Notes], *, steps: bool
) -> NDArray[np.float64]:
    drawn, held = _tables(pool, steps)[chosen].sum(1), _tables(reference, steps).sum(0)  # R 2 lags, 2 lags
    return _errors(drawn, held, _weights(drawn, held, steps))


def _tables(pieces: Sequence[Notes], steps: bool) -> NDArray[np.float64]:
    """`bar_similarity` of each piece: shape (pieces, 2, lags)."""
    return np.array([bar_similarity(piece, steps=steps) for piece in pieces]).reshape(-1, 2, MOST_LAGS)


def _weights(first: NDArray[np.float64], second: NDArray[np.float64], steps: bool) -> NDArray[np.float64]:
    """Weight of each lag, 0 where either set has too few pairs: ... 2 lags, 2 lags -> ... lags."""
    pairs = np.minimum(first[..., 1, :], second[..., 1, :])
    return np.where(pairs >= FEWEST_PAIRS, pairs if steps else 1.0, 0.0)


def _errors(
    first: NDArray[np.float64], second: NDArray[np.float64], weight: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Weighted mean difference of the curves, NaN without a lag: ... 2 lags, 2 lags, ... lags -> ..."""
    apart = np.abs(_curve(first) - _curve(second))
    kept = np.where(np.isfinite(apart), weight, 0.0)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(kept > 0, apart * kept, 0.0).sum(-1) / kept.sum(-1))


def _curve(table: NDArray[np.float64]) -> NDArray[np.float64]:
    with np.errstate(invalid="ignore", divide="ignore"):
        return table[..., 0, :] / table[..., 1, :]
