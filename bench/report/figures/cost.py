"""Cost against sequence length: latency, memory and GFLOPs of each arm on logarithmic axes, with intervals."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from bench.report.analysis.comparable import EXACT
from bench.report.analysis.growth import cost_exponent
from bench.report.analysis.patterns import patterns_of
from bench.report.figures.axes import MOST_TICKS, few_decade_ticks, length_axis
from bench.report.figures.data import state_moved
from bench.report.figures.families import FAMILY_TICKS, MOST_LINES, draw_faint, family_grid
from bench.report.figures.figure import figure
from bench.report.figures.marks import MANY_ARMS, draw_cross, draw_spreads, shift_of, spread_of
from bench.report.figures.style import (
    WHITE_EDGE,
    NothingToShow,
    arm_handles,
    drawn_arms,
    is_narrow,
    legend_below,
    panel_grid,
)
from bench.report.rows.arms import Look
from bench.report.rows.frame import EFFICIENCY
from bench.report.rows.summaries import Summaries, cost_summaries
from metrics.headlines import COSTS
from metrics.quantities import quantity_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_EXPONENTS = 5  # more do not fit beside the curves


@figure(
    "cost",
    "Cost against length",
    needs=EFFICIENCY,
    panels=[COSTS],
    caption="Both axes logarithmic; numbers, of eight arms or fewer at three lengths or more, are exponents of growth "
    "in length (1 linear, 2 quadratic), arms in the order and colours of the legend. Bars are 95 % "
    "intervals, often smaller than the marker; where fewer than five rounds (samples, measurements) were "
    "taken, small dots show them instead. Arms stand a little beside each other at each length. A cross "
    "at the upper edge is a cell without a figure. More than eight arms are drawn by family, faint lines "
    "being the arms of the others.",
)
def cost_figure(frame: pd.DataFrame, folder: Path, width: float) -> Figure:
    """A panel for every measured cost metric; more arms than one panel can show are drawn by family, a column each."""
    summaries = cost_summaries(frame)
    metrics = [name for name in COSTS if summaries.where(metric=name).measured()]
    if not metrics:
        raise NothingToShow("cost figure: the table has no measured efficiency row")
    arms = drawn_arms(frame, summaries)
    labels = {metric: quantity_of(metric).short_heading for metric in metrics}
    if len(arms) > MOST_LINES:

        def panel(axis: Axes, metric: str, shown: dict[str, Look], others: list[str]) -> None:
            rows = summaries.where(metric=metric)
            lines = [rows.where(arm=arm).by_length() for arm in others]
            draw_faint(axis, [[(one.length or 0, one.value) for one in line] for line in lines])
            _cost_panel(axis, rows, shown, folder, FAMILY_TICKS)

        return family_grid(labels, arms, patterns_of(frame), panel, width)
    columns, row_in, ticks = (2, 1.5, 4) if is_narrow(width) else (3, 1.9, MOST_TICKS)
    drawn, axes = panel_grid(width, len(metrics), min(len(metrics), columns), row_in)
    for axis, (metric, label) in zip(axes, labels.items(), strict=True):
        _cost_panel(axis, summaries.where(metric=metric), arms, folder, ticks)
        axis.set_title(label)
        _exponents(axis, summaries.where(metric=metric), arms, folder, small=is_narrow(width))
    legend_below(drawn, arm_handles(arms))
    return drawn


def _cost_panel(axis: Axes, summaries: Summaries, arms: dict[str, Look], folder: Path, ticks: int) -> None:
    lengths = summaries.lengths()
    for place, (arm, look) in enumerate(arms.items()):
        for line in _lines(summaries, arm):
            exact = summaries[0].metric in EXACT  # without intervals there is nothing to set side by side
            shift = 1.0 if exact else shift_of(place, len(arms), lengths)
            _draw_line(axis, line, look, folder, shift, thin=len(arms) >= MANY_ARMS)
    axis.set_yscale("log")
    length_axis(axis, lengths, ticks)
    axis.margins(y=0.05 if len(summaries.measured()) == len(summaries) else 0.15)
    few_decade_ticks(axis)


def _lines(summaries: Summaries, arm: str) -> list[Summaries]:
    """The arm's summaries on each kernel, device, number of threads and batch."""
    return [line for _, line in summaries.where(arm=arm).groups(lambda summary: (summary.kernel, summary.setting))]


def _exponents(axis: Axes, summaries: Summaries, arms: dict[str, Look], folder: Path, *, small: bool) -> None:
    """The exponent of each arm's growth at the upper left of a panel, on top of each other and in the arm's colour."""
    lines = {arm: _lines(summaries.measured(), arm) for arm in arms}
    whole = {arm: found[0] for arm, found in lines.items() if len(found) == 1 and len(found[0].lengths()) > 2}
    if len(whole) > MOST_EXPONENTS:
        return
    for place, (arm, line) in enumerate(whole.items()):
        style: dict[str, Any] = {"fontsize": "x-small", "va": "top", "ha": "left", "zorder": 5}
        style["bbox"] = {"facecolor": "white", "alpha": 0.85, "linewidth": 0, "pad": 0.6}
        exponent = cost_exponent(line, folder)[0].value
        text = axis.text(0.03, 0.98 - (0.11 if small else 0.09) * place, f"{exponent:z.2f}", **style)
        text.set(color=arms[arm].colour, transform=axis.transAxes)


def _draw_line(axis: Axes, line: Summaries, look: Look, folder: Path, shift: float, *, thin: bool) -> None:
    """One arm's summaries with their intervals, or rounds where those are few; one without a figure becomes a cross at
    the upper edge. Lengths are drawn times `shift`, so that what several arms have at one length lies side by side."""
    done = line.by_length()
    xs = [float(one.length or 0) * shift for one in done]
    axis.plot(xs, [one.value for one in done], zorder=3, **look.line, **WHITE_EDGE)
    spreads = [spread_of(summary, x, folder) for x, summary in zip(xs, done, strict=True)]
    state_moved(axis, look.name, times=shift)
    draw_spreads(axis, spreads, look, thin=thin)
    for summary in line:
        if not summary.measured and summary.length:
            draw_cross(axis, float(summary.length) * shift, 0.97, look, clip_on=False, zorder=4)
