"""Framewise self-similarity: overlap of neighbouring windows of a piece, compared with that of real music."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Final

import numpy as np
from numpy.typing import NDArray

from metrics.music.features import bar_of_notes
from metrics.music.notes import Notes, per_piece, song_numbers
from metrics.music.resample import measured
from metrics.quantities import SHARE, Section, music_metric, register_each
from metrics.result import MetricResult, check_known, missing

WINDOW_BARS: Final = 4
HOP_BARS: Final = 2
SMALLEST_DEVIATION: Final = 1e-6  # added to every standard deviation, as SCHmUBERT does
ATTRIBUTES: Final = ("pitch", "duration")
STATISTICS: Final = ("consistency", "variance")
OA_FRAMEWISE: Final = register_each(
    "oa_framewise", product(ATTRIBUTES, STATISTICS), "1", "higher", bounds=SHARE, section=Section.NEIGHBOURS
)


def gaussian_overlap(
    first_mean: NDArray[np.float64],
    first_deviation: NDArray[np.float64],
    second_mean: NDArray[np.float64],
    second_deviation: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Integral of min of two normal densities, exact, elementwise; equal to `statistics.NormalDist.overlap`.

    Two normals of different deviation cross twice, of one deviation once; between crossings the smaller mass counts.
    With u the distance from the mean of the narrower one, s its deviation, w the wider one's, d the difference of the
    means: (w^2 - s^2) u^2 + 2 d s^2 u = s^2 (d^2 + 2 w^2 ln(w / s)). The roots are taken in the form that does not
    cancel where the deviations are equal up to rounding, where `NormalDist.overlap` does.
    """
    from scipy.special import ndtr

    m1, s1, m2, s2 = np.broadcast_arrays(first_mean, first_deviation, second_mean, second_deviation)
    swap = s1 > s2
    narrow, wide = np.where(swap, s2, s1), np.where(swap, s1, s2)
    apart = np.where(swap, m1 - m2, m2 - m1)
    square, linear = (wide - narrow) * (wide + narrow), apart * narrow**2
    constant = narrow**2 * (apart**2 + 2 * wide**2 * np.log1p((wide - narrow) / narrow))
    larger = -(linear + np.copysign(np.sqrt(linear**2 + square * constant), linear))
    with np.errstate(divide="ignore", invalid="ignore"):
        crossings = [np.where(larger == 0, 0.0, root) for root in (larger / square, -constant / larger)]
    low, high = np.minimum(*crossings), np.maximum(*crossings)
    masses = []
    for mean, deviation in ((0.0, narrow), (apart, wide)):
        below, above = ndtr((low - mean) / deviation), ndtr((mean - high) / deviation)
        masses.append((below, 1 - below - above, above))
    return np.clip(np.sum([np.minimum(*pair) for pair in zip(*masses, strict=True)], axis=0), 0, 1)


@per_piece
def adjacent_overlaps(notes: Notes, attribute: str) -> NDArray[np.float64]:
    """Overlap of each 4-bar window with the next, hop 2 bars, for "pitch" or "duration" (beats): shape (windows - 1,).

    Windows lie wholly inside the piece; pairs with an empty window are left out.
    """
    check_known("attribute", attribute, ATTRIBUTES)
    if not len(notes):
        return np.zeros(0)
    bar, bars = bar_of_notes(notes)
    values = notes.pitch.astype(np.float64) if attribute == "pitch" else notes.duration
    centred = values - values.mean()
    sums = [np.bincount(bar, weights=centred**power, minlength=bars) for power in (0, 1, 2)]
    starts = np.arange(0, bars - WINDOW_BARS + 1, HOP_BARS)
    totals = [np.concatenate([[0.0], np.cumsum(s)]) for s in sums]
    count, first, second = (total[starts + WINDOW_BARS] - total[starts] for total in totals)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = first / count
        deviation = np.sqrt(np.maximum(second / count - mean**2, 0)) + SMALLEST_DEVIATION
        overlaps = gaussian_overlap(mean[:-1], deviation[:-1], mean[1:], deviation[1:])
    return overlaps[(count[:-1] > 0) & (count[1:] > 0)]


