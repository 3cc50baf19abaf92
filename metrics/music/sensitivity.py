"""Sensitivity card: every metric against every corruption, with what must move and what must not stated beforehand.

A response is the change of a metric divided by half the width of the untouched set's interval: 1 is a change as large
as what another draw of pieces may bring. "moves" demands at least 1 for the worse at the strongest level, "stays"
demands no change at all, "blind" demands a change below 1 for the worse: the metric cannot see that damage.
Responses without a statement are measured and shown too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from metrics.music.attribute import OA_ATTRIBUTE, OA_MEAN
from metrics.music.chords import CHORD_DENSITY
from metrics.music.corruptions import CORRUPTIONS, corrupted, uncut
from metrics.music.descriptors import EMPTY_BEAT_RATE, GROOVE_CONSISTENCY, PITCH_CLASS_ENTROPY, SCALE_CONSISTENCY
from metrics.music.distance import OA_DISTANCE, OA_DISTANCE_MEAN
from metrics.music.drift import DRIFT
from metrics.music.framewise import OA_FRAMEWISE
from metrics.music.notes import Notes
from metrics.music.novelty import NOVELTY
from metrics.music.outliers import PITCH_OUTLIERS
from metrics.music.structure import STRUCTURE_ERROR, STRUCTURE_SIMILARITY_ERROR
from metrics.music.table import quality_table
from metrics.music.two_samples import KERNEL_DISTANCE, NEAREST_NEIGHBOUR_ACCURACY
from metrics.music.vectors import VECTOR_DISTANCE
from metrics.quantities import quantity_of
from metrics.result import MetricResult

UNCHANGED: Final = 1e-9
VISIBLE: Final = 1.0


def _attributes(words: str) -> tuple[str, ...]:
    return tuple(OA_ATTRIBUTE[word] for word in words.split())


def _distances(words: str) -> tuple[str, ...]:
    return tuple(OA_DISTANCE[word] for word in words.split())


TONALITY: Final = (PITCH_CLASS_ENTROPY, SCALE_CONSISTENCY)
CLOUDS: Final = tuple(VECTOR_DISTANCE.values())
PITCH_FRAMES: Final = OA_FRAMEWISE["pitch", "consistency"]
DURATION_FRAMES: Final = (OA_FRAMEWISE["duration", "consistency"], OA_FRAMEWISE["duration", "variance"])
OUTLIERS: Final = PITCH_OUTLIERS["percentile"]
SOUNDING, ONSET = (CHORD_DENSITY[kind, "mean"] for kind in ("sounding", "onset"))
PITCH_STATISTICS: Final = (
    *_attributes("pitch"), *_distances("used_pitches pitch_range"), *PITCH_OUTLIERS.values(), *TONALITY
)  # fmt: skip
TIME_STATISTICS: Final = (
    *_attributes("duration interval"), *_distances("mean_onset_interval note_length_histogram"), *DURATION_FRAMES,
    GROOVE_CONSISTENCY, EMPTY_BEAT_RATE,
)  # fmt: skip
ALWAYS: Final = (*_attributes("velocity"), *_distances("notes"))

# Written before anything was measured; a statement that fails is a finding about the metric, not a reason to edit it.
EXPECTATIONS: Final[dict[str, dict[str, tuple[str, ...]]]] = {
    "pitch_shuffle": {
        "stays": (*PITCH_STATISTICS, *TIME_STATISTICS, *ALWAYS, OA_MEAN),
        "moves": (*_distances("mean_pitch_shift pitch_class_transitions"), PITCH_FRAMES, STRUCTURE_SIMILARITY_ERROR),
    },
    "pitch_jitter": {
        "stays": (*TIME_STATISTICS, *ALWAYS),
        "moves": (
            *_attributes("pitch"), *_distances("used_pitches pitch_range mean_pitch_shift"),
            *_distances("pitch_class_histogram pitch_class_transitions"), OA_DISTANCE_MEAN, OUTLIERS, *TONALITY,
            STRUCTURE_SIMILARITY_ERROR, *CLOUDS,
        ),
    },
    "onset_jitter": {
        "stays": (*PITCH_STATISTICS, *ALWAYS, *_attributes("duration"), *_distances("note_length_histogram")),
        "moves": (*_attributes("interval"), ONSET, GROOVE_CONSISTENCY, STRUCTURE_SIMILARITY_ERROR),
    },
    "unigram_tokens": {
        "stays": _distances("notes"),
        "blind": (*OA_ATTRIBUTE.values(), OA_MEAN),
        "moves": (
            *_distances("used_pitches pitch_class_histogram pitch_class_transitions"), OA_DISTANCE_MEAN, PITCH_FRAMES,
            *TONALITY, GROOVE_CONSISTENCY, STRUCTURE_SIMILARITY_ERROR, *CLOUDS,
        ),
    },
    "transposition": {
        "stays": (
            *TIME_STATISTICS, *ALWAYS, *_distances("used_pitches pitch_range mean_pitch_shift"),
            *_distances("pitch_class_histogram pitch_class_transitions note_length_transitions"), OA_DISTANCE_MEAN,
            SOUNDING, ONSET, *TONALITY, PITCH_FRAMES, OA_FRAMEWISE["pitch", "variance"], STRUCTURE_SIMILARITY_ERROR,
            DRIFT["density"], *CLOUDS, KERNEL_DISTANCE, NEAREST_NEIGHBOUR_ACCURACY, STRUCTURE_ERROR,
            NOVELTY["longest_copy_transposed"],
        ),
        "moves": (*_attributes("pitch"), OA_MEAN, OUTLIERS),
    },
    "time_stretch": {
        "stays": (
            *PITCH_STATISTICS, *ALWAYS, SOUNDING,
            *_distances("mean_pitch_shift pitch_class_histogram pitch_class_transitions"),
        ),
        "moves": (
            *_attributes("duration interval"), OA_MEAN, *CLOUDS,
            *_distances("mean_onset_interval note_length_histogram note_length_transitions"),
        ),
    },
}  # fmt: skip


@dataclass(frozen=True)
class Response:
    """Change of one metric under one corruption at one level. `holds` is None where nothing was stated."""

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
    """Statement on a metric under a corruption: "moves", "stays", "blind", or "" where nothing was stated."""
    stated = EXPECTATIONS.get(corruption, {})
    return next((word for word, names in stated.items() if metric in names), "")


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


def worse(before: MetricResult, after: MetricResult) -> bool:
    """Whether a value became worse; any change is, where no way is better or the held-out value is unknown."""
    losses = [quantity_of(row.name).loss(row.value, row.parts.get("reference", np.nan)) for row in (before, after)]
    return after.value != before.value if np.isnan(losses).any() else losses[1] > losses[0]


def _respond(before: MetricResult, after: MetricResult, corruption: str, level: float, stated: str) -> Response:
    change = after.value - before.value
    half = (before.high - before.low) / 2
    size = abs(change) / half if half > 0 else (0.0 if change == 0 else float("inf"))
    if np.isnan(change) or (np.isnan(half) and change != 0):
        size = float("nan")
    holds = {
        "": None,
        "moves": bool(size >= VISIBLE and worse(before, after)),
        "stays": bool(abs(change) <= UNCHANGED),
        "blind": bool(not worse(before, after) or size < VISIBLE),
    }[stated]
    return Response(after.name, corruption, level, before.value, after.value, size, stated, holds, after.definition)
