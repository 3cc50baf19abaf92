"""Sweeps: validation bits per token against the values tried, every arm, with its own and the shared optimum."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from bench.report.figures.axes import limits_around
from bench.report.figures.figure import figure
from bench.report.figures.marks import draw_cross
from bench.report.figures.style import NothingToShow, arm_handles, legend_below, panel_grid, panel_title
from bench.report.rows.arms import Look, looks_of
from bench.report.rows.frame import TUNING
from bench.report.rows.tuning import Sweep, shared_of, sweeps
from bench.study.tuning import is_number, setting_word, value_words, values_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

RING: dict[str, Any] = {"markersize": 9, "markerfacecolor": "none", "linestyle": "none", "markeredgewidth": 1.1}
MOST_COLUMNS = 3


@figure(
    "tuning",
    "Sweep of each arm",
    needs=TUNING,
    caption="Mean over the sweep's seeds, which are the dots. A ring: the arm's own best; the vertical line: the value "
    "with the lowest mean over arms. A cross at the top: diverged or failed.",
)
def tuning_figure(frame: pd.DataFrame, folder: Path, width: float) -> Figure:
    """A panel for each corpus, length and setting."""
    found = sweeps(frame, folder)
    if not found:
        raise NothingToShow("tuning figure: no point of the sweep is measured with all its seeds")
    settings = list(dict.fromkeys(sweep.setting for sweep in found))
    names = list(dict.fromkeys(name for sweep in found for one in sweep.choice.tried for name in one.point))
    panels = [(setting, name) for setting in settings for name in names]
    columns = min(len(panels), MOST_COLUMNS)
    drawn, axes = panel_grid(width, len(panels), columns, 2.6)
    arms = {arm: look for arm, look in looks_of(frame).items() if any(sweep.arm == arm for sweep in found)}
    for position, (axis, (setting, name)) in enumerate(zip(axes, panels, strict=True)):
        _panel(axis, [sweep for sweep in found if sweep.setting == setting], name, arms)
        panel_title(axis, f"{setting[0]} L = {setting[1]}", width, columns)
        axis.set_ylabel("" if position % columns else "validation [bits/token]")
    legend_below(drawn, arm_handles(arms))
    return drawn


def _panel(axis: Axes, found: list[Sweep], name: str, arms: dict[str, Look]) -> None:
    tried = [one for sweep in found for one in sweep.choice.tried]
    values = values_of(tried, name)
    numbers = all(map(is_number, values))
    at = {str(value): float(value) if numbers else float(place) for place, value in enumerate(values)}
    if numbers and values[0] > 0:
        axis.set_xscale("log")
    measured = [bits for one in tried for bits in one.bits if math.isfinite(bits)]
    if measured:
        axis.set_ylim(limits_around(measured, 0.12, 0.05))
    for sweep in found:
        look, best = arms[sweep.arm], sweep.choice.best
        line: dict[float, float] = {}
        for one in sweep.choice.tried:
            x = at[str(one.point[name])]
            line[x] = min(line.get(x, math.inf), one.mean)
            axis.plot([x] * len(one.bits), one.bits, marker=".", linestyle="none", markersize=2.5, **look.ink)
        kept = {x: mean for x, mean in sorted(line.items()) if math.isfinite(mean)}
        axis.plot(list(kept), list(kept.values()), **look.line)
        for x in line.keys() - kept.keys():
            draw_cross(axis, x, 0.97, look)
        if best:
            axis.plot([at[str(best.point[name])]], [best.mean], marker="o", markeredgecolor=look.colour, **RING)
    if shared := shared_of(found):
        axis.axvline(at[str(shared[name])], color="#888888", linewidth=0.9, linestyle=(0, (4, 2)), zorder=1)
    axis.set_xticks(list(at.values()), [value_words(value) for value in values])
    axis.minorticks_off()
    axis.set_xlabel("learning rate" if setting_word(name) == "lr" else name)
