"""How cost grows with length, arm against baseline: the ratio at each length and where the two cost the same."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from bench.report.analysis.aggregate import EXACT, first_setting
from bench.report.analysis.growth import cost_ratio, meeting_length, round_ratios
from bench.report.analysis.patterns import patterns_of
from bench.report.figures.cost import NARROW_COSTS
from bench.report.figures.families import FAMILY_TICKS, MOST_LINES, draw_faint, family_grid
from bench.report.figures.marks import (
    FEWEST_SAMPLES,
    MANY_ARMS,
    MOST_TICKS,
    Spread,
    draw_spreads,
    length_axis,
    shift_of,
)
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
    tidy_axes,
)
from bench.report.rows.arms import Look, arm_order, looks
from bench.report.rows.points import Point, Points, cost_points
from bench.report.rows.study import baseline_arm
from metrics.headlines import GROWING
from metrics.quantities import quantity_of
from metrics.statistics import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def scaling_figure(frame: pd.DataFrame, folder: Path, *, width: float = DOUBLE_COLUMN_IN) -> Figure:
    """Cost of each arm as a multiple of the baseline arm's, against length; below 1 the arm is cheaper. A thin diamond
    on the line at 1 marks the length at which the two cost the same, where that lies between measured lengths.

    Raises NothingToShow where the baseline or every other arm was not measured at two lengths.
    """
    baseline = baseline_arm(folder, frame)
    points = first_setting(cost_points(frame).where(metric=GROWING).measured())
    metrics = [metric for metric in GROWING if _lines(points.where(metric=metric), baseline)]
    if not metrics:
        raise NothingToShow(f"scaling figure: no arm was measured beside {baseline or 'a baseline'} at two lengths")
    arms = {arm: look for arm, look in looks(arm_order(frame)).items() if points.where(arm=arm) and arm != baseline}
    if len(arms) > MOST_LINES:
        return _by_family(points, metrics, arms, baseline, frame, folder, width)
    columns = min(len(metrics), 2 if is_narrow(width) else 3)
    rows = -(-len(metrics) // columns)
    with figure_style(width):
        figure = new_figure(width, rows * (1.5 if is_narrow(width) else 1.8) + 0.35)
        for axis, metric in zip(panels(figure, len(metrics), columns), metrics, strict=True):
            ticks = 4 if is_narrow(width) else MOST_TICKS
            _limits(axis, _ratio_panel(axis, points.where(metric=metric), arms, baseline, folder, ticks))
            axis.set_title(quantity_of(metric).short)
        figure.supylabel(f"multiple of {baseline}", fontsize="medium")
        legend_below(figure, arm_handles(arms), width)
    return figure


def _by_family(
    points: Points,
    metrics: list[str],
    arms: dict[str, Look],
    baseline: str,
    frame: pd.DataFrame,
    folder: Path,
    width: float,
) -> Figure:
    def panel(axis: Axes, metric: str, shown: dict[str, Look], others: list[str]) -> None:
        rows = points.where(metric=metric)
        lines = [ratios_by_length(rows, arm, baseline, folder) for arm in others]
        draw_faint(axis, [[(point.length or 0, ratio.value) for point, ratio in line] for line in lines])
        _limits(axis, _ratio_panel(axis, rows, shown, baseline, folder, FAMILY_TICKS))

    chosen = [metric for metric in metrics if metric in NARROW_COSTS] if is_narrow(width) else metrics
    labels = {metric: f"{quantity_of(metric).short} [{baseline} = 1]" for metric in chosen or metrics}
    return family_grid(labels, arms, patterns_of(frame), panel, width, one_scale=False)


def _lines(points: Points, baseline: str) -> bool:
    at = set(points.where(arm=baseline).lengths())
    return any(len(at & set(points.where(arm=arm).lengths())) > 1 for arm in points.distinct("arm") if arm != baseline)


def _ratio_panel(
    axis: Axes, points: Points, arms: dict[str, Look], baseline: str, folder: Path, ticks: int
) -> list[float]:
    """Draws the ratios of these arms; their values."""
    shown, lengths, exact = [], points.lengths(), points[0].metric in EXACT
    for place, (arm, look) in enumerate(arms.items()):
        shift = 1.0 if exact else shift_of(place, len(arms), lengths)
        known = ratios_by_length(points, arm, baseline, folder)
        if not known:
            continue
        values = [ratio.value for _, ratio in known]
        shown += values
        xs = [(point.length or 0) * shift for point, _ in known]
        axis.plot(xs, values, color=look.colour, marker=look.marker, linestyle=look.dashes, zorder=3)
        spreads = []
        for x, (point, ratio) in zip(xs, known, strict=True) if not exact else ():
            dots = round_ratios(point, points, baseline, folder) if ratio.n < FEWEST_SAMPLES else None
            spreads.append(Spread(x, ratio.value, ratio.low, ratio.high, dots))
        draw_spreads(axis, spreads, look.colour, thin=len(arms) >= MANY_ARMS)
        meeting = meeting_length(points, arm, baseline, folder)
        if meeting is not None and meeting.length == meeting.length:
            axis.plot(
                [meeting.length], [1], marker="d", markersize=6, color=look.colour, markerfacecolor="white", zorder=4
            )
    axis.axhline(1, color=REFERENCE_COLOUR, linewidth=0.9, zorder=1)
    length_axis(axis, lengths, ticks)
    axis.set_yscale("linear")
    tidy_axes(axis)
    return shown


def ratios_by_length(points: Points, arm: str, baseline: str, folder: Path | None) -> list[tuple[Point, Interval]]:
    """The arm's points with their ratios to the baseline, from short to long, as far as they can be compared."""
    mine = sorted((point for point in points.where(arm=arm) if point.length), key=lambda point: point.length or 0)
    ratios = [(point, cost_ratio(point, points, baseline, folder)) for point in mine]
    return [(point, ratio) for point, ratio in ratios if ratio is not None]


def _limits(axis: Axes, shown: list[float]) -> None:
    """Room for every ratio and the line at 1; long intervals are cut at the edge."""
    low, high = min([1.0, *shown]), max([1.0, *shown])
    margin = 0.2 * (high - low) or 0.1
    axis.set_ylim(max(0.0, low - margin), high + margin)
