"""The Pareto front of score and cost: the chance that no other arm is as good on both and better on one."""

from __future__ import annotations

import math

import numpy as np

from bench.report.rows.summaries import Summaries, Summary

DRAWS = 4000
Pair = tuple[Summary, Summary]
"""Score and cost of an arm."""


def score_and_cost(quality: Summaries, costs: Summaries, score: str, cost: str) -> list[Pair]:
    """Score and cost of each arm at the score's length, or where costs were not measured there at the longest that all
    arms with this cost have; the first corpus and sampler only, for a panel shows one."""
    rows = quality.where(metric=score)
    if not rows:
        return []
    first = rows[0]
    same = rows.where(corpus=first.corpus, length=first.length, sampler=first.sampler, sample_steps=first.sample_steps)
    mine = costs.where(metric=cost)
    lengths = mine.lengths()
    arms = [one.arm for one in same if mine.where(arm=one.arm)]
    shared = [length for length in lengths if all(mine.where(arm=arm, length=length) for arm in arms)]
    at = first.length if first.length in lengths else max(shared or lengths, default=first.length)
    found = ((one, mine.first(arm=one.arm, length=at)) for one in same)
    return [(summary, spent) for summary, spent in found if spent is not None]


def chance_on_front(pairs: list[Pair], lower_is_better: bool, *, draws: int = DRAWS, seed: int = 0) -> list[float]:
    """For each arm the share of draws in which no other arm dominates it: is as good on score and cost, and better on
    one of them at least. Arms that are equal on both do not dominate each other.

    Scores are drawn from the mean's Student-t distribution (one seed: its own value), costs from a lognormal with the
    cell's interval; arms are drawn independently, which understates the certainty of paired comparisons.
    """
    generator = np.random.default_rng(seed)
    scores = np.stack([_draw_score(score, generator, draws) for score, _ in pairs])  # A D
    costs = np.stack([_draw_cost(cost, generator, draws) for _, cost in pairs])
    scores = scores if lower_is_better else -scores
    no_worse = (scores[:, None] <= scores[None]) & (costs[:, None] <= costs[None])  # A A D: the first to the second
    better = (scores[:, None] < scores[None]) | (costs[:, None] < costs[None])
    return [float(share) for share in 1 - (no_worse & better).any(axis=0).mean(axis=-1)]


def _draw_score(summary: Summary, generator: np.random.Generator, draws: int) -> np.ndarray:
    values = np.array([value for value in summary.values if math.isfinite(value)])
    if len(values) < 2:
        return np.full(draws, summary.value)
    spread = float(values.std(ddof=1)) / math.sqrt(len(values))
    return summary.value + spread * generator.standard_t(len(values) - 1, size=draws)


def _draw_cost(summary: Summary, generator: np.random.Generator, draws: int) -> np.ndarray:
    if not summary.has_interval or summary.low <= 0:
        return np.full(draws, summary.value)
    spread = math.log(summary.high / summary.low) / (2 * 1.96)
    return summary.value * np.exp(spread * generator.standard_normal(draws))
