"""Intervals, paired tests, rankings and scaling fits that stay honest when there are only two or three seeds."""

from __future__ import annotations

from metrics.statistics.comparison import (
    PairedDifference,
    holm,
    paired_difference,
    sign_flip_p_value,
    smallest_p_value,
)
from metrics.statistics.intervals import (
    Interval,
    bootstrap_interval,
    mean_interval,
    median_interval,
    rounds_interval,
    rounds_ratio,
)

__all__ = [
    "Interval",
    "PairedDifference",
    "bootstrap_interval",
    "holm",
    "mean_interval",
    "median_interval",
    "paired_difference",
    "rounds_interval",
    "rounds_ratio",
    "sign_flip_p_value",
    "smallest_p_value",
]
