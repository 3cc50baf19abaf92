"""Block orders as a heat map: arms of the same mixers in different order, grouped by cycle."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bench.glyphs import labels_of, shortened
from bench.report.analysis.comparisons import compared_at
from bench.report.analysis.patterns import cycle_of, layers_of, patterns_of
from bench.report.analysis.references import CEILING, reference_summary
from bench.report.figures.data import state_data
from bench.report.figures.figure import figure
from bench.report.figures.style import NothingToShow, is_narrow, new_figure
from bench.report.rows.arms import arm_order
from bench.report.rows.frame import QUALITY
from bench.report.rows.study import baseline_arm
from bench.report.rows.summaries import Group, Summaries, Summary, quality_group, quality_summaries, reference_summaries
from bench.report.tables.numbers import number
from metrics.cost.quantities import BITS
from metrics.headlines import HEADLINES, LIKELIHOODS, PRIMARY
from metrics.quantities import quantity_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FULL_COLOUR = 6.0
"""Standard errors from the mean of the column at which a colour is full."""
ROW_IN, HEAD_IN, KEY_IN, LINE_IN = 0.27, 0.5, 0.55, 0.14
"""Inches of a row, of the headings of a block, of the key, and of a line of the note under it."""


@dataclass(frozen=True)
class Layout:
    """Columns of a block, letters of an arm's name and pattern, letters of a line of the note."""

    columns: int
    letters: int
    note: int


NARROW, WIDE = Layout(3, 14, 52), Layout(7, 22, 110)
SHADES = "magma_r"
"""Light to dark, so that better and worse differ in grey too."""
SIGNS = {"better": " ▲", "worse": " ▼"}


@figure(
    "orders",
    "Block orders",
    needs=QUALITY,
    caption="Mean over seeds, and its 95 % interval under it. Dark: better than the mean of the column, light: worse, "
    "in standard errors over seeds; white where no way is better. ▲ and ▼: better or worse than the baseline by the "
    "verdicts of the study, which primary scores alone have. Rows between two lines are rotations of one cycle: the "
    "same sequence but for its edges; the last rows are in no cycle.",
)
def orders_figure(frame: pd.DataFrame, folder: Path, width: float) -> Figure:
    """A heat map of scores, a row an order and a column a metric, in blocks below each other where the columns do not
    fit; the first corpus, length and sampler. Arms that share their mixers with no other are named under it."""
    rows = ordered_rows(frame)
    summaries, signs = quality_summaries(frame).measured(), {}
    if summaries:
        group, summaries = summaries.groups(quality_group)[0]
        signs = _signs(frame, folder, group)
    arms = [arm for arm, _ in rows if summaries.where(arm=arm)]
    if len(arms) < 2:
        raise NothingToShow("orders figure: fewer than two arms hold the same mixers in different order")
    layout = NARROW if is_narrow(width) else WIDE
    metrics = [metric for metric in HEADLINES if summaries.where(metric=metric, arm=arms)]
    blocks = [metrics[start : start + layout.columns] for start in range(0, len(metrics), layout.columns)]
    others = [arm for arm in arm_order(frame) if arm not in arms]
    note = _note(others, layout)
    heights = [ROW_IN * len(arms) + HEAD_IN] * len(blocks)
    drawn = new_figure(width, sum(heights) + KEY_IN + LINE_IN * (note.count("\n") + 1 if note else 0))
    axes = list(drawn.subplots(len(blocks), 1, squeeze=False)[:, 0])
    names = _names(arms, patterns_of(frame), layout)
    references, cycles = reference_summaries(frame), dict(rows)
    for axis, block in zip(axes, blocks, strict=True):
        _block(axis, summaries, references, arms, block, signs, small=is_narrow(width))
        axis.set_xlim(0, layout.columns)  # a last block that is not full has columns of the same width
        axis.set_yticks(np.arange(len(arms)) + 0.5, names, rotation=0)
        for index in range(1, len(arms)):
            if cycles[arms[index]] != cycles[arms[index - 1]]:
                axis.plot([-0.1, len(block)], [index, index], color="white", linewidth=3)
                axis.plot([-0.1, len(block)], [index, index], color="black", linewidth=1.2, clip_on=False)
    _key(drawn, axes, note)
    return drawn


