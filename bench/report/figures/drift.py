"""Drift along the piece: how much measures change from beginning to end, beyond what real music does."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from bench.report.figures.quality import draw_by_arm
from bench.report.figures.style import (
    DOUBLE_COLUMN_IN,
    REFERENCE_COLOUR,
    NothingToShow,
    figure_style,
    is_narrow,
    legend_below,
    marker_handles,
    new_figure,
    panels,
)
from bench.report.rows.arms import arm_order, looks
from bench.report.rows.points import quality_group, quality_points
from metrics.music.drift import DRIFT
from metrics.quantities import quantity_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def drift_figure(frame: pd.DataFrame, folder: Path, *, width: float = DOUBLE_COLUMN_IN) -> Figure:
    """Change from beginning to end of a piece less that of real music, by arm: mean over seeds, seeds and interval.
    At 0 the music changes as much as real music does. The first corpus, length and sampler of the table.

    Raises NothingToShow without a measured drift row.
    """
    points = quality_points(frame).where(metric=list(DRIFT.values())).measured()
    if not points:
        raise NothingToShow("drift figure: the table has no measured drift row")
    points = points.groups(quality_group)[0][1]
    drawn = {arm: look for arm, look in looks(arm_order(frame)).items() if points.where(arm=arm)}
    metrics = [metric for metric in DRIFT.values() if points.where(metric=metric)]
    with figure_style(width):
        figure = new_figure(width, 2.1)
        for axis, metric in zip(panels(figure, len(metrics), len(metrics)), metrics, strict=True):
            mine = points.where(metric=metric)
            draw_by_arm(axis, mine, drawn)
            axis.axhline(0, color=REFERENCE_COLOUR, linewidth=0.9, zorder=1)
            values = [0.0, *(value for point in mine for value in point.values if value == value)]
            margin = 0.3 * (max(values) - min(values)) or 0.1
            axis.set_ylim(min(values) - margin, max(values) + margin)
            label = quantity_of(metric).short
            axis.set_title(textwrap.fill(label, 12) if is_narrow(width) else label)
            axis.locator_params(axis="y", nbins=5)
        legend_below(figure, marker_handles(drawn), width)
    return figure
