"""Block orders as a heat map: arms of the same mixers in different order, grouped by cycle."""

from __future__ import annotations

import math
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bench.glyphs import labels_of, shortened
from bench.report.analysis.comparisons import compared_at
from bench.report.analysis.patterns import cycle_of, layers_of, patterns_of
from bench.report.analysis.references import CEILING, reference_summary
from bench.report.figures.figure import figure
from bench.report.figures.style import NothingToShow, is_narrow, new_figure
from bench.report.rows.arms import arm_order
from bench.report.rows.frame import QUALITY
from bench.report.rows.study import baseline_arm
from bench.report.rows.summaries import Group, Summaries, quality_group, quality_summaries, reference_summaries
from bench.report.tables.numbers import number
from metrics.cost.quantities import BITS
from metrics.headlines import HEADLINES, PRIMARY
from metrics.quantities import quantity_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@figure(
    "orders",
    "Block orders",
    needs=QUALITY,
    caption="Purple: better than the mean of the column, orange: worse, in standard errors over seeds (full colour "
    "at 6); white where no way is better. ▲ and ▼: better or worse than the baseline by the verdicts of the study, "
    "which primary scores alone have. Rows between two lines are rotations of one "
    "cycle: the same sequence but for its edges; the last rows are in no cycle.",
)
def orders_figure(frame: pd.DataFrame, folder: Path, width: float) -> Figure:
    """A heat map of scores, a row an order and a column a metric; the first corpus, length and sampler."""
    rows = ordered_rows(frame)
    summaries, signs = quality_summaries(frame).measured(), {}
    if summaries:
        group, summaries = summaries.groups(quality_group)[0]
        signs = _signs(frame, folder, group)
    arms = [arm for arm, _ in rows if summaries.where(arm=arm)]
    if len(arms) < 2:
        raise NothingToShow("orders figure: fewer than two arms hold the same mixers in different order")
    import seaborn as sns

    limit, head_in = (4, 1.15) if is_narrow(width) else (8, 0.95)
    metrics = [metric for metric in HEADLINES if summaries.where(metric=metric, arm=arms)][:limit]
    values, shades = _matrix(summaries, reference_summaries(frame), arms, metrics)
    patterns = patterns_of(frame)
    drawn = new_figure(width, 0.3 * len(arms) + head_in)
    axis = drawn.add_subplot()
    texts = [
        [number(value) + signs.get((arm, metric), "") for metric, value in zip(metrics, row, strict=True)]
        for arm, row in zip(arms, values, strict=True)
    ]
    options: dict[str, Any] = {"cmap": "PuOr", "vmin": -6, "vmax": 6, "cbar": False, "linewidths": 0.5, "fmt": ""}
    sns.heatmap(np.nan_to_num(shades), annot=np.array(texts), ax=axis, annot_kws={"size": "small"}, **options)
    axis.set_xticks(np.arange(len(metrics)) + 0.5, [_short(metric) for metric in metrics], rotation=0)
    letters = 18 if is_narrow(width) else 36
    names = zip(labels_of(arms, letters), [shortened(patterns[arm], letters) for arm in arms], strict=True)
    axis.set_yticks(np.arange(len(arms)) + 0.5, [f"{one}  {other}" for one, other in names], rotation=0)
    axis.xaxis.tick_top()
    axis.tick_params(length=0)
    cycles = dict(rows)
    for index in range(1, len(arms)):
        if cycles[arms[index]] != cycles[arms[index - 1]]:
            axis.axhline(index, color="black", linewidth=1.2)
    return drawn


def _signs(frame: pd.DataFrame, folder: Path, group: Group) -> dict[tuple[str, str], str]:
    """(arm, metric) -> sign of an arm that is better or worse than the baseline."""
    signs = {"better": " ▲", "worse": " ▼"}
    found: dict[tuple[str, str], str] = {}
    for metric in PRIMARY:
        judged = compared_at(frame, folder, group, metric)
        for one in judged.against(baseline_arm(folder, frame)) if judged else []:
            found[one.arm, metric] = signs.get(one.verdict.word, "")
    return found


def _short(metric: str) -> str:
    if metric == BITS:
        return "bits/token"
    return textwrap.fill(quantity_of(metric).label.replace("Chord density,", "chords"), 11, break_long_words=False)


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


def _matrix(
    summaries: Summaries, references: Summaries, arms: list[str], metrics: list[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Values (arms, metrics) and their distance from the column's mean in standard errors of a mean, above 0 where
    better; a metric that is best near real music by its distance to the ceiling row.

    The standard error is pooled over the arms of a column; where no arm has two seeds there is none, and no colour.
    """
    values = np.full((len(arms), len(metrics)), math.nan)
    shades = np.zeros_like(values)
    for column, metric in enumerate(metrics):
        found = {arm: summaries.first(metric=metric, arm=arm) for arm in arms}
        values[:, column] = [one.value if one else math.nan for one in found.values()]
        variances = [np.nanvar(one.values, ddof=1) / one.done for one in found.values() if one and one.done > 1]
        error = math.sqrt(float(np.mean(variances))) if variances else 0.0
        ceiling = reference_summary(references, CEILING, metric, summaries[0].corpus, summaries[0].length)
        held_out = math.nan if ceiling is None else ceiling.value
        losses = np.array([quantity_of(metric).loss(value, held_out) for value in values[:, column]])
        if error > 0 and np.isfinite(losses).any():
            shades[:, column] = (np.nanmean(losses) - losses) / error
    return values, shades
