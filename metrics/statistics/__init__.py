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
)
from metrics.statistics.power import minimum_detectable_effect, paired_power, seeds_needed
from metrics.statistics.ranking import (
    BaselineComparison,
    BestArm,
    Ranked,
    best_arm,
    compare_with_baseline,
    rank_arms,
    seed_interval,
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
    polynomial_crossovers,
)

__all__ = [
    "BaselineComparison",
    "BestArm",
    "Crossover",
    "Interval",
    "LengthPolynomial",
    "LocalSlope",
    "PairedDifference",
    "Ranked",
    "best_arm",
    "bootstrap_interval",
    "compare_with_baseline",
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
    "polynomial_crossovers",
    "rank_arms",
    "rounds_interval",
    "rounds_ratio",
    "seed_interval",
    "seeds_needed",
    "sign_flip_p_value",
    "smallest_p_value",
]
