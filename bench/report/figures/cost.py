"""Cost against sequence length: latency, memory and GFLOPs of each arm on logarithmic axes, with intervals."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from bench.report.arms import Look, arm_order, looks
from bench.report.claims.measured import cost_exponent
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
from bench.report.metric_words import SHORT_COST_LABELS
from bench.report.points import Points, cost_points

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


MOST_EXPONENTS = 5  # more do not fit beside the curves


def cost_figure(frame: pd.DataFrame, folder: Path, *, width: float = DOUBLE_COLUMN_IN) -> Figure:
    """Small multiples of every measured cost metric against length, with the exponent of each arm's growth in its
    colour. A cell that failed is a cross at the top of its panel.

    Raises NothingToShow without a measured efficiency row.
    """
    points = cost_points(frame)
    metrics = [name for name in SHORT_COST_LABELS if points.where(metric=name).measured()]
    if not metrics:
        raise NothingToShow("cost figure: the table has no measured efficiency row")
    drawn = {arm: look for arm, look in looks(arm_order(frame)).items() if points.where(arm=arm)}
    columns = 2 if is_narrow(width) else 3
    rows = -(-len(metrics) // columns)
    with figure_style(width):
        figure = new_figure(width, rows * (1.5 if is_narrow(width) else 1.9) + 0.35)
        for axis, metric in zip(panels(figure, len(metrics), columns), metrics, strict=True):
            _cost_panel(axis, points.where(metric=metric), drawn, metric)
            _exponents(axis, points.where(metric=metric), drawn, folder, small=is_narrow(width))
        legend_below(figure, arm_handles(drawn), width)
    return figure


def _cost_panel(axis: Axes, points: Points, arms: dict[str, Look], metric: str) -> None:
    for place, (arm, look) in enumerate(arms.items()):
        for _, line in points.where(arm=arm).groups(lambda p: (p.kernel, p.device, p.threads, p.batch)):
            draw_line(axis, line, look, shift=2 ** (0.09 * (place - (len(arms) - 1) / 2)))
    length_axis(axis, points.lengths())
    axis.margins(y=0.05 if len(points.measured()) == len(points) else 0.15)
    few_decade_ticks(axis)
    axis.set_title(SHORT_COST_LABELS[metric])
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


def length_axis(axis: Axes, lengths: list[int]) -> None:
    """A logarithmic axis of sequence lengths with a tick at each that was measured, and the values logarithmic too."""
    axis.set_xscale("log", base=2)
    axis.set_yscale("log")
    tick_lengths(axis, lengths)


def tick_lengths(axis: Axes, lengths: list[int]) -> None:
    """A tick at each length that was measured; the axis has its scale already."""
    axis.set_xticks(lengths, [str(length) for length in lengths])
    axis.set_xticks([], minor=True)
    axis.margins(x=0.08)
    axis.set_xlabel("length [tokens]")


def draw_line(axis: Axes, line: Points, look: Look, shift: float = 1.0) -> None:
    """One arm's points with their intervals; points without a figure become a cross at the upper edge, its length times
    `shift` so that crosses of several arms lie beside each other."""
    done = sorted((point for point in line.measured() if point.length), key=lambda point: point.length or 0)
    edge: dict[str, Any] = {"markeredgecolor": "white", "markeredgewidth": 0.4}
    xs = [float(point.length or 0) for point in done]
    values = [point.value for point in done]
    axis.plot(xs, values, color=look.colour, marker=look.marker, linestyle=look.dashes, zorder=3, **edge)
    for point, x in zip(done, xs, strict=True):
        if point.has_interval:
            ends = [[max(point.value - point.low, 0)], [max(point.high - point.value, 0)]]
            axis.errorbar([x], [point.value], yerr=ends, fmt="none", ecolor=look.colour, elinewidth=0.9, capsize=1.8)
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


def few_decade_ticks(axis: Axes) -> None:
    """Plain numbers on a logarithmic axis, with ticks between the decades where it spans only a few."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

    low, high = axis.get_ylim()
    decades = math.log10(high / low)
    multiples = (1.0,) if decades > 2.5 else (1.0, 3.0) if decades > 1.2 else (1.0, 2.0, 5.0)
    ticks = [m * 10.0**power for power in range(-9, 10) for m in multiples]
    if sum(low <= tick <= high for tick in ticks) > 1:
        axis.yaxis.set_major_locator(LogLocator(base=10, subs=multiples, numticks=12))
    else:
        axis.yaxis.set_major_locator(MaxNLocator(nbins=4))
    axis.yaxis.set_minor_locator(NullLocator())
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
