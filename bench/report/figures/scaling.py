"""How cost grows with length, arm against baseline: the ratio at each length and where the two cost the same."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from bench.report.arms import Look, arm_order, looks
from bench.report.figures.cost import length_axis
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
from bench.report.metric_words import SHORT_COST_LABELS
from bench.report.points import Points, cost_points
from bench.report.provenance import baseline_arm
from bench.report.scaling import cost_ratio, meeting_length

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

METRICS = ("step_latency", "train_step_latency", "peak_memory_inference", "peak_memory_training", "forward_gflops")


def scaling_figure(frame: pd.DataFrame, folder: Path, *, width: float = DOUBLE_COLUMN_IN) -> Figure:
    """Cost of each arm as a multiple of the baseline arm's, against length; below 1 the arm is cheaper. A thin diamond
    on the line at 1 marks the length at which the two cost the same, where that lies between measured lengths.

    Raises NothingToShow where the baseline or every other arm was not measured at two lengths.
    """
    baseline = baseline_arm(folder, frame)
    points = cost_points(frame).where(metric=METRICS).measured()
    metrics = [metric for metric in METRICS if _lines(points.where(metric=metric), baseline)]
    if not metrics:
        raise NothingToShow(f"scaling figure: no arm was measured beside {baseline or 'a baseline'} at two lengths")
    arms = {arm: look for arm, look in looks(arm_order(frame)).items() if points.where(arm=arm) and arm != baseline}
    columns = min(len(metrics), 2 if is_narrow(width) else 3)
    rows = -(-len(metrics) // columns)
    with figure_style(width):
        figure = new_figure(width, rows * (1.5 if is_narrow(width) else 1.8) + 0.35)
        for axis, metric in zip(panels(figure, len(metrics), columns), metrics, strict=True):
            _ratio_panel(axis, points.where(metric=metric), arms, baseline, folder)
            axis.set_title(SHORT_COST_LABELS[metric].split(" [")[0])
        figure.supylabel(f"multiple of {baseline}", fontsize="medium")
        legend_below(figure, arm_handles(arms), width)
    return figure


def _lines(points: Points, baseline: str) -> bool:
    at = set(points.where(arm=baseline).lengths())
    return any(len(at & set(points.where(arm=arm).lengths())) > 1 for arm in points.distinct("arm") if arm != baseline)


def _ratio_panel(axis: Axes, points: Points, arms: dict[str, Look], baseline: str, folder: Path) -> None:
    shown = [1.0]
    for arm, look in arms.items():
        ratios = [(p.length, cost_ratio(p, points, baseline, folder)) for p in points.where(arm=arm) if p.length]
        known = sorted((length, ratio) for length, ratio in ratios if ratio is not None)
        if not known:
            continue
        xs, values = [length for length, _ in known], [ratio.value for _, ratio in known]
        shown += values
        axis.plot(xs, values, color=look.colour, marker=look.marker, linestyle=look.dashes, zorder=3)
        for length, ratio in known:
            if ratio.low == ratio.low:
                ends = [[ratio.value - ratio.low], [ratio.high - ratio.value]]
                axis.errorbar([length], [ratio.value], yerr=ends, fmt="none", ecolor=look.colour, capsize=1.8)
        meeting = meeting_length(points, arm, baseline, folder)
        if meeting is not None and meeting.length == meeting.length:
            axis.plot(
                [meeting.length], [1], marker="d", markersize=6, color=look.colour, markerfacecolor="white", zorder=4
            )
    axis.axhline(1, color=REFERENCE_COLOUR, linewidth=0.9, zorder=1)
    length_axis(axis, points.lengths())
    axis.set_yscale("linear")
    margin = 0.2 * (max(shown) - min(shown)) or 0.1
    axis.set_ylim(max(0.0, min(shown) - margin), max(shown) + margin)
    tidy_axes(axis)
