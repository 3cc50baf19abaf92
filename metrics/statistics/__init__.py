"""Intervals, paired tests, rankings and scaling fits that hold at two or three seeds too."""

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
    mean_interval,
    median_interval,
)
from metrics.statistics.power import minimum_detectable_effect, paired_power, seeds_needed
from metrics.statistics.ranking import (
    BestArm,
    Ranked,
    best_arm,
    rank_arms,
)
from metrics.statistics.rounds import interquartile_range, rounds_interval, rounds_ratio
from metrics.statistics.scaling import (
    Crossover,
    LengthPolynomial,
    LocalSlope,
    crossover,
    growth_exponent,
    length_polynomial,
    local_slopes,
)

__all__ = [
    "BestArm",
    "Crossover",
    "Interval",
    "LengthPolynomial",
    "LocalSlope",
    "PairedDifference",
    "Ranked",
    "best_arm",
    "crossover",
    "growth_exponent",
    "holm",
    "interquartile_range",
    "length_polynomial",
    "local_slopes",
    "mean_interval",
    "median_interval",
    "minimum_detectable_effect",
    "paired_difference",
    "paired_power",
    "rank_arms",
    "rounds_interval",
    "rounds_ratio",
    "seeds_needed",
    "sign_flip_p_value",
    "smallest_p_value",
]
