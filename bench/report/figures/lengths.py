"""Quality against the length of the pieces, beside real music of the same lengths."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from bench.report.analysis.references import CEILING, reference_summary
from bench.report.figures.axes import length_axis, limits_around
from bench.report.figures.data import state_moved
from bench.report.figures.figure import figure
from bench.report.figures.marks import (
    BAND,
    REFERENCE_COLOUR,
    draw_spreads,
    reference_dashes,
    reference_handles,
    spread_of,
)
from bench.report.figures.style import NothingToShow, arm_handles, drawn_arms, is_narrow, legend_below, panel_grid
from bench.report.rows.frame import QUALITY
from bench.report.rows.summaries import Summaries, quality_summaries, reference_summaries
from metrics.headlines import OUTLIERS
from metrics.music.attribute import OA_MEAN
from metrics.music.distance import OA_DISTANCE_MEAN
from metrics.music.drift import DRIFT
from metrics.music.floors import BIGRAM
from metrics.quantities import quantity_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

METRICS = (OA_MEAN, OA_DISTANCE_MEAN, DRIFT["oa"], OUTLIERS)
SHOWN = (CEILING, BIGRAM)


@figure(
    "lengths",
    "Quality against length",
    needs=QUALITY,
    panels=[METRICS],
    caption="Mean over seeds with 95 % intervals (cut at the edge), or the seeds as small dots where there are fewer "
    "than five; as many pieces of each length as real ones of that length. Grey: real against real music at "
    "the same length (the ceiling, with the 95 % range of its redraws), and music drawn from a token bigram.",
)
def lengths_figure(frame: pd.DataFrame, folder: Path, width: float) -> Figure:
    """Scores against tokens a piece, a line an arm, moved sideways so that intervals lie beside each other; the first
    corpus and sampler of the table."""
    summaries = quality_summaries(frame).where(metric=METRICS).measured()
    if summaries:
        summaries = summaries.where(
            corpus=summaries[0].corpus, sampler=summaries[0].sampler, sample_steps=summaries[0].sample_steps
        )
    metrics = [name for name in METRICS if len(summaries.where(metric=name).lengths()) > 1]
    if not metrics:
        raise NothingToShow("lengths figure: quality was measured at one length only; vary length")
    references, arms = reference_summaries(frame), drawn_arms(frame, summaries)
    drawn, axes = panel_grid(width, len(metrics), 2, 1.5 if is_narrow(width) else 1.9, 0.45)
    for axis, metric in zip(axes, metrics, strict=True):
        mine = summaries.where(metric=metric)
        levels = _reference_lines(axis, references, metric, mine)
        for place, (arm, look) in enumerate(arms.items()):
            line = mine.where(arm=arm).by_length()
            shift = 2 ** (0.06 * (place - (len(arms) - 1) / 2))
            axis.plot([(one.length or 0) * shift for one in line], [one.value for one in line], **look.line)
            spreads = [spread_of(one, (one.length or 0) * shift) for one in line if one.interval == "seeds"]
            draw_spreads(axis, spreads, look)
            state_moved(axis, arm, times=shift)
        axis.set_ylim(limits_around([*levels, *(one.value for one in mine)], 0.5, 0.05))
        length_axis(axis, mine.lengths())
        axis.set_title(quantity_of(metric).label)
    legend_below(drawn, [*arm_handles(arms), *reference_handles(references, SHOWN)])
    return drawn


def _reference_lines(axis: Axes, references: Summaries, metric: str, summaries: Summaries) -> list[float]:
    """Ceiling and floor at the lengths of the summaries; the levels that were drawn."""
    levels = []
    for name in SHOWN:
        found = [
            (at, reference_summary(references, name, metric, summaries[0].corpus, at)) for at in summaries.lengths()
        ]
        known = [(at, summary) for at, summary in found if summary is not None]
        if not known:
            continue
        values = [summary.value for _, summary in known]
        style = {"linestyle": reference_dashes(name, references), "linewidth": 0.9, "zorder": 1, "label": name}
        axis.plot([at for at, _ in known], values, color=REFERENCE_COLOUR, **style)
        levels += values
        band = [(at, summary.low, summary.high) for at, summary in known if summary.has_interval]
        if name == CEILING and band:
            at, low, high = zip(*band, strict=True)
            axis.fill_between(at, low, high, **BAND)
    return levels
