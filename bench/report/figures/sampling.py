"""Quality against the number of network calls that the sampler makes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from bench.report.analysis.aggregate import reference_point
from bench.report.analysis.samplers import CEILING, base_arm, network_calls, varies_sampler
from bench.report.figures.style import (
    DOUBLE_COLUMN_IN,
    REFERENCE_COLOUR,
    NothingToShow,
    arm_handles,
    figure_style,
    is_narrow,
    legend_below,
    new_figure,
    panels,
    reference_handles,
    tidy_axes,
)
from bench.report.rows.arms import Look, arm_order, looks
from bench.report.rows.points import Point, Points, quality_points, reference_points
from metrics.headlines import SAMPLED
from metrics.quantities import quantity_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def nfe_figure(frame: pd.DataFrame, folder: Path, *, width: float = DOUBLE_COLUMN_IN) -> Figure:
    """Scores against network calls a piece, a line an arm (a sampler, where the study varies it); seeds as small dots,
    grey: real against real music.

    Raises NothingToShow where every arm was sampled with one number of steps.
    """
    points = quality_points(frame).where(metric=SAMPLED).measured()
    points = Points(point for point in points if network_calls(point))
    if len(points.distinct("sample_steps")) < 2:
        raise NothingToShow("nfe figure: every arm was sampled with one number of steps T; vary sample.steps")
    references = reference_points(frame)
    lines = _lines(points, frame)
    metrics = [metric for metric in SAMPLED if points.where(metric=metric)]
    columns = min(len(metrics), 1 if is_narrow(width) else 3)
    with figure_style(width):
        figure = new_figure(width, -(-len(metrics) // columns) * 1.9 + 0.35)
        for axis, metric in zip(panels(figure, len(metrics), columns), metrics, strict=True):
            for _, look, line in lines:
                _draw_line(axis, line.where(metric=metric), look)
            ceiling = reference_point(references, CEILING, metric, points[0].corpus, points[0].length)
            if ceiling is not None:
                axis.axhline(ceiling.value, color=REFERENCE_COLOUR, linewidth=0.9, zorder=1)
            axis.set_xscale("log", base=2)
            axis.set_xlabel("network calls a piece (NFE)")
            axis.set_title(quantity_of(metric).heading)
            axis.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
            tidy_axes(axis)
        handles = arm_handles({name: look for name, look, _ in lines})
        legend_below(figure, [*handles, *reference_handles(references, [CEILING])], width)
    return figure


def _lines(points: Points, frame: pd.DataFrame) -> list[tuple[str, Look, Points]]:
    """Name, look and points of each line: an arm, or an arm and sampler."""
    by_sampler = varies_sampler(points)
    order = list(dict.fromkeys(base_arm(point) for arm in arm_order(frame) for point in points.where(arm=arm)))
    several = len(order) > 1

    def name(point: Point) -> str:
        if not by_sampler:
            return point.arm
        return f"{base_arm(point)}, {point.sampler}" if several else point.sampler

    groups = sorted(points.groups(name), key=lambda group: order.index(base_arm(group[1][0])))
    found = looks([name for name, _ in groups])
    lines = []
    for title, rows in groups:
        for _, line in rows.groups(lambda point: (point.corpus, point.length, point.sampler)):
            lines.append((title, found[title], line))
    return lines


def _draw_line(axis: Axes, points: Points, look: Look) -> None:
    ordered = sorted(points, key=lambda point: network_calls(point) or 0)
    xs = [network_calls(point) or 0 for point in ordered]
    axis.plot(xs, [point.value for point in ordered], color=look.colour, marker=look.marker, linestyle=look.dashes)
    for x, point in zip(xs, ordered, strict=True):
        if len(point.values) > 1:
            axis.plot([x] * len(point.values), point.values, color=look.colour, marker=".", markersize=2, linestyle="")
