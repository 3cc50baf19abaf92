"""Quality against cost: which arms no other arm beats on both, and how sure that is."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bench.report.analysis.aggregate import EXACT
from bench.report.figures.marks import Spread, dots_of, draw_spreads, place_labels
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
from bench.report.rows.arms import Look, arm_order, looks
from bench.report.rows.points import Point, Points, cost_points, quality_points
from metrics.cost.quantities import BITS, FORWARD_GFLOPS, PEAK_MEMORY_INFERENCE, STEP_LATENCY
from metrics.headlines import PRIMARY
from metrics.quantities import quantity_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COSTS = (STEP_LATENCY, PEAK_MEMORY_INFERENCE, FORWARD_GFLOPS)
DRAWS = 4000
MOST_NAMED = 8
LABEL_POINTS = (16.0, 6.5)
"""Width and height of a number such as 0.74 in points."""
WIDE_POINTS = 100.0
"""Width of a panel under which only two or three numbers fit."""
AROUND_IN = (0.55, 0.45)
"""What the numbers and the label beside and under a panel take, about."""
Pair = tuple[Point, Point]


def pareto_figure(frame: pd.DataFrame, folder: Path, *, width: float = DOUBLE_COLUMN_IN) -> Figure:
    """Quality against latency, memory and FLOPs at the length of the quality cells. The number at a point is the chance
    that no other arm is better on both, given the intervals; hollow points have less than one half.

    Raises NothingToShow where fewer than two arms have both a score and a cost at one length.
    """
    costs, quality = cost_points(frame).measured(), quality_points(frame).measured()
    wanted = [(score, cost) for score in PRIMARY for cost in COSTS]
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
        height = 1.6 if is_narrow(width) else 2.0
        figure = new_figure(width, rows * height + 0.35)
        room = (72 * (width / columns - AROUND_IN[0]), 72 * (height - AROUND_IN[1]))
        for axis, ((score, cost), pairs) in zip(panels(figure, len(found), columns), found.items(), strict=True):
            _front_panel(axis, pairs, arms, quantity_of(score).better == "lower", folder, room)
            axis.set_xlabel(quantity_of(cost).short_heading)
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


def _front_panel(
    axis: Axes, pairs: list[Pair], arms: dict[str, Look], lower_is_better: bool, folder: Path, room: tuple[float, float]
) -> None:
    chances = chance_on_front(pairs, lower_is_better)
    for (score, cost), chance in zip(pairs, chances, strict=True):
        look = arms[score.arm]
        face = look.colour if chance >= 0.5 else "white"
        axis.plot([cost.value], [score.value], marker=look.marker, color=look.colour, markerfacecolor=face, zorder=3)
        if score.interval == "seeds":
            spread = Spread(cost.value, score.value, score.low, score.high, dots_of(score, None))
            draw_spreads(axis, [spread], look.colour)
        if cost.metric not in EXACT:
            spread = Spread(score.value, cost.value, cost.low, cost.high, dots_of(cost, folder))
            draw_spreads(axis, [spread], look.colour, across=True)
    _limits(axis, pairs)
    if lower_is_better:
        axis.invert_yaxis()
    tidy_axes(axis)
    axis.locator_params(axis="x", nbins=4 if room[0] > WIDE_POINTS else 2)
    named = [(pair, chance) for pair, chance in zip(pairs, chances, strict=True) if _is_named(chance, len(pairs))]
    places = place_labels([_in_points(axis, pair, room) for pair, _ in named], LABEL_POINTS, room)
    for ((score, cost), chance), offset in zip(named, places, strict=True):
        style: dict[str, Any] = {"textcoords": "offset points", "xytext": offset, "fontsize": "x-small", "zorder": 5}
        style |= {"color": arms[score.arm].colour, "bbox": {"facecolor": "white", "alpha": 0.8, "lw": 0, "pad": 0.4}}
        axis.annotate(f"{chance:.2f}", (cost.value, score.value), **style)


def _is_named(chance: float, arms: int) -> bool:
    """Of many arms only those that are on the front as likely as not have a number."""
    return arms <= MOST_NAMED or chance >= 0.5


def _in_points(axis: Axes, pair: Pair, room: tuple[float, float]) -> tuple[float, float]:
    """Where a pair lies in a panel of this size, in points from its lower left corner."""
    (left, right), (bottom, top) = axis.get_xlim(), axis.get_ylim()
    score, cost = pair
    return room[0] * (cost.value - left) / (right - left), room[1] * (score.value - bottom) / (top - bottom)


def _limits(axis: Axes, pairs: list[Pair]) -> None:
    """Room for every seed and every cost; long intervals are cut at the edge."""
    values = [value for score, _ in pairs for value in (score.value, *score.values) if math.isfinite(value)]
    margin = 0.35 * (max(values) - min(values)) or 0.05
    axis.set_ylim(min(values) - margin, max(values) + margin)
    spent = [cost.value for _, cost in pairs]
    aside = 0.3 * (max(spent) - min(spent)) or 0.1 * max(spent)
    axis.set_xlim(min(spent) - aside, max(spent) + aside)
