"""Drift over windows: how a measure goes from the beginning of a piece to its end, beside real music."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from bench.report.analysis.windows import REAL, Course, courses
from bench.report.figures.marks import FEWEST_SAMPLES
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
from metrics.music.drift import HOP_BEATS, WINDOWED
from metrics.statistics import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WINDOWS_MARKED = 12
"""Windows of a line that have a marker and a bar; of a longer line every second, third ... window has them."""
WIDEST_SHIFT = 0.5
"""Share of the distance between marked windows over which the arms are spread, so that bars lie side by side."""


def along_figure(frame: pd.DataFrame, folder: Path, *, width: float = DOUBLE_COLUMN_IN) -> Figure:
    """Distance to real music and sounding pitches in windows of 16 beats along the piece: mean over the pieces of an
    arm, bars and band its 95 % interval over pieces where five or more reach a window. Real music (grey) is held
    against the other real pieces.

    Raises NothingToShow where the samples or the real pieces beside them are missing or too short.
    """
    found = [course for course in courses(frame, folder) if len(course.beats) > 1]
    if not any(course.arm != REAL for course in found):
        raise NothingToShow("along figure: no arm left samples of two windows (24 beats) beside real ones")
    arms = {arm: look for arm, look in looks(arm_order(frame)).items() if any(one.arm == arm for one in found)}
    measures = [measure for measure in WINDOWED if any(one.measure == measure for one in found)]
    with figure_style(width):
        columns = 1 if is_narrow(width) else len(measures)
        figure = new_figure(width, (1.6 * len(measures) if is_narrow(width) else 2.2) + 0.35)
        for axis, measure in zip(panels(figure, len(measures), columns), measures, strict=True):
            mine = [one for one in found if one.measure == measure]
            every = -(-max(len(one.beats) for one in mine) // WINDOWS_MARKED)
            places = {arm: (place - (len(arms) - 1) / 2) / len(arms) for place, arm in enumerate(arms)}
            for course in (one for one in mine if one.arm != REAL):
                _arm_line(axis, course, arms[course.arm], every, places[course.arm])
            for course in (one for one in mine if one.arm == REAL):
                _real_line(axis, course)
            axis.set_title(WINDOWED[measure])
            axis.set_xlabel("beats from the beginning")
            tidy_axes(axis)
        legend_below(figure, [*arm_handles(arms), _real_handle()], width)
    return figure


def _real_line(axis: Axes, course: Course) -> None:
    axis.plot(course.beats, [mean.value for mean in course.means], color=REFERENCE_COLOUR, linewidth=1.0, zorder=2)
    low, high = zip(*map(_ends, course.means), strict=True)
    axis.fill_between(course.beats, low, high, color="#bbbbbb", alpha=0.45, linewidth=0, zorder=0)


def _arm_line(axis: Axes, course: Course, look: Look, every: int, place: float) -> None:
    """One arm's means, a marker and a bar at every `every`th window; `place` from -0.5 to 0.5 moves them sideways."""
    shift = place * WIDEST_SHIFT * every * HOP_BEATS
    beats = [beat + shift for beat in course.beats]
    style: dict[str, Any] = {"marker": look.marker, "linestyle": look.dashes, "markersize": 3, "markevery": every}
    axis.plot(beats, [mean.value for mean in course.means], color=look.colour, zorder=3, **style)
    for beat, mean in list(zip(beats, course.means, strict=True))[::every]:
        axis.plot([beat, beat], _ends(mean), color=look.colour, linewidth=0.8, alpha=0.7, zorder=2)


def _ends(mean: Interval) -> tuple[float, float]:
    """The interval over pieces, NaN where only few pieces reach a window."""
    return (mean.low, mean.high) if mean.n >= FEWEST_SAMPLES else (math.nan, math.nan)


def _real_handle() -> Any:
    from matplotlib.lines import Line2D

    return Line2D([], [], color=REFERENCE_COLOUR, linewidth=1.0, label=REAL)
