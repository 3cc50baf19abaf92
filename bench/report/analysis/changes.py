"""Figures of two studies, commits or machines side by side, with a verdict on each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from bench.report.analysis.comparable import EXACT
from bench.report.analysis.comparisons import by_seed, verdict
from bench.report.rows.summaries import Summaries, Summary, cost_summaries, quality_summaries
from metrics.headlines import COSTS, PRIMARY
from metrics.statistics.comparison import holm, paired_difference


@dataclass(frozen=True)
class Change:
    """A figure in both studies. `verdict`: "lower", "higher", "no difference found", "not tested" or why not
    compared."""

    first: Summary
    second: Summary
    verdict: str
    forced: bool = False


def changes(first: pd.DataFrame, second: pd.DataFrame, *, force: bool = False) -> list[Change]:
    """Every figure that both studies have, with a verdict on second against first.

    Costs on different devices, threads or kernels are not compared unless `force`; then the row is marked. Costs differ
    where their intervals lie apart (counts: where they differ at all); the primary scores by an exact test paired
    by seed, Holm-corrected; other scores are shown and not tested.
    """
    costs = _matched(cost_summaries(first), cost_summaries(second), lambda p: (p.metric, p.arm, p.length, p.batch))
    scores = _matched(
        quality_summaries(first),
        quality_summaries(second),
        lambda p: (p.metric, p.arm, p.corpus, p.length, p.sampler, p.sample_steps),
    )
    known = [(one, other) for one, other in costs if one.metric in COSTS]
    return [_cost_change(one, other, force) for one, other in known] + _score_changes(scores)


def _matched(first: Summaries, second: Summaries, key: Callable[[Summary], object]) -> list[tuple[Summary, Summary]]:
    others = {key(one): one for one in second.measured()}
    return [(one, others[key(one)]) for one in first.measured() if key(one) in others]


def _cost_change(first: Summary, second: Summary, force: bool) -> Change:
    if first.metric in EXACT:
        return Change(first, second, _side(first.value, second.value))
    ran = [(one.device, one.threads, one.kernel) for one in (first, second)]
    if ran[0] != ran[1] and not force:
        names = ("device", "threads", "kernel")
        differing = [
            f"{name} {one or '-'} and {other or '-'}"
            for name, one, other in zip(names, *ran, strict=True)
            if one != other
        ]
        return Change(first, second, f"not compared: {'; '.join(differing)}")
    if not (first.has_interval and second.has_interval):
        return Change(first, second, "no interval to compare by", ran[0] != ran[1])
    apart = first.high < second.low or second.high < first.low
    return Change(first, second, _side(first.value, second.value) if apart else "no difference found", ran[0] != ran[1])


def _side(first: float, second: float) -> str:
    return "no difference found" if first == second else "lower" if second < first else "higher"


def _score_changes(pairs: list[tuple[Summary, Summary]]) -> list[Change]:
    tested = [(one, other) for one, other in pairs if one.metric in PRIMARY]
    found = [paired_difference(by_seed(other), by_seed(one)) for one, other in tested]
    adjusted = holm([pair.p_value for pair in found])
    verdicts = {
        id(one): verdict(pair.difference, float(p_value), len(tested), below="lower", above="higher")
        for (one, _), pair, p_value in zip(tested, found, adjusted, strict=True)
    }
    return [Change(one, other, verdicts.get(id(one), "not tested")) for one, other in pairs]
