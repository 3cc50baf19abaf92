"""What each metric is called in a table, its unit, and which way is better: the one place where reports get
their words."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class MetricWords:
    """How a report names a metric. `better` is "lower", "higher" or "none" (neither way is better by itself)."""

    name: str
    label: str
    unit: str
    better: str

    @property
    def heading(self) -> str:
        """Label with its unit, as a column heading or an axis: `Latency, one step [ms]`."""
        return f"{self.label} [{self.unit}]" if self.unit and self.unit != "1" else self.label


COST_METRICS: dict[str, MetricWords] = {
    words.name: words
    for words in (
        MetricWords("step_latency", "Latency, one denoising step", "ms", "lower"),
        MetricWords("sample_latency", "Latency, whole sample", "s", "lower"),
        MetricWords("train_step_latency", "Latency, one training step", "ms", "lower"),
        MetricWords("peak_memory_inference", "Peak memory, inference", "GiB", "lower"),
        MetricWords("peak_memory_training", "Peak memory, training", "GiB", "lower"),
        MetricWords("forward_gflops", "Forward pass", "GFLOPs", "lower"),
    )
}

QUALITY_METRICS: dict[str, MetricWords] = {
    words.name: words
    for words in (
        MetricWords("validation_bits_per_token", "Validation", "bits/token", "lower"),
        MetricWords("oa_mean", "OA mean", "1", "higher"),
        MetricWords("oa_attribute_pitch", "OA pitch", "1", "higher"),
        MetricWords("oa_attribute_velocity", "OA velocity", "1", "higher"),
        MetricWords("oa_attribute_duration", "OA duration", "1", "higher"),
        MetricWords("oa_attribute_interval", "OA onset interval", "1", "higher"),
        MetricWords("oa_distance_mean", "OA of distances, mean", "1", "higher"),
        MetricWords("pitch_outliers_percentile", "Pitch outliers (percentile)", "1", "lower"),
        MetricWords("chord_density_sounding_mean", "Chord density, sounding", "pitches", "none"),
        MetricWords("chord_density_onset_mean", "Chord density, onset", "pitches", "none"),
        MetricWords("token_entropy", "Token entropy", "bits", "none"),
        MetricWords("grammar_errors", "Grammar errors", "1", "lower"),
        MetricWords("state_dependent_bits_per_token", "State-dependent bound", "bits/token", "lower"),
    )
}

HEADLINE_METRICS = (
    "validation_bits_per_token",
    "oa_mean",
    "oa_attribute_pitch",
    "oa_attribute_velocity",
    "oa_attribute_duration",
    "oa_attribute_interval",
    "oa_distance_mean",
    "pitch_outliers_percentile",
    "chord_density_sounding_mean",
    "chord_density_onset_mean",
)

SHORT_LABELS = {
    "oa_mean": "mean",
    "oa_attribute_pitch": "pitch",
    "oa_attribute_velocity": "velocity",
    "oa_attribute_duration": "duration",
    "oa_attribute_interval": "onset\ninterval",
}

SHORT_COST_LABELS = {
    "step_latency": "One denoising step [ms]",
    "sample_latency": "Whole sample [s]",
    "train_step_latency": "One training step [ms]",
    "peak_memory_inference": "Memory, inference [GiB]",
    "peak_memory_training": "Memory, training [GiB]",
    "forward_gflops": "Forward pass [GFLOPs]",
}


def bounds_of(metric: str) -> tuple[float, float]:
    """Lowest and highest value that a metric can take; intervals over seeds are cut there."""
    if (
        metric.startswith(("oa_", "pitch_outliers_"))
        or "_over_" in metric
        or metric.endswith(("_rate", "_consistency", "_errors"))
    ):
        return 0.0, 1.0
    if metric.startswith(("chord_density", "validation_bits", "state_dependent", "token_entropy", "sampling_time")):
        return 0.0, math.inf
    if metric.startswith(("frechet", "mmd", "novelty")):
        return 0.0, math.inf
    return -math.inf, math.inf


def words_for(metric: str, unit: str = "") -> MetricWords:
    """Words of a metric; one that is not listed keeps its own name and the unit of its rows, with no way
    called better."""
    known = COST_METRICS.get(metric) or QUALITY_METRICS.get(metric)
    if known:
        return known
    better = "higher" if metric.startswith("oa_") else "none"
    return MetricWords(metric, metric.replace("_", " "), unit, better)
