"""Measures in windows from the beginning of a piece to its end, beside real music."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from bench.report.analysis.windows import REAL, Course, courses
from bench.report.figures.data import state_moved
from bench.report.figures.figure import figure
from bench.report.figures.marks import BAND, FEWEST_SAMPLES, REFERENCE_COLOUR
from bench.report.figures.style import NothingToShow, arm_handles, is_narrow, legend_below, panel_grid
from bench.report.rows.arms import Look, looks_of
from bench.report.rows.frame import QUALITY
from metrics.music.drift import HOP_BEATS, WINDOWED
from metrics.statistics.intervals import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WINDOWS_MARKED = 12
"""Windows of a line that have a marker and a bar; of a longer line every second, third ... window has them."""
WIDEST_SHIFT = 0.5
"""Share of the distance between marked windows over which the arms are spread, so that bars lie side by side."""


@figure(
    "along",
    "From the beginning of a piece to its end",
    needs=QUALITY,
    caption="Windows of 16 beats; mean over the songs of an arm, bars: 95 % interval over songs where five or more "
    "reach a window; arms stand a little beside each other. Distance: one less the overlap of the window with "
    "the same window of the real pieces. Grey: real pieces, each against the others.",
)
def along_figure(frame: pd.DataFrame, folder: Path, width: float) -> Figure:
    """Distance to real music and sounding pitches along the piece; needs samples of two windows beside real pieces."""
    from matplotlib.lines import Line2D

    found = [course for course in courses(frame, folder) if len(course.beats) > 1]
    if not any(course.arm != REAL for course in found):
        raise NothingToShow("along figure: no arm left samples of two windows (24 beats) beside real ones")
    arms = {arm: look for arm, look in looks_of(frame).items() if any(one.arm == arm for one in found)}
    measures = [measure for measure in WINDOWED if any(one.measure == measure for one in found)]
    columns, row_in = (1, 1.6) if is_narrow(width) else (len(measures), 2.2)
    drawn, axes = panel_grid(width, len(measures), columns, row_in)
    for axis, measure in zip(axes, measures, strict=True):
        mine = [one for one in found if one.measure == measure]
        every = -(-max(len(one.beats) for one in mine) // WINDOWS_MARKED)
        places = {arm: (place - (len(arms) - 1) / 2) / len(arms) for place, arm in enumerate(arms)}
        for course in (one for one in mine if one.arm != REAL):
            _arm_line(axis, course, arms[course.arm], every, places[course.arm])
        for course in (one for one in mine if one.arm == REAL):
            _real_line(axis, course)
        axis.set_title(WINDOWED[measure])
        axis.set_xlabel("beats from the beginning")
    real = Line2D([], [], color=REFERENCE_COLOUR, linewidth=1.0, label=REAL)
    legend_below(drawn, [*arm_handles(arms), real])
    return drawn


def _real_line(axis: Axes, course: Course) -> None:
    style = {"color": REFERENCE_COLOUR, "linewidth": 1.0, "zorder": 2}
    axis.plot(course.beats, [mean.value for mean in course.means], label=REAL, **style)  # type: ignore[arg-type]
    low, high = zip(*map(_ends, course.means), strict=True)
    axis.fill_between(course.beats, low, high, **BAND)


def _arm_line(axis: Axes, course: Course, look: Look, every: int, place: float) -> None:
    """One arm's means, a marker and a bar at every `every`th window; `place` from -0.5 to 0.5 moves them sideways."""
    shift = place * WIDEST_SHIFT * every * HOP_BEATS
    beats = [beat + shift for beat in course.beats]
    state_moved(axis, look.name, plus=shift)
    values = [mean.value for mean in course.means]
    axis.plot(beats, values, markersize=3, markevery=every, zorder=3, **look.line)
    for beat, mean in list(zip(beats, course.means, strict=True))[::every]:
        low, high = _ends(mean)
        axis.vlines([beat], [low], [high], linewidth=0.8, alpha=0.7, zorder=2, **look.ink)


def _ends(mean: Interval) -> tuple[float, float]:
    """The interval over songs, NaN where only few songs reach a window."""
    return (mean.low, mean.high) if mean.n >= FEWEST_SAMPLES else (math.nan, math.nan)
