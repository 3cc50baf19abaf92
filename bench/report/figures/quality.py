"""Overlapping areas by arm, between the ceiling of real music and the floors."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from bench.report.figures.figure import figure
from bench.report.figures.marks import draw_by_arm, reference_handles, reference_levels
from bench.report.figures.style import NothingToShow, arm_handles, drawn_arms, is_narrow, legend_below, panel_grid
from bench.report.rows.frame import QUALITY
from bench.report.rows.summaries import Group, quality_group, quality_summaries, reference_summaries
from metrics.headlines import OVERLAPS
from metrics.music.table import REFERENCE_SETS
from metrics.quantities import quantity_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_GROUPS = 6  # rows of panels; more fill pages


@figure(
    "quality",
    "Overlapping area by backbone",
    needs=QUALITY,
    caption="Overlap with held-out music, 1 is identical. Marker: mean over seeds; small dots: the seeds; line: 95 % "
    "interval over seeds; a cross: no figure. Grey line and band: real against real music (the ceiling); broken "
    "lines: the floors.",
)
def quality_figure(frame: pd.DataFrame, folder: Path, width: float) -> Figure:
    """OA of each attribute by arm; a row of panels for each corpus, length, sampler and T."""
    references = reference_summaries(frame)
    summaries = quality_summaries(frame).where(metric=OVERLAPS)
    if not summaries.measured():
        raise NothingToShow("quality figure: the table has no measured oa_* row")
    arms = drawn_arms(frame, summaries)
    metrics = [metric for metric in OVERLAPS if summaries.where(metric=metric)]
    groups = summaries.groups(quality_group)
    if len(groups) > MOST_GROUPS:
        raise NothingToShow(f"quality figure: {len(groups)} settings of sampler and T; the nfe figure shows them")
    most, row_in = (3, 1.35) if is_narrow(width) else (5, 1.7)
    columns = min(len(metrics), most)
    each = columns * -(-len(metrics) // columns)  # panels of a group, empty ones included
    drawn, axes = panel_grid(width, len(groups) * each, columns, row_in, 0.75, sharey=True)
    for position, (group, part) in enumerate(groups):
        mine = axes[position * each : (position + 1) * each]
        for axis, metric in zip(mine, metrics, strict=False):
            draw_by_arm(axis, part.where(metric=metric), arms, bounds=quantity_of(metric).bounds)
            reference_levels(axis, references, metric, group[0], group[1], REFERENCE_SETS)
            axis.set_title(quantity_of(metric).short.replace("\n", " "))
            axis.set_ylim(-0.02, 1.02)
        for axis in mine[::columns]:
            axis.set_ylabel(_side_label(group, len(groups)))
        for axis in mine[len(metrics) :]:
            axis.set_axis_off()
    handles = arm_handles(arms, lines=False)
    legend_below(drawn, [*handles, *reference_handles(references, REFERENCE_SETS)])
    return drawn


def _side_label(group: Group, groups: int) -> str:
    if groups == 1:
        return "overlapping area"
    corpus, length, _, steps = group
    second = [] if length is None else [f"L={length}"]
    second += [] if steps is None else [f"T={steps}"]
    return "\n".join(words for words in (f"OA {corpus}".strip(), " ".join(second)) if words)
