"""Quality by backbone: overlapping areas between ceiling and floors, and validation bits per token beside
its baselines."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from bench.report.analysis.aggregate import reference_point
from bench.report.figures.style import (
    DOUBLE_COLUMN_IN,
    REFERENCE_COLOUR,
    REFERENCE_DASHES,
    NothingToShow,
    figure_style,
    is_narrow,
    legend_below,
    marker_handles,
    new_figure,
    panels,
    reference_handles,
    tidy_axes,
)
from bench.report.rows.arms import Look, arm_order, looks
from bench.report.rows.points import Group, Points, quality_group, quality_points, reference_points
from metrics.cost.quantities import BITS
from metrics.headlines import OVERLAPS
from metrics.quantities import quantity_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CEILING_AND_FLOORS = ("real-vs-real", "shuffled", "unigram-tokens", "uniform-tokens")
MOST_GROUPS = 6  # rows of panels; more fill pages
BASELINES = ("grammar", "bigram")  # unigram is far above and would flatten the arms; the table has it


def quality_figure(frame: pd.DataFrame, folder: Path, *, width: float = DOUBLE_COLUMN_IN) -> Figure:
    """OA of each attribute by arm: mean over seeds with its interval, every seed as a small dot, the ceiling (real-
    vs-real) as a line in a band and the floors as broken lines. A row of panels for each corpus, length, sampler
    and T."""
    references = reference_points(frame)
    points = quality_points(frame).where(metric=OVERLAPS)
    if not points.measured():
        raise NothingToShow("quality figure: the table has no measured oa_* row")
    drawn = {arm: look for arm, look in looks(arm_order(frame)).items() if points.where(arm=arm)}
    metrics = [metric for metric in OVERLAPS if points.where(metric=metric)]
    groups = points.groups(quality_group)
    if len(groups) > MOST_GROUPS:
        raise NothingToShow(f"quality figure: {len(groups)} settings of sampler and T; the nfe figure shows them")
    columns = min(len(metrics), 3 if is_narrow(width) else 5)
    rows_each = -(-len(metrics) // columns)
    with figure_style(width):
        figure = new_figure(width, len(groups) * rows_each * (1.35 if is_narrow(width) else 1.7) + 0.75)
        axes = panels(figure, len(groups) * rows_each * columns, columns, sharey=True)
        for position, (group, part) in enumerate(groups):
            mine = axes[position * rows_each * columns : (position + 1) * rows_each * columns]
            for offset, axis in enumerate(mine):
                if offset >= len(metrics):
                    axis.set_axis_off()
                    continue
                _oa_panel(axis, part, references, drawn, metrics[offset], group)
                if offset % columns == 0:
                    axis.set_ylabel(_side_label(group, len(groups)))
        handles = [*marker_handles(drawn), *reference_handles(references, CEILING_AND_FLOORS)]
        legend_below(figure, handles, width)
    return figure


def _oa_panel(axis: Axes, points: Points, references: Points, arms: dict[str, Look], metric: str, group: Group) -> None:
    draw_by_arm(axis, points.where(metric=metric), arms, bounds=quantity_of(metric).bounds)
    _reference_lines(axis, references, metric, group[0], group[1], CEILING_AND_FLOORS)
    axis.set_title(quantity_of(metric).short.replace("\n", " "))
    axis.set_ylim(-0.02, 1.02)


def bits_figure(frame: pd.DataFrame, folder: Path, *, width: float = DOUBLE_COLUMN_IN) -> Figure:
    """Validation bits per token by arm beside the token baselines; lower is better, and above `grammar` nothing
    was learned."""
    references = reference_points(frame)
    points = quality_points(frame).where(metric=BITS).measured()
    if not points:
        raise NothingToShow(f"bits figure: the table has no measured {BITS} row")
    drawn = {arm: look for arm, look in looks(arm_order(frame)).items() if points.where(arm=arm)}
    groups = points.groups(lambda point: (point.corpus, point.length))
    with figure_style(width):
        figure = new_figure(width, 2.4)
        axes = panels(figure, len(groups), len(groups), sharey=True)
        for position, (axis, ((corpus, length), part)) in enumerate(zip(axes, groups, strict=True)):
            levels = _reference_lines(axis, references, BITS, corpus, length, BASELINES)
            shown = levels + [value for point in part for value in point.values if math.isfinite(value)]
            margin = max(0.12 * (max(shown) - min(shown)), 0.05)
            low, high = (min(shown) - margin, max(shown) + margin)
            if position:
                low, high = min(low, axes[0].get_ylim()[0]), max(high, axes[0].get_ylim()[1])
            axis.set_ylim(low, high)
            draw_by_arm(axis, part, drawn, names=True)
            axis.set_title(" ".join(word for word in (corpus, "" if length is None else f"L = {length}") if word))
            axis.set_ylabel("" if position else "validation [bits/token]")
        legend_below(figure, reference_handles(references, BASELINES), width)
    return figure


def draw_by_arm(
    axis: Axes,
    points: Points,
    arms: dict[str, Look],
    *,
    bounds: tuple[float, float] = (-math.inf, math.inf),
    names: bool = False,
) -> None:
    """Arms side by side: seeds as small dots, the mean as the arm's marker, its interval over seeds as a
    linewithin bounds."""
    for position, (arm, look) in enumerate(arms.items()):
        point = points.first(arm=arm)
        if point is None:
            continue
        if not point.measured:
            style: dict[str, Any] = {"marker": "x", "markersize": 4, "transform": axis.get_xaxis_transform()}
            axis.plot([position], [0.04], color=look.colour, **style)
            continue
        if point.interval == "seeds":
            ends = [max(point.low, bounds[0]), min(point.high, bounds[1])]
            axis.plot([position] * 2, ends, color=look.colour, linewidth=1.1, zorder=2)
        seeds = [value for value in point.values if math.isfinite(value)]
        dots: dict[str, Any] = {"linestyle": "none", "marker": ".", "markersize": 3, "alpha": 0.75}
        axis.plot([position + 0.24] * len(seeds), seeds, color=look.colour, zorder=3, **dots)
        edge: dict[str, Any] = {"markersize": 5, "markeredgecolor": "white", "markeredgewidth": 0.4}
        axis.plot([position], [point.value], marker=look.marker, color=look.colour, zorder=4, **edge)
    axis.set_xlim(-0.6, len(arms) - 0.4)
    labels = list(arms) if names else []
    figure: Any = axis.get_figure(root=True)
    slanted = sum(map(len, labels)) > 7 * figure.get_figwidth()
    axis.set_xticks(
        range(len(labels)),
        labels,
        rotation=25 if slanted else 0,
        ha="right" if slanted else "center",
        rotation_mode="anchor" if slanted else "default",
    )
    tidy_axes(axis)
    axis.grid(False, axis="x")


def _reference_lines(
    axis: Axes, references: Points, metric: str, corpus: str, length: int | None, names: Sequence[str]
) -> list[float]:
    """Lines of the reference rows, the ceiling with its band; the levels that were drawn."""
    levels = []
    for name in names:
        point = reference_point(references, name, metric, corpus, length)
        if point is None:
            continue
        style: dict[str, Any] = {
            "color": REFERENCE_COLOUR,
            "linestyle": REFERENCE_DASHES.get(name, ":"),
            "linewidth": 0.9,
        }
        axis.axhline(point.value, zorder=1, **style)
        if name == "real-vs-real" and point.has_interval:
            axis.axhspan(point.low, point.high, color="#bbbbbb", alpha=0.45, linewidth=0, zorder=0)
        levels.append(point.value)
    return levels


def _side_label(group: Group, groups: int) -> str:
    if groups == 1:
        return "overlapping area"
    corpus, length, _, steps = group
    second = [] if length is None else [f"L={length}"]
    second += [] if steps is None else [f"T={steps}"]
    return "\n".join(words for words in (f"OA {corpus}".strip(), " ".join(second)) if words)
