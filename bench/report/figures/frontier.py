"""Bits of a sampler against what a piece costs, a curve an arm and process through its numbers of tokens a call."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from bench.report.analysis.frontier import EXACT, Curve, Ways, frontier, ways_of
from bench.report.figures.axes import few_decade_ticks_below, limits_around
from bench.report.figures.data import state_data
from bench.report.figures.figure import MOST_ARMS, figure
from bench.report.figures.marks import REFERENCE_COLOUR, draw_spreads, reference_line, spread_of
from bench.report.figures.style import NothingToShow, arm_handles, is_narrow, legend_below, panel_grid
from bench.report.rows.arms import Look, looks
from bench.report.rows.frame import QUALITY
from bench.report.rows.study import baseline_arm
from metrics.headlines import PIECE
from metrics.quantities import quantity_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FRONTIER, LEVEL = "nothing beats these", "equal bits"
WIDE: dict[str, Any] = {"color": "#bbbbbb", "linewidth": 3.5, "zorder": 1, "solid_capstyle": "round"}
"""The frontier, behind the curves."""


@figure(
    "frontier",
    "Bits of the sampler against what a piece costs",
    needs=QUALITY,
    panels=[PIECE],
    most_arms=8 * MOST_ARMS,
    caption="Mean over seeds of bits/token under the sampler as it runs; a curve an arm and process, a point a "
    "number of tokens a call. Lower and left is better. Filled: exact figures; hollow: estimates, above the exact "
    "figure on average; what is known as a bound alone is left out, and counted. Wide grey line: exact points that "
    "nothing beats. Line across: the bits at which costs are compared. Seconds: other cells may have run beside.",
)
def frontier_figure(frame: pd.DataFrame, folder: Path, width: float) -> Figure:
    """A panel a cost of a piece; needs a cell of a sampler whose likelihood is known."""
    ways = ways_of(frame)
    if ways is None or not ways.curves:
        raise NothingToShow("frontier figure: no bits/token under a sampler; measure autoregression or blocks")
    found = looks([curve.name for curve in ways.curves])
    costs = [cost for cost in PIECE if any(curve.places(cost) for curve in ways.curves)]
    drawn, axes = panel_grid(width, len(costs), min(len(costs), 2), 1.7 if is_narrow(width) else 2.1)
    level = ways.equal_bits(baseline_arm(folder, frame))
    for axis, cost in zip(axes, costs, strict=True):
        _panel(axis, ways, cost, found, level, is_narrow(width))
    legend_below(drawn, [*arm_handles(found), *_further_handles(ways, level)])
    return drawn


def _panel(axis: Axes, ways: Ways, cost: str, found: dict[str, Look], level: float, narrow: bool) -> None:
    best = frontier([place for curve in ways.exact for place in curve.places(cost)])
    if best:
        axis.plot(*zip(*best, strict=True), label=FRONTIER, **WIDE)
    for curve in ways.curves:
        _draw(axis, curve, cost, found[curve.name])
    for name in ways.bounds:
        state_data(axis, name, "missing")
    if math.isfinite(level):
        reference_line(axis, level, name=LEVEL)
    places = [place for curve in ways.curves for place in curve.places(cost)]
    axis.set_xscale("log")
    axis.set_xlim(min(x for x, _ in places) / 1.5, max(x for x, _ in places) * 1.5)
    seeds = [value for curve in ways.curves for way in curve.ways if way.place(cost) for value in way.bits.values]
    axis.set_ylim(limits_around([level, *filter(math.isfinite, seeds), *(y for _, y in places)], 0.08, 0.05))
    few_decade_ticks_below(axis)
    heading = quantity_of(cost).heading
    axis.set_xlabel(heading.replace(" [", "\n[") if narrow else heading)
    axis.set_ylabel("bits/token")


def _draw(axis: Axes, curve: Curve, cost: str, look: Look) -> None:
    ways = [way for way in curve.ways if way.place(cost)]
    face = look.colour if curve.kind == EXACT else "white"
    places = curve.places(cost)
    if places:
        axis.plot(
            *zip(*places, strict=True), markerfacecolor=face, linewidth=0.9, markersize=3.6, zorder=3, **look.line
        )
    spreads = [spread_of(way.bits, way.costs[cost].value) for way in ways if way.bits.interval == "seeds"]
    draw_spreads(axis, spreads, look, thin=True)


def _further_handles(ways: Ways, level: float) -> list[Any]:
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], label=FRONTIER, **(WIDE | {"zorder": 2}))] if ways.exact else []
    if math.isfinite(level):
        handles.append(Line2D([], [], color=REFERENCE_COLOUR, linewidth=0.9, label=f"{LEVEL}: {level:.2f}"))
    if ways.bounds:
        handles.append(Line2D([], [], linestyle="none", label=f"left out, bound alone: {len(ways.bounds)}"))
    return handles
