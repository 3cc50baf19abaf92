"""Bits per token of the test side by arm beside the token baselines."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from bench.glyphs import labels_of
from bench.report.figures.figure import figure
from bench.report.figures.marks import draw_by_arm, reference_handles, reference_levels
from bench.report.figures.style import LETTER_IN, NothingToShow, drawn_arms, legend_below, panel_grid, panel_title
from bench.report.rows.frame import QUALITY
from bench.report.rows.summaries import Summaries, quality_summaries, reference_summaries
from metrics.cost.quantities import BITS
from metrics.quantities import quantity_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LONGEST_LABEL = 28
"""Letters of an arm's name under its place."""
MOST_SLANTED = 3
"""Arms per inch whose names have room beside each other at a slant."""
BASELINES = ("grammar", "bigram")  # unigram is far above and would flatten the arms; the table has it


@figure(
    "bits",
    "Bits per token of the test side",
    needs=QUALITY,
    one_sampler=True,
    caption="Lower is better. An arm that is not below `grammar` learned only which kind of token follows which.",
)
def bits_figure(frame: pd.DataFrame, folder: Path, width: float) -> Figure:
    """Mean, seeds and interval of each arm; a panel for each corpus and length, with one scale that holds them all."""
    references = reference_summaries(frame)
    summaries = quality_summaries(frame).where(metric=BITS).measured()
    if not summaries:
        raise NothingToShow(f"bits figure: the table has no measured {BITS} row")
    arms = drawn_arms(frame, summaries)
    groups = summaries.groups(lambda summary: (summary.corpus, summary.length))
    labels = labels_of(list(arms), LONGEST_LABEL)
    longest = max(map(len, labels))
    turn = 0 if sum(map(len, arms)) <= 7 * width else 25 if len(arms) * len(groups) <= MOST_SLANTED * width else 90
    more_in = LETTER_IN * max(longest - 12, 0) if turn == 90 else 0
    drawn, axes = panel_grid(width, len(groups), len(groups), 2.4, more_in, sharey=True)
    for position, (axis, ((corpus, length), part)) in enumerate(zip(axes, groups, strict=True)):
        levels = reference_levels(axis, references, BITS, corpus, length, BASELINES)
        values = [value for one in part for value in (*one.values, one.low, one.high)]
        shown = levels + [value for value in values if math.isfinite(value)]
        margin = max(0.12 * (max(shown) - min(shown)), 0.05)
        low, high = (min(shown) - margin, max(shown) + margin)
        if position:
            low, high = min(low, axes[0].get_ylim()[0]), max(high, axes[0].get_ylim()[1])
        axis.set_ylim(low, high)
        draw_by_arm(axis, part, arms)
        turned = {"rotation": turn, "ha": "right", "va": "center" if turn == 90 else "baseline"}
        turned |= {"rotation_mode": "anchor"}
        axis.set_xticks(range(len(arms)), labels, **(turned if turn else {}))  # type: ignore[arg-type]
        words = " ".join(word for word in (corpus, "" if length is None else f"L = {length}") if word)
        panel_title(axis, words, width, len(groups))
        axis.set_ylabel("" if position else quantity_of(BITS).heading)
    there = Summaries(one for (corpus, length), _ in groups for one in references.where(corpus=corpus, length=length))
    legend_below(drawn, reference_handles(there, BASELINES))
    return drawn
