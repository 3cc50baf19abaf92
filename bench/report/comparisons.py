"""Which arm is better: differences paired by seed, exact tests, and Holm's correction over the table they stand in.

Only the primary metrics (`PRIMARY`) are tested; they are fixed here so that no table can look for the metric that
happens to differ. Every other column is a description.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from bench.report.aggregate import BITS
from bench.report.metric_words import words_for
from bench.report.points import Point, Points, quality_points
from bench.report.quality_group import Group, quality_group
from metrics.statistics import Interval, holm, paired_difference, smallest_p_value

PRIMARY = (BITS, "oa_mean")
ALPHA = 0.05


@dataclass(frozen=True)
class Comparison:
    """One arm against the baseline arm on one metric, seeds paired (same data, same noise).

    `difference` is arm - baseline. `verdict` is "better", "worse", "no difference found", "cannot be decided with n
    seeds" or "not compared: ..."; it uses `adjusted_p`, Holm over all comparisons of the table.
    """

    group: Group
    metric: str
    arm: str
    baseline: str
    difference: Interval
    p_value: float
    adjusted_p: float
    verdict: str


def by_seed(point: Point) -> dict[int, float]:
    """The figures of a point by their seed; rows without a seed cannot be paired and stay out."""
    pairs = zip(point.seeds, point.values, strict=True)
    return {seed: value for seed, value in pairs if seed is not None and math.isfinite(value)}


def comparisons(frame: pd.DataFrame, baseline: str) -> list[Comparison]:
    """Every arm against `baseline` on the primary metrics, table by table (corpus, length, sampler, T).

    Empty where the baseline has no figure. The error rate over all verdicts "better" and "worse" of one table is 5 %.
    """
    found = []
    for group, points in quality_points(frame).groups(quality_group):
        found += _compare_group(group, points, baseline)
    return found


def _compare_group(group: Group, points: Points, baseline: str) -> list[Comparison]:
    tested = []
    for metric in PRIMARY:
        base = points.measured().first(metric=metric, arm=baseline)
        others = [point for point in points.where(metric=metric).measured() if point.arm != baseline]
        if base is not None:
            tested += [(point, paired_difference(by_seed(point), by_seed(base))) for point in others]
    adjusted = holm([pair.p_value for _, pair in tested])
    family = sum(not math.isnan(pair.p_value) for _, pair in tested)
    return [
        Comparison(
            group,
            point.metric,
            point.arm,
            baseline,
            pair.difference,
            pair.p_value,
            float(p_value),
            _verdict(pair.difference, float(p_value), family, words_for(point.metric).better),
        )
        for (point, pair), p_value in zip(tested, adjusted, strict=True)
    ]


def _verdict(difference: Interval, adjusted_p: float, family: int, better: str) -> str:
    if difference.n == 0:
        return "not compared: no seed in common"
    if adjusted_p <= ALPHA:
        return "better" if (difference.value < 0) == (better == "lower") else "worse"
    if smallest_p_value(difference.n) * family > ALPHA:
        return f"cannot be decided with {difference.n} seed{'s' if difference.n > 1 else ''}"
    return "no difference found"


def best_arms(points: Points) -> dict[str, str]:
    """For each primary metric of one table the arm that is significantly best; a metric without one is absent.

    The best arm must differ from every other arm (the largest of its paired p values counts, an intersection-union
    test), and those p are Holm-corrected over the metrics of the table.
    """
    leaders = {metric: leader for metric in PRIMARY if (leader := _leader(points.where(metric=metric)))}
    adjusted = holm([p_value for _, p_value in leaders.values()])
    kept = zip(leaders.items(), adjusted, strict=True)
    return {metric: arm for (metric, (arm, _)), p_value in kept if p_value <= ALPHA}


def _leader(points: Points) -> tuple[str, float] | None:
    """The arm with the best mean and the largest p of its comparisons with the others; None where nothing can be
    compared."""
    measured = points.measured()
    if len(measured) < 2 or len(measured) < len(points):
        return None
    better = words_for(measured[0].metric).better
    ordered = sorted(measured, key=lambda point: point.value, reverse=better == "higher")
    values: list[Mapping[int, float]] = [by_seed(point) for point in ordered]
    p_values = [paired_difference(values[0], other).p_value for other in values[1:]]
    return None if any(math.isnan(p) for p in p_values) else (ordered[0].arm, max(p_values))
