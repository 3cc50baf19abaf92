"""Cost against sequence length: latency, memory and GFLOPs of each arm on logarithmic axes, with intervals."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from bench.report.analysis.aggregate import EXACT
from bench.report.analysis.growth import cost_exponent
from bench.report.analysis.patterns import patterns_of
from bench.report.figures.families import FAMILY_TICKS, MOST_LINES, draw_faint, family_grid
from bench.report.figures.marks import (
    MANY_ARMS,
    MOST_TICKS,
    Spread,
    dots_of,
    draw_spreads,
    few_decade_ticks,
    length_axis,
    shift_of,
)
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
from bench.report.rows.points import Points, cost_points
from metrics.cost.quantities import FORWARD_GFLOPS, PEAK_MEMORY_TRAINING, STEP_LATENCY
from metrics.headlines import COSTS
from metrics.quantities import quantity_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


MOST_EXPONENTS = 5  # more do not fit beside the curves
NARROW_COSTS = (STEP_LATENCY, PEAK_MEMORY_TRAINING, FORWARD_GFLOPS)
"""What one column shows of many arms; six rows of panels would not fit a page."""


def cost_figure(frame: pd.DataFrame, folder: Path, *, width: float = DOUBLE_COLUMN_IN) -> Figure:
    """Small multiples of every measured cost metric against length, with the exponent of each arm's growth in its
    colour. A cell that failed is a cross at the top of its panel. More arms than one panel can show are drawn by
    family, a column each.

    Raises NothingToShow without a measured efficiency row.
    """
    points = cost_points(frame)
    metrics = [name for name in COSTS if points.where(metric=name).measured()]
    if not metrics:
        raise NothingToShow("cost figure: the table has no measured efficiency row")
    drawn = {arm: look for arm, look in looks(arm_order(frame)).items() if points.where(arm=arm)}
    if len(drawn) > MOST_LINES:
        return _by_family(points, metrics, drawn, frame, folder, width)
    columns = 2 if is_narrow(width) else 3
    rows = -(-len(metrics) // columns)
    with figure_style(width):
        figure = new_figure(width, rows * (1.5 if is_narrow(width) else 1.9) + 0.35)
        for axis, metric in zip(panels(figure, len(metrics), columns), metrics, strict=True):
            _cost_panel(axis, points.where(metric=metric), drawn, folder, 4 if is_narrow(width) else MOST_TICKS)
            axis.set_title(quantity_of(metric).short_heading)
            _exponents(axis, points.where(metric=metric), drawn, folder, small=is_narrow(width))
        legend_below(figure, arm_handles(drawn), width)
    return figure


def _by_family(
    points: Points, metrics: list[str], arms: dict[str, Look], frame: pd.DataFrame, folder: Path, width: float
) -> Figure:
    def panel(axis: Axes, metric: str, shown: dict[str, Look], others: list[str]) -> None:
        rows = points.where(metric=metric)
        lines = [rows.where(arm=arm).measured() for arm in others]
        draw_faint(axis, [sorted((point.length or 0, point.value) for point in line) for line in lines])
        _cost_panel(axis, rows, shown, folder, FAMILY_TICKS)

    chosen = [metric for metric in metrics if metric in NARROW_COSTS] if is_narrow(width) else metrics
    labels = {metric: quantity_of(metric).short_heading for metric in chosen or metrics}
    return family_grid(labels, arms, patterns_of(frame), panel, width)


def _cost_panel(axis: Axes, points: Points, arms: dict[str, Look], folder: Path, ticks: int) -> None:
    lengths = points.lengths()
    for place, (arm, look) in enumerate(arms.items()):
        for _, line in points.where(arm=arm).groups(lambda p: (p.kernel, p.device, p.threads, p.batch)):
            exact = points[0].metric in EXACT  # without intervals there is nothing to set side by side
            shift = 1.0 if exact else shift_of(place, len(arms), lengths)
            draw_line(axis, line, look, folder, shift, thin=len(arms) >= MANY_ARMS)
    length_axis(axis, lengths, ticks)
    axis.margins(y=0.05 if len(points.measured()) == len(points) else 0.15)
    few_decade_ticks(axis)
    tidy_axes(axis)


def _exponents(axis: Axes, points: Points, arms: dict[str, Look], folder: Path, *, small: bool) -> None:
    """The exponent of each arm's growth at the upper left of a panel, on top of each other and in the arm's colour."""
    found = []
    for arm, look in arms.items():
        line = points.where(arm=arm).measured()
        if len(line.lengths()) > 2 and len(line.groups(lambda p: (p.kernel, p.device, p.threads, p.batch))) == 1:
            found.append((look, cost_exponent(line, folder)[0].value))
    if len(found) > MOST_EXPONENTS:
        return
    for place, (look, exponent) in enumerate(found):
        style: dict[str, Any] = {"color": look.colour, "fontsize": "x-small", "va": "top", "ha": "left", "zorder": 5}
        style["bbox"] = {"facecolor": "white", "alpha": 0.85, "linewidth": 0, "pad": 0.6}
        text = axis.text(0.03, 0.98 - (0.11 if small else 0.09) * place, f"{exponent:.2f}", **style)
        text.set_transform(axis.transAxes)


def draw_line(axis: Axes, line: Points, look: Look, folder: Path | None, shift: float = 1.0, *, thin: bool) -> None:
    """One arm's points with their intervals, or rounds where those are few; points without a figure become a cross at
    the upper edge. Lengths are drawn times `shift`, so that what several arms have at one length lies side by side."""
    done = sorted((point for point in line.measured() if point.length), key=lambda point: point.length or 0)
    edge: dict[str, Any] = {"markeredgecolor": "white", "markeredgewidth": 0.4}
    xs = [float(point.length or 0) * shift for point in done]
    values = [point.value for point in done]
    axis.plot(xs, values, color=look.colour, marker=look.marker, linestyle=look.dashes, zorder=3, **edge)
    at = zip(done, xs, strict=True)
    spreads = [Spread(x, point.value, point.low, point.high, dots_of(point, folder)) for point, x in at]
    draw_spreads(axis, spreads, look.colour, thin=thin)
    for point in line:
        if not point.measured and point.length:
            style: dict[str, Any] = {
                "marker": "x",
                "color": look.colour,
                "markersize": 4,
                "clip_on": False,
                "zorder": 4,
            }
            axis.plot([float(point.length) * shift], [0.97], transform=axis.get_xaxis_transform(), **style)
