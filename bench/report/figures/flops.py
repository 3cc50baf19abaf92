"""Validation bits per token against the FLOPs that training has spent, a line an arm."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from bench.report.analysis.patterns import patterns_of
from bench.report.figures.axes import few_decade_ticks_below, limits_around
from bench.report.figures.families import MOST_LINES, draw_faint, family_grid
from bench.report.figures.figure import figure
from bench.report.figures.learning import AXES_X, AXES_Y, histories
from bench.report.figures.style import NothingToShow, arm_handles, is_narrow, legend_below, panel_grid
from bench.report.rows.arms import Look, looks_of
from bench.report.rows.frame import QUALITY

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SPENT, BITS_COLUMN = "tflops", "validation_value"
SEED: dict[str, Any] = {"linestyle": "none", "marker": ".", "markersize": 2, "alpha": 0.6}
FROM = 0.15
"""Share of the FLOPs of an arm's training from which the panel holds its curve; the fall before is cut."""


@figure(
    "flops",
    "Bits per token against training FLOPs",
    needs=QUALITY,
    one_sampler=True,
    caption="Validation while training, on one grid of windows and masks: mean over seeds (at most five), seeds as "
    "small dots; at equal FLOPs lower is better. Training is counted as three forward passes a token. The steep fall "
    "at the beginning is cut. More than eight arms are drawn by family.",
)
def flops_figure(frame: pd.DataFrame, folder: Path, width: float) -> Figure:
    """Learning curves on one axis of FLOPs; needs forward passes counted at the length of training or at two others."""
    history = histories(frame, folder)
    if not {SPENT, BITS_COLUMN} <= set(history.columns) or history[[SPENT, BITS_COLUMN]].dropna().empty:
        raise NothingToShow("flops figure: no cell folder holds a history.jsonl with validation beside counted FLOPs")
    history = history.dropna(subset=[SPENT, BITS_COLUMN])
    means = {str(arm): rows.groupby("step")[[SPENT, BITS_COLUMN]].mean() for arm, rows in history.groupby("arm")}
    arms = {arm: look for arm, look in looks_of(frame).items() if arm in means}
    late = pd.concat([line[line[SPENT] >= FROM * line[SPENT].max()] for line in means.values()])

    def panel(axis: Axes, _: str, shown: dict[str, Look], others: list[str]) -> None:
        draw_faint(axis, [list(means[arm].itertuples(index=False, name=None)) for arm in others])
        for arm, look in shown.items():
            seeds, line = history[history["arm"] == arm], means[arm]
            axis.plot(seeds[SPENT], seeds[BITS_COLUMN], **look.ink, **SEED)
            axis.plot(line[SPENT], line[BITS_COLUMN], markevery=max(1, len(line) // 8), markersize=3, **look.line)
        axis.set_xscale("log")
        axis.set_xlim(0.8 * late[SPENT].min(), 1.2 * late[SPENT].max())
        axis.set_ylim(limits_around(late[BITS_COLUMN], 0.06, 0.05))
        few_decade_ticks_below(axis)

    if len(arms) > MOST_LINES:
        labels = {BITS_COLUMN: AXES_Y[BITS_COLUMN]}
        return family_grid(labels, arms, patterns_of(frame), panel, width, x_label="training TFLOPs")
    drawn, (axis,) = panel_grid(width, 1, 1, 2.0 if is_narrow(width) else 2.8)
    panel(axis, BITS_COLUMN, arms, [])
    axis.set_xlabel(AXES_X[SPENT])
    axis.set_ylabel(AXES_Y[BITS_COLUMN])
    legend_below(drawn, arm_handles(arms))
    return drawn
