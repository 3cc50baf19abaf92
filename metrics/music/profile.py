"""Profile of a piece: 90 figures of what it uses and in which order, and the yardstick they are standardised by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from metrics.music.descriptors import DESCRIPTORS, described
from metrics.music.features import feature_vector
from metrics.music.notes import Notes, per_piece
from metrics.music.structure import bar_similarity
from metrics.music.vectors import HISTOGRAMS, SUMMARY_FEATURES, SUMMARY_WIDTH

WIDEST_STEP: Final = 24  # semitones; wider steps count in the total only
STEP_BINS: Final = 2 * WIDEST_STEP + 1
LAGS: Final = 8  # bars
STEPS_FROM: Final = SUMMARY_WIDTH
LAGS_FROM: Final = STEPS_FROM + STEP_BINS
DESCRIPTORS_FROM: Final = LAGS_FROM + LAGS
DIMENSION: Final = DESCRIPTORS_FROM + len(DESCRIPTORS)
SHARES: Final = (*HISTOGRAMS, slice(STEPS_FROM, LAGS_FROM))
RAREST: Final = 1 / 20  # least variance of a histogram's bin, of the mean over its bins: rare bins stay bounded
FURTHEST: Final = 5.0  # deviations from the mean that count: a figure that training music hardly varies stays bounded
FEWEST_PIECES: Final = 3
MOST_PIECES: Final = 1000  # training pieces that set the yardstick, evenly picked


@per_piece
def profile(notes: Notes) -> NDArray[np.float64]:
    """The 90 figures of a piece: shape (90,).

    29 of `summary_vectors`; shares of the pitch steps -24..24 among all steps from a note to the next, (onset, pitch)
    order; mean similarity of bars 1..8 apart (`bar_similarity`), NaN where the piece has no two such bars; pitch-class
    entropy, scale and groove consistency, empty-beat rate. NaN where a figure has no value.
    """
    if not len(notes):
        return np.full(DIMENSION, np.nan)
    total, pairs = bar_similarity(notes, LAGS)
    with np.errstate(invalid="ignore", divide="ignore"):
        similarity = total / pairs
    return np.concatenate(
        [
            *(feature_vector(notes, feature) for feature in SUMMARY_FEATURES),
            pitch_steps(notes),
            similarity,
            [described(notes, descriptor) for descriptor in DESCRIPTORS],
        ]
    )


def pitch_steps(notes: Notes) -> NDArray[np.float64]:
    """Share of each pitch step -24..24 among the steps from a note to the next: shape (49,); NaN for one note."""
    steps = np.diff(notes.pitch.astype(np.int64))
    if not len(steps):
        return np.full(STEP_BINS, np.nan)
    near = steps[np.abs(steps) <= WIDEST_STEP]
    return np.bincount(near + WIDEST_STEP, minlength=STEP_BINS) / len(steps)


@dataclass(frozen=True)
class Yardstick:
    """Mean and scale of each of the 90 figures, and the median distance of two pieces, `width`, in such units."""

    centre: NDArray[np.float64]  # (90,)
    scale: NDArray[np.float64]  # (90,)
    width: float

    def standardised(self, pieces: Sequence[Notes]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Standardised profiles of the pieces that have every figure, shape (kept, 90), and which those are, (pieces,).

        A bar similarity without a value, in a piece of few bars, is set to the mean: 0. A figure more than 5 deviations
        from the mean counts as 5.
        """
        table = np.clip((profiles(pieces) - self.centre) / self.scale, -FURTHEST, FURTHEST)
        lags = table[:, LAGS_FROM:DESCRIPTORS_FROM]
        lags[np.isnan(lags)] = 0.0
        kept = np.logical_and.reduce(np.isfinite(table), axis=1)
        return table[kept], kept


def profiles(pieces: Sequence[Notes]) -> NDArray[np.float64]:
    """Profiles one below the other: shape (pieces, 90)."""
    return np.array([profile(piece) for piece in pieces], np.float64).reshape(-1, DIMENSION)


def yardstick(pieces: Sequence[Notes]) -> Yardstick | None:
    """The yardstick of up to 1,000 pieces, evenly picked; None for fewer than 3 pieces with two notes.

    Scale: the standard deviation over pieces (n - 1). A bin of a histogram has at least a twentieth of the mean
    variance of its histogram's bins, and a figure that never varies has scale 1.
    """
    picked = np.unique(np.linspace(0, len(pieces) - 1, min(len(pieces), MOST_PIECES)).astype(np.int64))
    return _yardstick(tuple(pieces[place] for place in picked.tolist()))


@lru_cache(maxsize=8)  # one training side measures many sets
def _yardstick(pieces: tuple[Notes, ...]) -> Yardstick | None:
    from scipy.spatial.distance import pdist

    table = profiles(pieces)
    table = table[np.isfinite(np.delete(table, np.s_[LAGS_FROM:DESCRIPTORS_FROM], axis=1)).all(1)]
    if len(table) < FEWEST_PIECES:
        return None
    counts = np.isfinite(table).sum(0)
    centre = np.nansum(table, 0) / np.maximum(counts, 1)
    variance = np.nansum((table - centre) ** 2, 0) / np.maximum(counts - 1, 1)
    for bins in SHARES:
        variance[bins] = np.maximum(variance[bins], RAREST * variance[bins].mean())
    deviation = np.sqrt(variance)
    unmeasured = Yardstick(centre, np.where(deviation > 1e-12, deviation, 1.0), 1.0)
    width = float(np.median(pdist(unmeasured.standardised(pieces)[0])))
    return Yardstick(centre, unmeasured.scale, width or 1.0)