def _block(
    axis: Axes,
    summaries: Summaries,
    references: Summaries,
    arms: list[str],
    metrics: Sequence[str],
    signs: dict[tuple[str, str], str],
    *,
    small: bool,
) -> None:
    """Cells of some columns: shade, value with the sign of its verdict, interval."""
    for column, metric in enumerate(metrics):
        found = {arm: summaries.first(metric=metric, arm=arm) for arm in arms}
        shades = _shades(list(found.values()), references, metric)
        style: dict[str, Any] = {"cmap": SHADES, "vmin": -FULL_COLOUR, "vmax": FULL_COLOUR, "edgecolors": "white"}
        axis.pcolormesh([column, column + 1], np.arange(len(arms) + 1), np.ma.masked_invalid(shades)[:, None], **style)
        for row, (arm, one) in enumerate(found.items()):
            value, low, high = (one.value, one.low, one.high) if one else (math.nan,) * 3
            state_data(axis, arm, signs.get((arm, metric), "cell"), metric, value, low, high)
            colour = "white" if shades[row] > -1 else "black"
            known = one is not None and one.has_interval
            text: dict[str, Any] = {"ha": "center", "color": colour, "va": "bottom" if known else "center"}
            mark = SIGNS.get(signs.get((arm, metric), ""), "")
            axis.text(column + 0.5, row + 0.5, number(value) + mark, fontsize=5.5 if small else 7, **text)
            if known:
                ends = f"[{number(low)}, {number(high)}]"
                axis.text(column + 0.5, row + 0.56, ends, fontsize=5, **text | {"va": "top"})
    axis.set_xticks(np.arange(len(metrics)) + 0.5, [_short(metric) for metric in metrics], rotation=0)
    axis.xaxis.tick_top()
    axis.tick_params(length=0)
    axis.set_ylim(len(arms), 0)
    for spine in axis.spines.values():
        spine.set_visible(False)


def _names(arms: list[str], patterns: dict[str, str], layout: Layout) -> list[str]:
    """Arm and pattern of each row."""
    short = [shortened(patterns[arm], layout.letters) for arm in arms]
    return [f"{one}  {other}" for one, other in zip(labels_of(arms, layout.letters), short, strict=True)]


def _note(others: list[str], layout: Layout) -> str:
    """Which arms have no row, in lines that fit."""
    if not others:
        return ""
    words = f"No row, for no other arm holds the same mixers: {', '.join(labels_of(others, layout.letters))}."
    return textwrap.fill(words, layout.note)


def _key(drawn: Figure, axes: Sequence[Axes], note: str) -> None:
    """What the colours and signs mean, under the blocks, and the note."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    shades = ScalarMappable(Normalize(-FULL_COLOUR, FULL_COLOUR), SHADES)
    bar = drawn.colorbar(shades, ax=list(axes), location="bottom", shrink=0.6, aspect=40, pad=0.01)
    bar.set_ticks([-FULL_COLOUR, 0, FULL_COLOUR], labels=["worse by 6 s.e.", "mean", "better by 6 s.e."])
    bar.ax.tick_params(labelsize="x-small")
    bar.set_label("▲ better, ▼ worse than the baseline", fontsize="x-small")
    drawn.supxlabel(note, fontsize="x-small")


def _signs(frame: pd.DataFrame, folder: Path, group: Group) -> dict[tuple[str, str], str]:
    """(arm, metric) -> verdict of an arm against the baseline."""
    found: dict[tuple[str, str], str] = {}
    baseline = baseline_arm(folder, frame)
    for metric in PRIMARY:
        judged = compared_at(frame, folder, group, metric)
        for one in judged.against(judged.baseline(baseline)) if judged else []:
            found[one.arm, metric] = one.verdict.word
    return found


def _short(metric: str) -> str:
    if metric == BITS:
        return "bits/token"
    quantity = quantity_of(metric)
    words = quantity.heading if metric in LIKELIHOODS else quantity.label.replace("Chord density,", "chords")
    return textwrap.fill(words, 12, break_long_words=False)


def ordered_rows(frame: pd.DataFrame) -> list[tuple[str, str]]:
    """Arms that share their mixers with another arm, as (arm, cycle), those of one cycle next to each other and those
    in no cycle after them."""
    patterns = patterns_of(frame)
    bags: dict[tuple[str, ...], list[str]] = {}
    for arm in arm_order(frame):
        layers = layers_of(patterns.get(arm, ""))
        if layers:
            bags.setdefault(tuple(sorted(layers)), []).append(arm)
    rows = []
    for arms in bags.values():
        if len({patterns[arm] for arm in arms}) > 1:
            cycles = {arm: cycle_of(patterns[arm]) or "" for arm in arms}
            first = list(dict.fromkeys(cycles.values()))
            rows += sorted(cycles.items(), key=lambda row: (row[1] == "", first.index(row[1])))
    return rows


def _shades(found: Sequence[Summary | None], references: Summaries, metric: str) -> np.ndarray:
    """Distance of each arm from the mean of the column in standard errors of a mean, above 0 where better; of a metric
    that is best near real music by its distance to the ceiling row.

    The standard error is pooled over the arms; where no arm has two seeds there is none, and no shade.
    """
    known = [one for one in found if one is not None]
    variances = [np.nanvar(one.values, ddof=1) / one.done for one in known if one.done > 1]
    error = math.sqrt(float(np.mean(variances))) if variances else 0.0
    ceiling = reference_summary(references, CEILING, metric, known[0].corpus, known[0].length) if known else None
    held_out = math.nan if ceiling is None else ceiling.value
    losses = np.array([quantity_of(metric).loss(one.value, held_out) if one else math.nan for one in found])
    if error > 0 and np.isfinite(losses).any():
        return (np.nanmean(losses) - losses) / error
    return np.full(len(found), math.nan)
