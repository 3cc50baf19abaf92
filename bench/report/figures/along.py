"""Drift over windows: how a measure goes from the beginning of a piece to its end, beside real music."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from bench.report.along import REAL, Course, courses
from bench.report.arms import Look, arm_order, looks
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

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LABELS = {"oa": "distance to real music", "density": "sounding pitches"}
MOST_BARS = 3  # windows between two interval bars of a line


def along_figure(frame: pd.DataFrame, folder: Path, *, width: float = DOUBLE_COLUMN_IN) -> Figure:
    """Distance to real music and sounding pitches in windows of 16 beats along the piece: mean over the pieces of an
    arm, bars and band its 95 % interval over pieces. Real music (grey) is held against the other real pieces.

    Raises NothingToShow where the samples or the real pieces beside them are missing or too short.
    """
    found = [course for course in courses(frame, folder) if len(course.beats) > 1]
    if not any(course.arm != REAL for course in found):
        raise NothingToShow("along figure: no arm left samples of two windows (24 beats) beside real ones")
    arms = {arm: look for arm, look in looks(arm_order(frame)).items() if any(one.arm == arm for one in found)}
    measures = [measure for measure in LABELS if any(one.measure == measure for one in found)]
    with figure_style(width):
        columns = 1 if is_narrow(width) else len(measures)
        figure = new_figure(width, (1.6 * len(measures) if is_narrow(width) else 2.2) + 0.35)
        for axis, measure in zip(panels(figure, len(measures), columns), measures, strict=True):
            for place, course in enumerate(one for one in found if one.measure == measure):
                _line(axis, course, arms.get(course.arm), place)
            axis.set_title(LABELS[measure])
            axis.set_xlabel("beats from the beginning")
            tidy_axes(axis)
        legend_below(figure, [*arm_handles(arms), _real_handle()], width)
    return figure


def _line(axis: Axes, course: Course, look: Look | None, place: int) -> None:
    values = [mean.value for mean in course.means]
    if look is None:
        axis.plot(course.beats, values, color=REFERENCE_COLOUR, linewidth=1.0, zorder=2)
        ends = [mean.low for mean in course.means], [mean.high for mean in course.means]
        axis.fill_between(course.beats, *ends, color="#bbbbbb", alpha=0.45, linewidth=0, zorder=0)
        return
    style: dict[str, Any] = {"marker": look.marker, "linestyle": look.dashes, "markersize": 3, "markevery": MOST_BARS}
    axis.plot(course.beats, values, color=look.colour, zorder=3, **style)
    for index in range(place % MOST_BARS, len(values), MOST_BARS):
        mean, beat = course.means[index], course.beats[index]
        axis.plot([beat, beat], [mean.low, mean.high], color=look.colour, linewidth=0.8, alpha=0.7, zorder=2)


def _real_handle() -> Any:
    from matplotlib.lines import Line2D

    return Line2D([], [], color=REFERENCE_COLOUR, linewidth=1.0, label=REAL)
