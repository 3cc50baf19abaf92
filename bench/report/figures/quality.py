"""Scores of the music by arm, between the ceiling of real music and the floors: headline distances, and overlaps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from bench.report.figures.figure import figure
from bench.report.figures.marks import draw_by_arm, reference_handles, reference_levels
from bench.report.figures.style import NothingToShow, arm_handles, drawn_arms, is_narrow, legend_below, panel_grid
from bench.report.rows.frame import QUALITY
from bench.report.rows.summaries import Group, quality_group, quality_summaries, reference_summaries
from metrics.headlines import DISTANCES, OVERLAPS
from metrics.music.table import REFERENCE_SETS
from metrics.quantities import quantity_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_GROUPS = 6  # rows of panels; more fill pages


CAPTION = (
    "Marker: mean over seeds; small dots: the seeds; line: 95 % interval over seeds; a cross: no figure. Grey line and "
    "band: real against real music (the ceiling); broken lines: the floors."
)


@figure(
    "distances",
    "Distance from real music by backbone",
    needs=QUALITY,
    panels=[DISTANCES],
    caption=f"Scores that see the order of notes, each on a scale of its own; the ceiling is the aim. {CAPTION}",
)
def distances_figure(frame: pd.DataFrame, folder: Path, width: float) -> Figure:
    """Kernel distance, nearest-neighbour accuracy and structure error by arm."""
    return _scores_by_arm("distances", frame, width, DISTANCES)


@figure(
    "quality",
    "Overlapping area by backbone",
    needs=QUALITY,
    panels=[OVERLAPS],
    caption=f"Overlap with held-out music, 1 is identical; for comparison with papers. {CAPTION}",
)
def quality_figure(frame: pd.DataFrame, folder: Path, width: float) -> Figure:
    """OA of each attribute by arm."""
    return _scores_by_arm("quality", frame, width, OVERLAPS, limits=(-0.02, 1.02), label="overlapping area", short="OA")


def _scores_by_arm(
    name: str,
    frame: pd.DataFrame,
    width: float,
    wanted: Sequence[str],
    *,
    limits: tuple[float, float] | None = None,
    label: str = "",
    short: str = "",
) -> Figure:
    """A panel for each metric, a row of panels for each corpus, length, sampler and T; on one scale of `limits`, which
    `label` names (`short` beside a setting), or each on its own."""
    references = reference_summaries(frame)
    summaries = quality_summaries(frame).where(metric=wanted)
    if not summaries.measured():
        raise NothingToShow(f"{name} figure: the table has no measured {' or '.join(wanted)} row")
    arms = drawn_arms(frame, summaries)
    metrics = [metric for metric in wanted if summaries.where(metric=metric)]
    groups = summaries.groups(quality_group)
    if len(groups) > MOST_GROUPS:
        raise NothingToShow(f"{name} figure: {len(groups)} settings of sampler and T; the nfe figure shows them")
    most, row_in = (3, 1.35) if is_narrow(width) else (5, 1.7)
    columns = min(len(metrics), most)
    each = columns * -(-len(metrics) // columns)  # panels of a group, empty ones included
    drawn, axes = panel_grid(width, len(groups) * each, columns, row_in, 0.75, sharey=limits is not None)
    for position, (group, part) in enumerate(groups):
        mine = axes[position * each : (position + 1) * each]
        for axis, metric in zip(mine, metrics, strict=False):
            draw_by_arm(axis, part.where(metric=metric), arms, bounds=quantity_of(metric).bounds)
            reference_levels(axis, references, metric, group[0], group[1], REFERENCE_SETS)
            axis.set_title(quantity_of(metric).short.replace("\n", " "))
            if limits is not None:
                axis.set_ylim(*limits)
                axis.set_yticks((0.0, 0.25, 0.5, 0.75, 1.0))  # else they change as the panel is laid out
        for axis in mine[::columns]:
            axis.set_ylabel(label if len(groups) == 1 else _setting_label(group, short))
        for axis in mine[len(metrics) :]:
            axis.set_axis_off()
    handles = arm_handles(arms, lines=False)
    legend_below(drawn, [*handles, *reference_handles(references, REFERENCE_SETS)])
    return drawn


def _setting_label(group: Group, short: str) -> str:
    corpus, length, _, steps = group
    second = [] if length is None else [f"L={length}"]
    second += [] if steps is None else [f"T={steps}"]
    return "\n".join(words for words in (f"{short} {corpus}".strip(), " ".join(second)) if words)
