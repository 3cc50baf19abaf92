"""The sensitivity card: every metric against every corruption, with what must move and what must not stated beforehand.

A response is the change of a metric divided by half the width of the untouched set's interval: 1 is a change as large
as what another draw of pieces may bring. "moves" demands at least 1 at the strongest level, "stays" demands no change
at all, "blind" demands a change below 1 for the worse: the metric cannot see that damage, and a reader must know it.
What is not stated is measured and shown all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from metrics.music.corruptions import CORRUPTIONS, corrupted, uncut
from metrics.music.notes import Notes
from metrics.music.table import quality_table
from metrics.result import MetricResult

UNCHANGED: Final = 1e-9
VISIBLE: Final = 1.0

PITCH_STATISTICS: Final = (
    "oa_attribute_pitch oa_distance_used_pitches oa_distance_pitch_range pitch_outliers_percentile "
    "pitch_outliers_range pitch_outliers_absolute pitch_class_entropy scale_consistency"
)
TIME_STATISTICS: Final = (
    "oa_attribute_duration oa_attribute_interval oa_distance_mean_onset_interval oa_distance_note_length_histogram "
    "groove_consistency empty_beat_rate oa_framewise_duration_consistency oa_framewise_duration_variance"
)
ALWAYS: Final = "oa_attribute_velocity oa_distance_notes"

# Written before anything was measured; a statement that fails is a finding about the metric, not a reason to edit it.
EXPECTATIONS: Final[dict[str, dict[str, str]]] = {
    "pitch_shuffle": {
        "stays": f"{PITCH_STATISTICS} {TIME_STATISTICS} {ALWAYS} oa_mean",
        "moves": "oa_distance_mean_pitch_shift oa_distance_pitch_class_transitions oa_framewise_pitch_consistency "
        "structure_similarity_error",
    },
    "pitch_jitter": {
        "stays": f"{TIME_STATISTICS} {ALWAYS}",
        "moves": "oa_attribute_pitch oa_distance_used_pitches oa_distance_pitch_range oa_distance_mean_pitch_shift "
        "oa_distance_pitch_class_histogram oa_distance_pitch_class_transitions oa_distance_mean "
        "pitch_outliers_percentile pitch_class_entropy scale_consistency structure_similarity_error "
        "frechet_distance mmd_distance",
    },
    "onset_jitter": {
        "stays": f"{PITCH_STATISTICS} oa_attribute_duration oa_distance_note_length_histogram {ALWAYS}",
        "moves": "oa_attribute_interval chord_density_onset_mean groove_consistency structure_similarity_error",
    },
    "unigram_tokens": {
        "stays": "oa_distance_notes",
        "blind": "oa_attribute_pitch oa_attribute_velocity oa_attribute_duration oa_attribute_interval oa_mean",
        "moves": "oa_distance_used_pitches oa_distance_pitch_class_histogram oa_distance_pitch_class_transitions "
        "oa_distance_mean oa_framewise_pitch_consistency pitch_class_entropy scale_consistency groove_consistency "
        "structure_similarity_error frechet_distance mmd_distance",
    },
    "transposition": {
        "stays": f"{TIME_STATISTICS} {ALWAYS} oa_distance_used_pitches oa_distance_pitch_range "
        "oa_distance_mean_pitch_shift oa_distance_pitch_class_histogram oa_distance_pitch_class_transitions "
        "oa_distance_note_length_transitions oa_distance_mean chord_density_sounding_mean chord_density_onset_mean "
        "pitch_class_entropy scale_consistency oa_framewise_pitch_consistency oa_framewise_pitch_variance "
        "structure_similarity_error drift_density frechet_distance mmd_distance",
        "moves": "oa_attribute_pitch oa_mean pitch_outliers_percentile",
    },
    "time_stretch": {
        "stays": f"{PITCH_STATISTICS} {ALWAYS} oa_distance_mean_pitch_shift oa_distance_pitch_class_histogram "
        "oa_distance_pitch_class_transitions chord_density_sounding_mean",
        "moves": "oa_attribute_duration oa_attribute_interval oa_mean oa_distance_mean_onset_interval "
        "oa_distance_note_length_histogram oa_distance_note_length_transitions frechet_distance mmd_distance",
    },
}


@dataclass(frozen=True)
class Response:
    """What one metric did under one corruption at one level. `holds` is None where nothing was stated."""

    metric: str
    corruption: str
    level: float
    untouched: float
    value: float
    response: float
    expectation: str
    holds: bool | None
    definition: str


def expectation(metric: str, corruption: str) -> str:
    """ "moves", "stays", "blind", or "" where nothing was stated."""
    stated = EXPECTATIONS.get(corruption, {})
    return next((word for word, names in stated.items() if metric in names.split()), "")


def sensitivity_responses(
    pieces: Sequence[Notes],
    reference: Sequence[Notes],
    train: Sequence[Notes],
    *,
    seed: int = 0,
    corruptions: Sequence[str] | None = None,
    progress: Callable[[str], None] | None = None,
) -> list[Response]:
    """Responses of every metric of `quality_table` to every corruption of `pieces`, at every level.

    `reference` and `train` are as for `quality_table`; choose as many reference pieces as pieces.
    """
    clean = [uncut(piece) for piece in pieces]
    against, known = [uncut(piece) for piece in reference], list(train)
    untouched = {row.name: row for row in quality_table(clean, against, known, seed=seed)}
    responses = []
    for corruption in corruptions or CORRUPTIONS:
        levels = CORRUPTIONS[corruption][1]
        for level in levels:
            if progress is not None:
                progress(f"{corruption} {level:g}")
            damaged = corrupted(clean, corruption, level, seed)
            for row in quality_table(damaged, against, known, seed=seed, intervals=False):
                stated = expectation(row.name, corruption) if level == levels[-1] else ""
                responses.append(_respond(untouched[row.name], row, corruption, level, stated))
    return responses


def _respond(before: MetricResult, after: MetricResult, corruption: str, level: float, stated: str) -> Response:
    change = after.value - before.value
    half = (before.high - before.low) / 2
    size = abs(change) / half if half > 0 else (0.0 if change == 0 else float("inf"))
    if np.isnan(change) or (np.isnan(half) and change != 0):
        size = float("nan")
    worse = change < 0 if before.direction == "higher" else change > 0
    holds = {
        "": None,
        "moves": bool(size >= VISIBLE),
        "stays": bool(abs(change) <= UNCHANGED),
        "blind": bool(not worse or size < VISIBLE),
    }[stated]
    return Response(after.name, corruption, level, before.value, after.value, size, stated, holds, after.definition)
