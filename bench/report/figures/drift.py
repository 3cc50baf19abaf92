"""Drift along the piece: change of measures from beginning to end, less that of real music."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from bench.report.figures.axes import limits_around
from bench.report.figures.figure import figure
from bench.report.figures.marks import draw_by_arm, reference_line
from bench.report.figures.style import NothingToShow, arm_handles, drawn_arms, is_narrow, legend_below, panel_grid
from bench.report.rows.frame import QUALITY
from bench.report.rows.summaries import quality_group, quality_summaries
from metrics.music.drift import DRIFT
from metrics.quantities import quantity_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@figure(
    "drift",
    "Drift along the piece",
    needs=QUALITY,
    panels=[list(DRIFT.values())],
    caption="Change from beginning to end of a piece, less that of real music; 0 is as real music does. Marker: mean "
    "over seeds; small dots: the seeds; line: 95 % interval over seeds.",
)
def drift_figure(frame: pd.DataFrame, folder: Path, width: float) -> Figure:
    """A panel a measure; the first corpus, length and sampler of the table."""
    summaries = quality_summaries(frame).where(metric=list(DRIFT.values())).measured()
    if not summaries:
        raise NothingToShow("drift figure: the table has no measured drift row")
    summaries = summaries.groups(quality_group)[0][1]
    arms = drawn_arms(frame, summaries)
    metrics = [metric for metric in DRIFT.values() if summaries.where(metric=metric)]
    drawn, axes = panel_grid(width, len(metrics), len(metrics), 2.1, 0)
    for axis, metric in zip(axes, metrics, strict=True):
        mine = summaries.where(metric=metric)
        draw_by_arm(axis, mine, arms)
        reference_line(axis, 0)
        axis.set_ylim(limits_around([0.0, *(value for one in mine for value in one.values)], 0.3, 0.1))
        label = quantity_of(metric).short
        axis.set_title(textwrap.fill(label, 12) if is_narrow(width) else label)
        axis.locator_params(axis="y", nbins=5)
    legend_below(drawn, arm_handles(arms, lines=False))
    return drawn
