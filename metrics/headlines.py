"""Sets of names that tables, figures and summaries show, each in the order in which it is shown."""

from __future__ import annotations

from typing import Final

from metrics.cost.quantities import (
    BITS,
    BITS_PER_BEAT,
    BITS_PER_NOTE,
    FORWARD_GFLOPS,
    PEAK_MEMORY_INFERENCE,
    PEAK_MEMORY_TRAINING,
    PIECE_CALLS,
    PIECE_GFLOPS,
    PIECE_TIME,
    PIECE_TIME_TOGETHER,
    SAMPLE_LATENCY,
    SAMPLER_BITS,
    SAMPLING_TIME,
    STEP_LATENCY,
    STEP_LATENCY_GRAPH,
    TRAIN_STEP_LATENCY,
    VALIDATION_BITS,
)
from metrics.music.attribute import OA_ATTRIBUTE, OA_MEAN
from metrics.music.chords import CHORD_DENSITY
from metrics.music.distance import OA_DISTANCE_MEAN
from metrics.music.infilling import INFILLING
from metrics.music.outliers import PITCH_OUTLIERS
from metrics.music.structure import STRUCTURE_ERROR
from metrics.music.tokens import GRAMMAR_ERRORS, TOKEN_ENTROPY
from metrics.music.two_samples import KERNEL_DISTANCE, NEAREST_NEIGHBOUR_ACCURACY
from metrics.quantities import quantity_of

OUTLIERS: Final = PITCH_OUTLIERS["percentile"]
SOUNDING, ONSET = (CHORD_DENSITY[kind, "mean"] for kind in ("sounding", "onset"))

PRIMARY: Final = (BITS, KERNEL_DISTANCE)
"""The only ones that are compared, so that no table can look for the metric that happens to differ."""
LIKELIHOODS: Final = (BITS, VALIDATION_BITS, BITS_PER_NOTE, BITS_PER_BEAT)
"""Of windows of real music, not of generated pieces."""
DISTANCES: Final = (KERNEL_DISTANCE, NEAREST_NEIGHBOUR_ACCURACY, STRUCTURE_ERROR)
"""They see the order of notes."""
OVERLAPS: Final = (OA_MEAN, *OA_ATTRIBUTE.values())
"""For comparison with papers: they do not see the order of notes."""
SCORES: Final = tuple(dict.fromkeys((*PRIMARY, *DISTANCES, *OVERLAPS[:1])))
"""Of model cards and of tables pooled over machines."""
HEADLINES: Final = (
    *LIKELIHOODS,
    *DISTANCES,
    *OVERLAPS,
    OA_DISTANCE_MEAN,
    OUTLIERS,
    SOUNDING,
    ONSET,
    *INFILLING,
)
FAILED: Final = (*PRIMARY, OA_MEAN, OUTLIERS, ONSET)
"""Rows of a quality cell that failed, so that it stays in sight."""
SAMPLED: Final = (KERNEL_DISTANCE, OA_MEAN, OA_DISTANCE_MEAN, OUTLIERS, TOKEN_ENTROPY, SOUNDING, GRAMMAR_ERRORS)
"""Scores against network calls, as panels."""
PIECE: Final = (PIECE_TIME, PIECE_TIME_TOGETHER, PIECE_CALLS, PIECE_GFLOPS)
"""Costs of a piece, against the bits of the sampler that draws it."""
SAMPLING: Final = (
    SAMPLER_BITS,
    PIECE_TIME,
    PIECE_GFLOPS,
    SAMPLING_TIME,
    KERNEL_DISTANCE,
    OA_MEAN,
    OA_DISTANCE_MEAN,
    TOKEN_ENTROPY,
    OUTLIERS,
    SOUNDING,
    GRAMMAR_ERRORS,
)
"""Time and scores of samplers, as columns."""
GROWING: Final = (STEP_LATENCY, TRAIN_STEP_LATENCY, PEAK_MEMORY_INFERENCE, PEAK_MEMORY_TRAINING, FORWARD_GFLOPS)
"""Costs whose growth with length is shown."""
COSTS: Final = (STEP_LATENCY, STEP_LATENCY_GRAPH, SAMPLE_LATENCY, *GROWING[1:])
EFFICIENCY: Final = (
    STEP_LATENCY,
    SAMPLE_LATENCY,
    TRAIN_STEP_LATENCY,
    PEAK_MEMORY_INFERENCE,
    PEAK_MEMORY_TRAINING,
    FORWARD_GFLOPS,
)
"""Columns of the one table of costs."""
SUMMARY: Final = (
    *PRIMARY,
    STEP_LATENCY,
    PEAK_MEMORY_INFERENCE,
    FORWARD_GFLOPS,
    SAMPLE_LATENCY,
    TRAIN_STEP_LATENCY,
    PEAK_MEMORY_TRAINING,
)
"""Columns of the first table of a report, as many as it has room for: the later ones where earlier ones were not
measured."""
_BRIEF: Final = {
    BITS: "bits/token",
    KERNEL_DISTANCE: "kernel distance",
    STEP_LATENCY: "step",
    STEP_LATENCY_GRAPH: "step as graph",
    SAMPLE_LATENCY: "sample",
    TRAIN_STEP_LATENCY: "training step",
    PEAK_MEMORY_INFERENCE: "memory",
    PEAK_MEMORY_TRAINING: "training memory",
    FORWARD_GFLOPS: "GFLOPs",
}


def brief(metric: str, unit: bool = True) -> str:
    """A heading for narrow columns, `step [ms]` or `step`; the label of a quantity that has none."""
    quantity = quantity_of(metric)
    label = _BRIEF.get(metric, quantity.label)
    return f"{label} [{quantity.unit}]" if unit and quantity.unit not in ("1", "", label) else label
