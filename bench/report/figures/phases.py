"""Phases of a training step by time: forward, backward, optimiser."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from bench.glyphs import labels_of
from bench.report.figures.data import state_data
from bench.report.figures.figure import figure
from bench.report.figures.style import LEGEND_LETTERS, NothingToShow, is_narrow, legend_below, panel_grid
from bench.report.rows.arms import arm_order
from bench.report.rows.frame import EFFICIENCY
from bench.report.rows.summaries import cost_summaries
from metrics.cost.quantities import TRAIN_PHASES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PHASES = {
    TRAIN_PHASES["forward"]: ("forward", "#4477AA", ""),
    TRAIN_PHASES["backward"]: ("backward", "#DDAA33", "///"),
    TRAIN_PHASES["optimiser"]: ("optimiser", "#BBBBBB", "..."),
}
MOST_BARS = 45


def shown_lengths(lengths: list[int], most: int) -> list[int]:
    """At most `most` lengths, at least one: the longest, the shortest, then those at equal steps between them."""
    if len(lengths) <= most:
        return lengths
    if most < 2:
        return lengths[-1:]
    return [lengths[round(place * (len(lengths) - 1) / (most - 1))] for place in range(most)]


@figure(
    "phases",
    "Where the time of a training step goes",
    needs=EFFICIENCY,
    caption="Shares of forward, backward and optimiser, by arm and length; of many arms some lengths only.",
)
def phases_figure(frame: pd.DataFrame, folder: Path, width: float) -> Figure:
    """A bar an arm and length, as shares of the training step, so that short and long steps can be read together. Of
    more than `MOST_BARS` only some lengths are shown."""
    summaries = cost_summaries(frame).where(metric=list(PHASES)).measured()
    arms = [arm for arm in arm_order(frame) if summaries.where(arm=arm)]
    if not arms:
        raise NothingToShow("phases figure: no training step was timed in parts")
    from matplotlib.patches import Patch

    lengths = shown_lengths(summaries.lengths(), MOST_BARS // len(arms))
    bars = [(arm, length) for arm in arms for length in summaries.where(arm=arm).lengths() if length in lengths]
    drawn, (axis,) = panel_grid(width, 1, 1, 0.16 * len(bars), 1.1 if is_narrow(width) else 0.9)
    for place, (arm, length) in enumerate(bars):
        found = {metric: summaries.first(metric=metric, arm=arm, length=length) for metric in PHASES}
        total = sum(one.value for one in found.values() if one is not None)
        start = 0.0
        for metric, summary in found.items():
            share = summary.value / total if summary is not None else 0.0
            name, colour, hatch = PHASES[metric]
            style = {"color": colour, "hatch": hatch, "edgecolor": "white", "linewidth": 0.3}
            axis.barh([place], [share], left=[start], height=0.8, **style)  # type: ignore[arg-type]
            state_data(axis, arm, name, share, str(length))
            start += share
    names = dict(zip(arms, labels_of(arms, 20 if is_narrow(width) else LEGEND_LETTERS), strict=True))
    axis.set_yticks(range(len(bars)), [f"{names[arm]}  {length}" for arm, length in bars])
    axis.set_ylim(len(bars) - 0.4, -0.6)
    axis.set_xlim(0, 1)
    axis.set_xlabel("share of a training step")
    axis.grid(False, axis="y")
    parts = PHASES.values()
    legend_below(drawn, [Patch(facecolor=c, hatch=hatch, edgecolor="white", label=name) for name, c, hatch in parts])
    return drawn
