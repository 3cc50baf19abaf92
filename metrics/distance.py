"""Overlapping area of distances between pieces (Yang & Lerch), feature by feature."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from metrics.features import BAR_FEATURES, FEATURES, feature_matrix
from metrics.notes import Notes
from metrics.overlap import oa_from_features
from metrics.result import MetricResult, missing


def oa_distance(
    generated: Sequence[Notes],
    reference: Sequence[Notes],
    feature: str | None = None,
    *,
    limits: str = "full",
    intervals: bool = True,
    seed: int = 0,
) -> MetricResult:
    """Overlapping area of intra-reference and generated-to-reference distances of one feature, or (None) the mean of
    nine.

    Features: used_pitches, pitch_range, notes, mean_pitch_shift, mean_onset_interval, pitch_class_histogram,
    pitch_class_transitions, note_length_histogram, note_length_transitions; per bar, as extras: used_pitches_per_bar,
    notes_per_bar, pitch_class_histogram_per_bar. Formula, limits, parts and edge cases: `oa_from_features`.
    Departures from mgeval: all tracks merged; times in beats; transition matrices are shares, not counts, of
    consecutive notes; true bars; KL on one grid.
    """
    if feature is None:
        return oa_distance_mean(generated, reference, limits=limits, intervals=intervals, seed=seed)
    if feature not in FEATURES | BAR_FEATURES:
        raise ValueError(f"feature {feature!r} is unknown; allowed: {', '.join(FEATURES | BAR_FEATURES)}")
    tables = [
        np.array([row if len(piece) else np.full(row.shape, np.nan) for piece, row in zip(pieces, rows, strict=True)])
        for pieces, rows in ((p, feature_matrix(p, feature)) for p in (generated, reference))
    ]
    return oa_from_features(
        tables[0],
        tables[1],
        limits=limits,
        intervals=intervals,
        seed=seed,
        name=f"oa_distance_{feature}",
        definition=f"oa_distance/{feature}",
    )


def oa_distance_mean(
    generated: Sequence[Notes],
    reference: Sequence[Notes],
    *,
    limits: str = "full",
    intervals: bool = True,
    seed: int = 0,
) -> MetricResult:
    """Mean of `oa_distance` over the nine features; NaN when one of them has no value. `parts`: the nine values."""
    each = [oa_distance(generated, reference, f, limits=limits, intervals=intervals, seed=seed) for f in FEATURES]
    return mean_of_features(each, limits)


def mean_of_features(each: Sequence[MetricResult], limits: str = "full") -> MetricResult:
    """`oa_distance_mean` from the nine results."""
    name, definition = "oa_distance_mean", f"oa_distance/mean-of-9/limits-{limits} v1"
    failed = next((result for result in each if not result.measured), None)
    if failed is not None:
        return missing(name, "1", failed.n, "higher", definition, f"{failed.name}: {failed.reason}")
    parts = {result.name.removeprefix("oa_distance_"): result.value for result in each}
    value = float(np.mean(list(parts.values())))
    return MetricResult(name, value, "1", each[0].n, "higher", definition, parts=parts)
