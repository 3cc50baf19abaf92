"""Small multiples for more arms than one panel can show: a row a measure, a column a family of arms."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bench.glyphs import labels_of
from bench.report.analysis.patterns import families
from bench.report.figures.axes import few_decade_ticks
from bench.report.figures.style import arm_handles, is_narrow, new_figure, tidy_axes
from bench.report.rows.arms import Look
from metrics.cost.quantities import FORWARD_GFLOPS, PEAK_MEMORY_TRAINING, STEP_LATENCY

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_LINES = 8
"""Lines that can be distinguished in one panel."""
FAMILY_TICKS = 3
"""Lengths with a number under one of its panels."""
FAINT: dict[str, Any] = {"colors": "#d4d4d4", "linewidths": 0.6, "zorder": 0}
"""Arms of other families, for comparison."""
LONGEST_NAME = 18
NARROW_COSTS = (STEP_LATENCY, PEAK_MEMORY_TRAINING, FORWARD_GFLOPS)
"""What one column shows of many arms; six rows of panels would not fit a page."""
ROW_IN, NARROW_ROW_IN, LEGEND_LINE_IN, NARROW_LINE_IN = 1.25, 1.2, 0.16, 0.14
Panel = Callable[["Axes", str, dict[str, Look], list[str]], None]


def family_grid(
    labels: Mapping[str, str],
    arms: dict[str, Look],
    patterns: Mapping[str, str],
    panel: Panel,
    width: float,
    *,
    one_scale: bool = True,
    x_label: str = "length [tokens]",
) -> Figure:
    """A panel for each measure of `labels` and each family; `panel(axis, measure, looks, other arms)` draws it.

    one_scale: panels of one measure have the same scale; else each has numbers of its own. In one column there are
    the measures of `NARROW_COSTS` only, and two families stand side by side, the others below them.
    """

    lines_of = dict(zip(arms, map(wrapped, labels_of(list(arms), 2 * LONGEST_NAME - 2)), strict=True))

    def column(axes: Any, title: str, members: list[str], first: bool) -> None:
        """One family from top to bottom, its legend last."""
        shown = {arm: arms[arm] for arm in members}
        for axis, measure in zip(axes, measures, strict=False):
            tidy_axes(axis)
            panel(axis, measure, shown, [arm for arm in arms if arm not in shown])
            axis.set_title(title if measure == measures[0] else "")
            axis.set_ylabel(labels[measure].replace(" [", "\n[") if first else "")
            axis.tick_params(labelleft=first or not one_scale, labelbottom=measure == measures[-1])
            axis.set_xlabel(x_label if measure == measures[-1] else "")
        handles = arm_handles({lines_of[arm]: look for arm, look in shown.items()})
        legend = axes[-1].legend(handles=handles, loc="upper center", handlelength=1.6, borderaxespad=0)
        legend.set_in_layout(False)  # a long name shall not make its column wider than the others

    groups = families(arms, patterns)
    narrow = is_narrow(width)
    measures = [one for one in labels if not narrow or one in NARROW_COSTS] or list(labels)
    columns = min(len(groups), 2 if narrow else 5)
    bands = [groups[start : start + columns] for start in range(0, len(groups), columns)]
    heights = [_heights(len(measures), band, lines_of, narrow) for band in bands]
    figure = new_figure(width, sum(map(sum, heights)) + 0.1)
    parts = figure.subfigures(len(bands), 1, height_ratios=[sum(one) for one in heights], squeeze=False)
    for part, band, height in zip(parts[:, 0], bands, heights, strict=True):
        grid = part.subplots(len(height), columns, squeeze=False, gridspec_kw={"height_ratios": height})
        for place, family in enumerate(band):
            column(grid[:, place], *family, first=place == 0)
        for axis in (*grid[-1], *grid[:, len(band) :].flat):  # places of legends, and of families that there are not
            axis.set_axis_off()
        for row in grid[:-1] if one_scale else ():
            _share_scale(row[: len(band)])
    return figure


def _heights(
    measures: int, band: list[tuple[str, list[str]]], lines_of: Mapping[str, str], narrow: bool
) -> list[float]:
    """Inches of each row of panels and of the row of legends under them."""
    most = max(sum(1 + lines_of[arm].count("\n") for arm in members) for _, members in band)
    return [NARROW_ROW_IN if narrow else ROW_IN] * measures + [
        (NARROW_LINE_IN if narrow else LEGEND_LINE_IN) * most + 0.25
    ]


def wrapped(label: str) -> str:
    """A label in lines that fit under a panel."""
    from rich.cells import cell_len, chop_cells

    if cell_len(label) > len(label):  # letters of two columns, which stand without spaces
        return "\n".join(chop_cells(label, LONGEST_NAME))
    return textwrap.fill(label, LONGEST_NAME)


def draw_faint(axis: Axes, lines: Sequence[Sequence[tuple[float, float]]]) -> None:
    """Lines of (length, value) for comparison, behind everything else."""
    from matplotlib.collections import LineCollection

    axis.add_collection(LineCollection([line for line in lines if len(line) > 1], **FAINT), autolim=False)


def _share_scale(axes: Any) -> None:
    low = min(axis.get_ylim()[0] for axis in axes)
    high = max(axis.get_ylim()[1] for axis in axes)
    for axis in axes:
        axis.set_ylim(low, high)
        if axis.get_yscale() == "log":
            few_decade_ticks(axis)