@music_metric(*({"attribute": attribute, "statistic": statistic} for attribute, statistic in OA_FRAMEWISE))
def oa_framewise(
    generated: Sequence[Notes],
    reference: Sequence[Notes],
    attribute: str = "pitch",
    statistic: str = "consistency",
    *,
    intervals: bool = True,
    seed: int = 0,
) -> MetricResult:
    """Consistency or variance of the overlap of adjacent 4-bar windows, 0..1, higher is closer to the reference.

    A piece's figure is the mean exact overlap of Gaussians (population sd + 1e-6) fitted to the pitches or durations of
    adjacent windows. With mu and sigma^2 its mean and variance over the pieces of a set: consistency = max(0, 1 -
    |mu_gen - mu_ref| / mu_ref), variance = max(0, 1 - |sigma^2_gen - sigma^2_ref| / sigma^2_ref).
    Source: Mittal et al. 2021 (arXiv 2103.16091); as coded for SCHmUBERT (Plasser et al. 2023), from which it
    departs: any meter, durations unquantised, windows without notes left out with their pairs instead of turning the
    piece to NaN, the last full window kept.
    Measures whether pieces are as coherent as real ones, not whether they sound like them. Pieces shorter than 6 bars
    are left out. `parts`: mean_generated, mean_reference, variance_generated, variance_reference, n_reference,
    songs_reference, left_out.
    """
    check_known("statistic", statistic, STATISTICS)
    check_known("attribute", attribute, ATTRIBUTES)
    name = OA_FRAMEWISE[attribute, statistic]
    means = [_piece_means(pieces, attribute) for pieces in (generated, reference)]
    kept = [values[np.isfinite(values)] for values in means]
    needed = 1 if statistic == "consistency" else 2
    for side, values in zip(("generated", "reference"), kept, strict=True):
        if len(values) < needed:
            reason = f"needs {needed} {side} pieces of at least 6 bars with notes, got {len(values)}"
            return missing(name, len(kept[0]), reason)
    parts = {
        "mean_generated": kept[0].mean(),
        "mean_reference": kept[1].mean(),
        "variance_generated": kept[0].var(),
        "variance_reference": kept[1].var(),
        "n_reference": len(kept[1]),
        "left_out": sum(len(values) for values in means) - sum(len(values) for values in kept),
    }
    key = "mean" if statistic == "consistency" else "variance"
    if parts[f"{key}_reference"] == 0:
        return missing(name, len(kept[0]), f"the reference's own {key} is 0")
    value = float(_closeness(parts[f"{key}_generated"], parts[f"{key}_reference"]))

    def redraw(*weights: NDArray[np.float64]) -> NDArray[np.float64]:
        return _closeness(*(_moments(w, v, key) for w, v in zip(weights, kept, strict=True)))

    sets = [song_numbers(p)[np.isfinite(v)] for p, v in zip((generated, reference), means, strict=True)]
    each = means[0] if statistic == "consistency" else None
    return measured(name, value, sets, redraw, parts, scale="overlap", intervals=intervals, seed=seed, values=each)


def _piece_means(pieces: Sequence[Notes], attribute: str) -> NDArray[np.float64]:
    overlaps = [adjacent_overlaps(piece, attribute) for piece in pieces]
    return np.array([o.mean() if len(o) else np.nan for o in overlaps])


def _moments(weights: NDArray[np.float64], values: NDArray[np.float64], key: str) -> NDArray[np.float64]:
    share = weights / weights.sum(1, keepdims=True)
    mean = share @ values
    return mean if key == "mean" else share @ values**2 - mean**2


def _closeness(generated: NDArray[np.float64], reference: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.maximum(0, 1 - np.abs(generated - reference) / reference)
