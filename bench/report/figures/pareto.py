"""Quality against cost: each arm with the chance that no other arm dominates it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from bench.report.analysis.comparable import EXACT
from bench.report.analysis.front import Pair, chance_on_front, score_and_cost
from bench.report.figures.axes import limits_around
from bench.report.figures.figure import figure
from bench.report.figures.marks import draw_spreads, spread_of
from bench.report.figures.style import NothingToShow, arm_handles, is_narrow, legend_below, panel_grid
from bench.report.rows.arms import Look, looks_of
from bench.report.rows.frame import QUALITY
from bench.report.rows.summaries import cost_summaries, quality_summaries
from metrics.cost.quantities import FORWARD_GFLOPS, PEAK_MEMORY_INFERENCE, STEP_LATENCY
from metrics.headlines import PRIMARY
from metrics.quantities import quantity_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COSTS = (STEP_LATENCY, PEAK_MEMORY_INFERENCE, FORWARD_GFLOPS)
MOST_NAMED = 8
LABEL_POINTS = (16.0, 6.5)
"""Width and height of a number such as 0.74 in points."""
WIDE_POINTS = 100.0
"""Width of a panel under which only two or three numbers fit."""
AROUND_IN = (0.55, 0.6)
"""Inches that the numbers and the label beside and under a panel take, about."""


@figure(
    "pareto",
    "Quality against cost",
    needs=QUALITY,
    panels=[PRIMARY, COSTS],
    caption="Better is up, cheaper is left. Lines: 95 % intervals, cut at the edge; fewer than five seeds or rounds "
    "are small dots. The number is the chance that no other arm is as good on both and better on one, given the "
    "intervals; hollow: less than one half (of more than eight arms those have no number).",
)
def pareto_figure(frame: pd.DataFrame, folder: Path, width: float) -> Figure:
    """A panel for each score and cost, at the length of the quality cells, or where costs were not measured there at
    the longest that all arms with that cost have, which the axis names; needs two arms that have both."""
    costs, quality = cost_summaries(frame).measured(), quality_summaries(frame).measured()
    wanted = [(score, cost) for score in PRIMARY for cost in COSTS]
    found = {key: pairs for key in wanted if len(pairs := score_and_cost(quality, costs, *key)) > 1}
    if not found:
        raise NothingToShow("pareto figure: fewer than two arms have a score and a cost")
    named = {score.arm for pairs in found.values() for score, _ in pairs}
    arms = {arm: look for arm, look in looks_of(frame).items() if arm in named}
    most, row_in = (2, 1.6) if is_narrow(width) else (3, 2.0)
    columns = min(len({cost for _, cost in found}), most)
    drawn, axes = panel_grid(width, len(found), columns, row_in)
    room = (72 * (width / columns - AROUND_IN[0]), 72 * (row_in - AROUND_IN[1]))
    for axis, ((score, cost), pairs) in zip(axes, found.items(), strict=True):
        _front_panel(axis, pairs, arms, quantity_of(score).better == "lower", folder, room)
        axis.set_xlabel(_cost_label(quantity_of(cost).short_heading, pairs[0][1].length, is_narrow(width)))
        axis.set_ylabel(quantity_of(score).heading)
    legend_below(drawn, arm_handles(arms, lines=False))
    return drawn


def _cost_label(heading: str, length: int | None, narrow: bool) -> str:
    """Words under a panel, with the length of the cost. Of a narrow panel the unit is in the second line: a label wider
    than its panel is cut at the edge."""
    if narrow:
        return heading.replace(" [", "\n[") + (f", L = {length}" if length else "")
    return heading + (f"\n{length} tokens" if length else "")


def _front_panel(
    axis: Axes, pairs: list[Pair], arms: dict[str, Look], lower_is_better: bool, folder: Path, room: tuple[float, float]
) -> None:
    chances = chance_on_front(pairs, lower_is_better)
    for (score, cost), chance in zip(pairs, chances, strict=True):
        look = arms[score.arm]
        face = look.colour if chance >= 0.5 else "white"
        axis.plot(
            [cost.value], [score.value], marker=look.marker, markerfacecolor=face, zorder=4.5, **look.ink
        )  # over the dots, which would fill a hollow one
        if score.interval == "seeds":
            draw_spreads(axis, [spread_of(score, cost.value)], look)
        if cost.metric not in EXACT:
            draw_spreads(axis, [spread_of(cost, score.value, folder)], look, across=True)
    spent = [cost.value for _, cost in pairs]  # room for every seed and every cost
    axis.set_xlim(limits_around(spent, 0.3, 0.1 * max(spent)))
    axis.set_ylim(limits_around([value for score, _ in pairs for value in (score.value, *score.values)], 0.35, 0.05))
    if lower_is_better:
        axis.invert_yaxis()
    axis.locator_params(axis="x", nbins=5 if room[0] > WIDE_POINTS else 3, prune="both")  # none at the edge
    named = [
        (pair, chance) for pair, chance in zip(pairs, chances, strict=True) if len(pairs) <= MOST_NAMED or chance >= 0.5
    ]
    places = place_labels([_in_points(axis, pair, room) for pair, _ in named], LABEL_POINTS, room)
    for ((score, cost), chance), offset in zip(named, places, strict=True):
        style: dict[str, Any] = {"textcoords": "offset points", "xytext": offset, "fontsize": "x-small", "zorder": 5}
        style |= {"color": arms[score.arm].colour, "bbox": {"facecolor": "white", "alpha": 0.8, "lw": 0, "pad": 0.4}}
        axis.annotate(f"{chance:.2f}", (cost.value, score.value), **style)


def _in_points(axis: Axes, pair: Pair, room: tuple[float, float]) -> tuple[float, float]:
    """Where a pair lies in a panel of this size, in points from its lower left corner."""
    (left, right), (bottom, top) = axis.get_xlim(), axis.get_ylim()
    score, cost = pair
    return room[0] * (cost.value - left) / (right - left), room[1] * (score.value - bottom) / (top - bottom)


Box = tuple[float, float, float, float]
"""Left, bottom, right, top."""
GAP = 3.5
"""Distance of a label from the middle of its marker, in points, at each side."""
MARKER = 3.0
"""Half the width of a marker, in points."""
OUTSIDE = 100.0
"""How much worse a place past the edge is than one that covers the same area of something else."""


def place_labels(
    points: Sequence[tuple[float, float]], size: tuple[float, float], room: tuple[float, float]
) -> list[tuple[float, float]]:
    """For each point the lower left corner of its label, seen from the point; everything in points of 1/72 inch.

    `size` is that of a label, `room` the panel that all points lie in. Each label in turn takes, of eight places
    around its point, the first that covers least of the markers, of earlier labels and of what lies past the edge.
    """
    width, height = size
    right, left, middle = GAP, -GAP - width, -width / 2
    above, below, beside = GAP, -GAP - height, -height / 2
    places = [(right, above), (left, above), (right, below), (left, below)]
    places += [(right + 1, beside), (left - 1, beside), (middle, above + 1), (middle, below - 1)]
    taken: list[Box] = [(x - MARKER, y - MARKER, x + MARKER, y + MARKER) for x, y in points]
    chosen = []
    for x, y in points:
        boxes = [(x + dx, y + dy, x + dx + width, y + dy + height) for dx, dy in places]
        costs = [sum(_shared(box, other) for other in taken) + OUTSIDE * _outside(box, room) for box in boxes]
        best = min(range(len(places)), key=costs.__getitem__)
        chosen.append(places[best])
        taken.append(boxes[best])
    return chosen


def _shared(one: Box, other: Box) -> float:
    """Area that two boxes share."""
    across = min(one[2], other[2]) - max(one[0], other[0])
    along = min(one[3], other[3]) - max(one[1], other[1])
    return across * along if across > 0 and along > 0 else 0.0


def _outside(box: Box, room: tuple[float, float]) -> float:
    whole = (box[2] - box[0]) * (box[3] - box[1])
    return whole - _shared(box, (0.0, 0.0, *room))
