"""Quality against the number of network calls that the sampler makes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from bench.report.aggregate import reference_point
from bench.report.arms import arm_order, looks
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
from bench.report.metric_words import words_for
from bench.report.points import Point, Points, quality_points, reference_points

if TYPE_CHECKING:
    from matplotlib.figure import Figure

METRICS = ("oa_mean", "oa_distance_mean", "pitch_outliers_percentile")


def network_calls(point: Point) -> float | None:
    """Network calls a piece (NFE) of a point: the middle of its range over seeds; None where not recorded."""
    ends = [float(part) for part in point.nfe.split("-") if part]
    return sum(ends) / len(ends) if ends else None


def nfe_figure(frame: pd.DataFrame, folder: Path, *, width: float = DOUBLE_COLUMN_IN) -> Figure:
    """Scores against network calls a piece, a line an arm and sampler; grey: real against real music.

    Raises NothingToShow where every arm was sampled with one number of steps.
    """
    points = quality_points(frame).where(metric=METRICS).measured()
    points = Points(point for point in points if network_calls(point))
    if len(points.distinct("sample_steps")) < 2:
        raise NothingToShow("nfe figure: every arm was sampled with one number of steps T; vary sample.steps")
    references = reference_points(frame)
    arms = {arm: look for arm, look in looks(arm_order(frame)).items() if points.where(arm=arm)}
    metrics = [metric for metric in METRICS if points.where(metric=metric)]
    columns = min(len(metrics), 1 if is_narrow(width) else 3)
    with figure_style(width):
        figure = new_figure(width, -(-len(metrics) // columns) * 1.9 + 0.35)
        for axis, metric in zip(panels(figure, len(metrics), columns), metrics, strict=True):
            for arm, look in arms.items():
                mine = points.where(metric=metric, arm=arm)
                for _, line in mine.groups(lambda p: (p.corpus, p.length, p.sampler)):
                    ordered = sorted(line, key=lambda point: network_calls(point) or 0)
                    xs, ys = [network_calls(point) for point in ordered], [point.value for point in ordered]
                    axis.plot(xs, ys, color=look.colour, marker=look.marker, linestyle=look.dashes)  # type: ignore[arg-type]
            ceiling = reference_point(references, "real-vs-real", metric, points[0].corpus, points[0].length)
            if ceiling is not None:
                axis.axhline(ceiling.value, color=REFERENCE_COLOUR, linewidth=0.9, zorder=1)
            axis.set_xscale("log", base=2)
            axis.set_xlabel("network calls a piece (NFE)")
            axis.set_title(words_for(metric).label)
            axis.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
            tidy_axes(axis)
        legend_below(figure, [*arm_handles(arms), *reference_handles(references, ["real-vs-real"])], width)
    return figure
