"""Comparisons of arms: differences paired by seed, exact tests, and Holm's correction over the table they stand in.

Only the primary metrics are tested, so that no table can look for the metric that happens to differ. Every other
column is a description.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd

from bench.report.analysis.references import CEILING, reference_summary
from bench.report.rows.summaries import Group, Summaries, Summary, quality_group, quality_summaries
from metrics.headlines import PRIMARY
from metrics.quantities import quantity_of
from metrics.statistics.comparison import holm, paired_difference, smallest_p_value
from metrics.statistics.intervals import Interval
from metrics.statistics.power import minimum_detectable_effect, seeds_needed
from metrics.statistics.ranking import best_arm

ALPHA = 0.05


@dataclass(frozen=True)
class Comparison:
    """One arm against the baseline arm on one metric, seeds paired (same data, same noise).

    `difference` is arm - baseline. `verdict` is "better", "worse", "no difference found", "cannot be decided with n
    seeds" or "not compared: ..."; it uses `adjusted_p`, Holm over all comparisons of the table. `allowed_p` is the
    level of the strictest of Holm's steps.
    """

    group: Group
    metric: str
    arm: str
    difference: Interval
    adjusted_p: float
    verdict: str
    allowed_p: float

    @property
    def detectable(self) -> float:
        """The smallest true difference that these seeds would have found with chance 0.8; infinite where they
        cannot."""
        return minimum_detectable_effect(_deviation(self.difference), self.difference.n, self.allowed_p)

    @property
    def seeds_needed(self) -> int | None:
        """Seeds that would find a true difference as large as the one seen with chance 0.8; None: too many to name."""
        return seeds_needed(self.difference.value, _deviation(self.difference), self.allowed_p)


def by_seed(summary: Summary) -> dict[int, float]:
    """The figures of a summary by their seed; rows without a seed cannot be paired and stay out."""
    pairs = zip(summary.seeds, summary.values, strict=True)
    return {seed: value for seed, value in pairs if seed is not None and math.isfinite(value)}


def comparisons(frame: pd.DataFrame, baseline: str) -> list[Comparison]:
    """Every arm against `baseline` on the primary metrics, table by table (corpus, length, sampler, T).

    Empty where the baseline has no figure. The error rate over all verdicts "better" and "worse" of one table is 5 %.
    """
    found = []
    for group, summaries in quality_summaries(frame).groups(quality_group):
        found += _compare_group(group, summaries, baseline)
    return found


def _compare_group(group: Group, summaries: Summaries, baseline: str) -> list[Comparison]:
    tested = []
    for metric in PRIMARY:
        base = summaries.measured().first(metric=metric, arm=baseline)
        others = [one for one in summaries.where(metric=metric).measured() if one.arm != baseline]
        if base is not None:
            tested += [(one, paired_difference(by_seed(one), by_seed(base))) for one in others]
    adjusted = holm([pair.p_value for _, pair in tested])
    family = sum(not math.isnan(pair.p_value) for _, pair in tested)
    return [
        Comparison(
            group,
            summary.metric,
            summary.arm,
            pair.difference,
            float(p_value),
            _verdict(pair.difference, float(p_value), family, summary.metric),
            ALPHA / max(family, 1),
        )
        for (summary, pair), p_value in zip(tested, adjusted, strict=True)
    ]


def _deviation(difference: Interval) -> float:
    """Standard deviation of the paired differences, from their t interval."""
    if difference.n < 2:
        return math.nan
    from scipy.stats import t

    return difference.half_width / float(t.ppf(0.5 + difference.level / 2, difference.n - 1)) * math.sqrt(difference.n)


def _verdict(difference: Interval, adjusted_p: float, family: int, metric: str) -> str:
    words = ("better", "worse") if quantity_of(metric).better == "lower" else ("worse", "better")
    return verdict(difference, adjusted_p, family, below=words[0], above=words[1])


def verdict(difference: Interval, adjusted_p: float, family: int, *, below: str, above: str) -> str:
    """A tested difference in words: `below` or `above` zero, not found, undecidable with so few seeds in a family of so
    many tests, or not compared."""
    if difference.n == 0:
        return "not compared: no seed in common"
    if adjusted_p <= ALPHA:
        return below if difference.value < 0 else above
    if smallest_p_value(difference.n) * family > ALPHA:
        return f"cannot be decided with {difference.n} seed{'s' if difference.n > 1 else ''}"
    return "no difference found"


def best_arms(summaries: Summaries, references: Summaries) -> dict[str, str]:
    """For each primary metric of one table the arm that is significantly best; a metric without one is absent.

    The best arm must be significantly better than every other; the level is shared among the metrics of the table.
    """
    found: dict[str, str] = {}
    for metric in PRIMARY:
        values = losses(summaries.where(metric=metric), references)
        if len(values) > 1:
            best = best_arm(values, better="lower", level=1 - ALPHA / len(PRIMARY))
            found |= {metric: best.arm} if best.arm else {}
    return found


def losses(summaries: Summaries, references: Summaries) -> dict[str, dict[int, float]]:
    """Arm -> seed -> a number that is lower where the arm is better, for summaries of one metric.

    A metric that is best near real music goes by its distance to the ceiling row. Arms stay out where they have no
    value, where that row is missing and where no way is better.
    """
    found: dict[str, dict[int, float]] = {}
    for summary in summaries:
        ceiling = reference_summary(references, CEILING, summary.metric, summary.corpus, summary.length)
        held_out = math.nan if ceiling is None else ceiling.value
        mine = {seed: quantity_of(summary.metric).loss(value, held_out) for seed, value in by_seed(summary).items()}
        found |= {summary.arm: mine} if any(map(math.isfinite, mine.values())) else {}
    return found
