"""Quality against cost: which arms no other arm beats on both, and how sure that is."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bench.report.aggregate import BITS
from bench.report.arms import Look, arm_order, looks
from bench.report.figures.style import (
    DOUBLE_COLUMN_IN,
    NothingToShow,
    arm_handles,
    figure_style,
    is_narrow,
    legend_below,
    new_figure,
    panels,
    tidy_axes,
)
from bench.report.metric_words import SHORT_COST_LABELS, words_for
from bench.report.points import Point, Points, cost_points, quality_points

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COSTS = ("step_latency", "peak_memory_inference", "forward_gflops")
SCORES = (BITS, "oa_mean")
DRAWS = 4000
Pair = tuple[Point, Point]


def pareto_figure(frame: pd.DataFrame, folder: Path, *, width: float = DOUBLE_COLUMN_IN) -> Figure:
    """Quality against latency, memory and FLOPs at the length of the quality cells. The number at a point is the chance
    that no other arm is better on both, given the intervals; hollow points have less than one half.

    Raises NothingToShow where fewer than two arms have both a score and a cost at one length.
    """
    costs, quality = cost_points(frame).measured(), quality_points(frame).measured()
    wanted = [(score, cost) for score in SCORES for cost in COSTS]
    found = {key: pairs for key in wanted if len(pairs := _pairs(quality, costs, *key)) > 1}
    if not found:
        raise NothingToShow("pareto figure: fewer than two arms have a score and a cost at one length")
    arms = {
        arm: look
        for arm, look in looks(arm_order(frame)).items()
        if any(score.arm == arm for pairs in found.values() for score, _ in pairs)
    }
    columns = min(len(found), 2 if is_narrow(width) else 3)
    rows = -(-len(found) // columns)
    with figure_style(width):
        figure = new_figure(width, rows * (1.6 if is_narrow(width) else 2.0) + 0.35)
        for axis, ((score, cost), pairs) in zip(panels(figure, len(found), columns), found.items(), strict=True):
            _front_panel(axis, pairs, arms, words_for(score).better == "lower")
            axis.set_xlabel(SHORT_COST_LABELS[cost])
            axis.set_ylabel("validation [bits/token]" if score == BITS else "OA mean")
        legend_below(figure, arm_handles(arms), width)
    return figure


def _pairs(quality: Points, costs: Points, score: str, cost: str) -> list[Pair]:
    """Score and cost of each arm at the same length; the first corpus and sampler only, for a panel shows one."""
    rows = quality.where(metric=score)
    if not rows:
        return []
    first = rows[0]
    same = rows.where(corpus=first.corpus, length=first.length, sampler=first.sampler, sample_steps=first.sample_steps)
    found = ((point, costs.first(metric=cost, arm=point.arm, length=point.length)) for point in same)
    return [(point, spent) for point, spent in found if spent is not None]


def chance_on_front(pairs: list[Pair], lower_is_better: bool, *, draws: int = DRAWS, seed: int = 0) -> list[float]:
    """For each arm the share of draws in which no other arm is better on score and cost at once.

    Scores are drawn from the mean's Student-t distribution (one seed: its own value), costs from a lognormal with the
    cell's interval; arms are drawn independently, which understates the certainty of paired comparisons.
    """
    generator = np.random.default_rng(seed)
    scores = np.stack([_draw_score(score, generator, draws) for score, _ in pairs])  # A D
    costs = np.stack([_draw_cost(cost, generator, draws) for _, cost in pairs])
    scores = scores if lower_is_better else -scores
    better = (scores[:, None] < scores[None]) & (costs[:, None] < costs[None])  # A A D: first beats second
    return [float(share) for share in 1 - better.any(axis=0).mean(axis=-1)]


def _draw_score(point: Point, generator: np.random.Generator, draws: int) -> np.ndarray:
    values = np.array([value for value in point.values if math.isfinite(value)])
    if len(values) < 2:
        return np.full(draws, point.value)
    spread = float(values.std(ddof=1)) / math.sqrt(len(values))
    return point.value + spread * generator.standard_t(len(values) - 1, size=draws)


def _draw_cost(point: Point, generator: np.random.Generator, draws: int) -> np.ndarray:
    if not point.has_interval or point.low <= 0:
        return np.full(draws, point.value)
    spread = math.log(point.high / point.low) / (2 * 1.96)
    return point.value * np.exp(spread * generator.standard_normal(draws))


def _front_panel(axis: Axes, pairs: list[Pair], arms: dict[str, Look], lower_is_better: bool) -> None:
    chances = chance_on_front(pairs, lower_is_better)
    for (score, cost), chance in zip(pairs, chances, strict=True):
        look = arms[score.arm]
        face = look.colour if chance >= 0.5 else "white"
        axis.plot([cost.value], [score.value], marker=look.marker, color=look.colour, markerfacecolor=face, zorder=3)
        if score.interval == "seeds":
            axis.plot([cost.value] * 2, [score.low, score.high], color=look.colour, linewidth=0.8, zorder=2)
        if cost.has_interval:
            axis.plot([cost.low, cost.high], [score.value] * 2, color=look.colour, linewidth=0.8, zorder=2)
        offset = {"textcoords": "offset points", "xytext": (4, 3), "fontsize": "x-small", "color": look.colour}
        axis.annotate(f"{chance:.2f}", (cost.value, score.value), **offset)  # type: ignore[arg-type]
    values = [value for score, _ in pairs for value in score.values if math.isfinite(value)]
    margin = 0.35 * (max(values) - min(values)) or 0.05
    axis.set_ylim(min(values) - margin, max(values) + margin)
    spent = [cost.value for _, cost in pairs]
    room = 0.3 * (max(spent) - min(spent)) or 0.1 * max(spent)
    axis.set_xlim(min(spent) - room, max(spent) + room)
    axis.locator_params(axis="x", nbins=4)
    if lower_is_better:
        axis.invert_yaxis()
    tidy_axes(axis)
