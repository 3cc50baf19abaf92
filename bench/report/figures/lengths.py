"""Quality against the length of the pieces, beside what real music of each length reaches."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from bench.report.analysis.aggregate import reference_point
from bench.report.figures.marks import Spread, dots_of, draw_spreads, tick_lengths
from bench.report.figures.style import (
    DOUBLE_COLUMN_IN,
    REFERENCE_COLOUR,
    REFERENCE_DASHES,
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
from bench.report.rows.points import Points, quality_points, reference_points
from metrics.headlines import OUTLIERS
from metrics.music.attribute import OA_MEAN
from metrics.music.distance import OA_DISTANCE_MEAN
from metrics.music.drift import DRIFT
from metrics.quantities import quantity_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

METRICS = (OA_MEAN, OA_DISTANCE_MEAN, DRIFT["oa"], OUTLIERS)
SHOWN = ("real-vs-real", "unigram-tokens")


def lengths_figure(frame: pd.DataFrame, folder: Path, *, width: float = DOUBLE_COLUMN_IN) -> Figure:
    """Scores against tokens a piece, a line an arm with its interval over seeds, or the seeds where they are few;
    grey: ceiling (with its interval) and floor at the same length. The first corpus and sampler of the table.

    Raises NothingToShow where no arm was measured at two lengths.
    """
    points = quality_points(frame).where(metric=METRICS).measured()
    if points:
        points = points.where(corpus=points[0].corpus, sampler=points[0].sampler, sample_steps=points[0].sample_steps)
    metrics = [name for name in METRICS if len(points.where(metric=name).lengths()) > 1]
    if not metrics:
        raise NothingToShow("lengths figure: quality was measured at one length only; vary length")
    references = reference_points(frame)
    arms = {arm: look for arm, look in looks(arm_order(frame)).items() if points.where(arm=arm)}
    columns = 2
    with figure_style(width):
        figure = new_figure(width, -(-len(metrics) // columns) * (1.5 if is_narrow(width) else 1.9) + 0.45)
        for axis, metric in zip(panels(figure, len(metrics), columns), metrics, strict=True):
            mine = points.where(metric=metric)
            levels = _reference_lines(axis, references, metric, mine)
            for place, (arm, look) in enumerate(arms.items()):
                _arm_line(axis, mine.where(arm=arm), look, 2 ** (0.06 * (place - (len(arms) - 1) / 2)))
            _limits(axis, [*levels, *(point.value for point in mine)])
            axis.set_xscale("log", base=2)
            tick_lengths(axis, mine.lengths())
            axis.set_title(quantity_of(metric).label)
            tidy_axes(axis)
        legend_below(figure, [*arm_handles(arms), *reference_handles(references, SHOWN)], width)
    return figure


def _arm_line(axis: Axes, points: Points, look: Look, shift: float) -> None:
    """One arm's means with their intervals, or seeds where those are few, moved sideways by `shift` so that they lie
    beside each other."""
    done = sorted((point for point in points if point.length), key=lambda point: point.length or 0)
    xs = [(point.length or 0) * shift for point in done]
    axis.plot(xs, [point.value for point in done], color=look.colour, marker=look.marker, linestyle=look.dashes)
    over_seeds = [(x, point) for x, point in zip(xs, done, strict=True) if point.interval == "seeds"]
    spreads = [Spread(x, point.value, point.low, point.high, dots_of(point, None)) for x, point in over_seeds]
    draw_spreads(axis, spreads, look.colour)


def _reference_lines(axis: Axes, references: Points, metric: str, points: Points) -> list[float]:
    """Ceiling and floor at the lengths of the points; the levels that were drawn."""
    levels = []
    for name in SHOWN:
        found = [(at, reference_point(references, name, metric, points[0].corpus, at)) for at in points.lengths()]
        known = [(at, point) for at, point in found if point is not None]
        values = [point.value for _, point in known]
        style: dict[str, Any] = {"linewidth": 0.9, "linestyle": REFERENCE_DASHES[name], "zorder": 1}
        axis.plot([at for at, _ in known], values, color=REFERENCE_COLOUR, **style)
        levels += values
        band = [(at, point) for at, point in known if point.has_interval]
        if name == "real-vs-real" and band:
            ends = [point.low for _, point in band], [point.high for _, point in band]
            axis.fill_between([at for at, _ in band], *ends, color="#bbbbbb", alpha=0.45, linewidth=0, zorder=0)
    return levels


def _limits(axis: Axes, shown: list[float]) -> None:
    """Room for every mean and every reference line; long intervals of few seeds are cut at the edge."""
    margin = 0.5 * (max(shown) - min(shown)) or 0.05
    axis.set_ylim(min(shown) - margin, max(shown) + margin)
