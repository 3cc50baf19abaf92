"""Overlapping area of distances between pieces (Yang & Lerch), feature by feature."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from metrics.music.features import BAR_FEATURES, FEATURES, feature_matrix
from metrics.music.notes import Notes
from metrics.music.overlap import LIMITS, feature_rows, overlap_and_redraws, with_interval
from metrics.music.overlap_interval import Redraws
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
    Pieces without notes, or with too few for the feature, are left out and counted.
    Departures from mgeval: all tracks merged; times in beats; transition matrices are shares, not counts, of
    consecutive notes; true bars; KL on one grid.
    """
    if feature is None:
        return oa_distance_all(generated, reference, limits=limits, intervals=intervals, seed=seed)[-1]
    return with_interval(*_one(generated, reference, feature, limits, seed if intervals else None))


def oa_distance_all(
    generated: Sequence[Notes],
    reference: Sequence[Notes],
    *,
    limits: str = "full",
    intervals: bool = True,
    seed: int = 0,
) -> list[MetricResult]:
    """`oa_distance` of the nine features, and last their mean, `oa_distance_mean`: NaN when one of the nine has no
    value."""
    each = [_one(generated, reference, feature, limits, seed if intervals else None) for feature in FEATURES]
    name, definition = "oa_distance_mean", f"oa_distance/mean-of-9/limits-{limits} v1"
    failed = next((result for result, _ in each if not result.measured), None)
    if failed is not None:
        mean = missing(name, "1", failed.n, "higher", definition, f"{failed.name}: {failed.reason}")
    else:
        first = each[0][0]
        parts = {result.name.removeprefix("oa_distance_"): result.value for result, _ in each}
        parts["n_reference"] = first.parts["n_reference"]
        value = float(np.mean([result.value for result, _ in each]))
        draws = [drawn for _, drawn in each if drawn is not None]  # the same pieces are drawn for all nine
        joint = Redraws.mean_of(draws) if draws else None
        mean = with_interval(MetricResult(name, value, "1", first.n, "higher", definition, parts=parts), joint)
    return [*(with_interval(result, redrawn) for result, redrawn in each), mean]


def oa_distance_mean(
    generated: Sequence[Notes],
    reference: Sequence[Notes],
    *,
    limits: str = "full",
    intervals: bool = True,
    seed: int = 0,
) -> MetricResult:
    """Mean of `oa_distance` over the nine features; `parts`: the nine values."""
    return oa_distance_all(generated, reference, limits=limits, intervals=intervals, seed=seed)[-1]


def _one(
    generated: Sequence[Notes], reference: Sequence[Notes], feature: str, limits: str, seed: int | None
) -> tuple[MetricResult, Redraws | None]:
    if feature not in FEATURES | BAR_FEATURES:
        raise ValueError(f"feature {feature!r} is unknown; allowed: {', '.join(FEATURES | BAR_FEATURES)}")
    if limits not in LIMITS:
        raise ValueError(f"limits {limits!r} is unknown; allowed: {', '.join(LIMITS)}")
    tables = [feature_rows(feature_matrix(pieces, feature), "") for pieces in (generated, reference)]
    result, redrawn = overlap_and_redraws(tables[0], tables[1], limits=limits, seed=seed)
    definition = f"oa_distance/{feature}/limits-{limits} v1"
    return replace(result, name=f"oa_distance_{feature}", definition=definition), redrawn
