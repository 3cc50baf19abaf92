"""Overlapping area of distances between pieces (Yang & Lerch), feature by feature."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from metrics.music.features import BAR_FEATURES, FEATURES, feature_matrix
from metrics.music.notes import Notes, song_numbers
from metrics.music.overlap import LIMITS, feature_rows, overlap_and_redraws, with_interval
from metrics.music.overlap_draws import overlaps_of_draws
from metrics.music.overlap_interval import Redraws
from metrics.quantities import SHARE, Section, music_metric, register
from metrics.result import MetricResult, check_known, missing


def _register(name: str, what: str, label: str = "") -> str:
    definition = definition_of(what)
    return register(name, "1", "higher", bounds=SHARE, label=label, definition=definition, section=Section.DISTANCES)


def definition_of(what: str, limits: str = LIMITS[0]) -> str:
    """Definition id of the overlap of distances of one feature, or of the mean."""
    return f"oa_distance/{what}/limits-{limits} v1"


OA_DISTANCE: Final = {f: _register(f"oa_distance_{f}", f) for f in FEATURES | BAR_FEATURES}
OA_DISTANCE_MEAN: Final = _register("oa_distance_mean", "mean-of-9", "OA of distances, mean")


@music_metric()
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


def _redraws(
    pool: Sequence[Notes], chosen: NDArray[np.int64], *, reference: Sequence[Notes], limits: str = "full"
) -> list[NDArray[np.float64]]:
    songs, tables = song_numbers(reference), ((feature_matrix(s, f) for s in (pool, reference)) for f in FEATURES)
    each = [overlaps_of_draws(drawn, held, chosen, limits, songs=songs) for drawn, held in tables]
    return [*each, np.mean(each, 0)]


@music_metric({}, redraws=_redraws)
def oa_distance_all(
    generated: Sequence[Notes],
    reference: Sequence[Notes],
    *,
    limits: str = "full",
    intervals: bool = True,
    seed: int = 0,
) -> list[MetricResult]:
    """`oa_distance` of the nine features, and last their mean: NaN when one of the nine has no value."""
    each = [_one(generated, reference, feature, limits, seed if intervals else None) for feature in FEATURES]
    name, definition = OA_DISTANCE_MEAN, definition_of("mean-of-9", limits)
    failed = next((result for result, _ in each if not result.measured), None)
    if failed is not None:
        mean = missing(name, failed.n, f"{failed.name}: {failed.reason}", definition)
    else:
        first = each[0][0]
        parts = {feature: result.value for feature, (result, _) in zip(FEATURES, each, strict=True)}
        parts |= {key: first.parts[key] for key in ("n_reference", "songs_reference")}
        value = float(np.mean([result.value for result, _ in each]))
        draws = [drawn for _, drawn in each if drawn is not None]  # the same pieces are drawn for all nine
        joint = Redraws.mean_of(draws) if draws else None
        whole = replace(first, name=name, value=value, parts=parts, definition=definition)
        mean = with_interval(whole, joint)
    return [*(with_interval(result, redrawn) for result, redrawn in each), mean]


def _one(
    generated: Sequence[Notes], reference: Sequence[Notes], feature: str, limits: str, seed: int | None
) -> tuple[MetricResult, Redraws | None]:
    check_known("limits", limits, LIMITS)
    tables = [feature_rows(feature_matrix(pieces, feature), "") for pieces in (generated, reference)]
    songs = [song_numbers(pieces) for pieces in (generated, reference)]
    result, redrawn = overlap_and_redraws(tables[0], tables[1], songs, limits=limits, seed=seed)
    return replace(result, name=OA_DISTANCE[feature], definition=definition_of(feature, limits)), redrawn
