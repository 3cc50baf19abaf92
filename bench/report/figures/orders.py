"""Block orders as a heat map: arms of the same mixers in different order, grouped by the cycle they walk."""

from __future__ import annotations

import math
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bench.report.analysis.aggregate import reference_point
from bench.report.analysis.patterns import cycle_of, layers_of, patterns_of
from bench.report.analysis.samplers import CEILING
from bench.report.figures.style import DOUBLE_COLUMN_IN, NothingToShow, figure_style, is_narrow, new_figure
from bench.report.rows.arms import arm_order
from bench.report.rows.points import Points, quality_group, quality_points, reference_points
from bench.report.tables.numbers import number
from metrics.cost.quantities import BITS
from metrics.headlines import HEADLINES
from metrics.quantities import quantity_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure


CLEAR = 2.0
"""Standard errors from the mean from which a figure has a sign."""


def orders_figure(frame: pd.DataFrame, folder: Path, *, width: float = DOUBLE_COLUMN_IN) -> Figure:
    """Scores of block orders; colour: how far from the column's mean, in standard errors over seeds, orange
    worse, purple better, white where no way is better. Rows between two lines are rotations of one cycle,
    the last ones in no cycle.

    Raises NothingToShow without two orders of the same mixers.
    """
    rows = ordered_rows(frame)
    points = quality_points(frame).measured()
    if points:
        points = points.groups(quality_group)[0][1]
    arms = [arm for arm, _ in rows if points.where(arm=arm)]
    if len(arms) < 2:
        raise NothingToShow("orders figure: fewer than two arms hold the same mixers in different order")
    limit = 4 if is_narrow(width) else 8
    metrics = [metric for metric in HEADLINES if points.where(metric=metric, arm=arms)][:limit]
    values, shades = _matrix(points, reference_points(frame), arms, metrics)
    patterns = patterns_of(frame)
    with figure_style(width):
        import seaborn as sns

        figure = new_figure(width, 0.3 * len(arms) + (1.15 if is_narrow(width) else 0.95))
        axis = figure.add_subplot()
        texts = [
            [number(value) + _sign(shade) for value, shade in zip(*row, strict=True)]
            for row in zip(values, shades, strict=True)
        ]
        options: dict[str, Any] = {"cmap": "PuOr", "vmin": -6, "vmax": 6, "cbar": False, "linewidths": 0.5}
        sns.heatmap(
            np.nan_to_num(shades), annot=np.array(texts), fmt="", ax=axis, annot_kws={"size": "small"}, **options
        )
        labels = [_short(metric) for metric in metrics]
        axis.set_xticks(np.arange(len(metrics)) + 0.5, labels, rotation=0)
        names = [f"{arm}  {patterns[arm]}" for arm in arms]
        axis.set_yticks(np.arange(len(arms)) + 0.5, names, rotation=0)
        axis.xaxis.tick_top()
        axis.tick_params(length=0)
        cycles = dict(rows)
        for index in range(1, len(arms)):
            if cycles[arms[index]] != cycles[arms[index - 1]]:
                axis.axhline(index, color="black", linewidth=1.2)
    return figure


def _sign(shade: float) -> str:
    """What the colour says, for a print in grey: clearly better or worse than the mean of the column."""
    return "" if not abs(shade) >= CLEAR else " ▲" if shade > 0 else " ▼"


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


def _matrix(points: Points, references: Points, arms: list[str], metrics: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Values (arms, metrics) and their distance from the column's mean in standard errors of a mean, above 0 where
    better; a metric that is best near real music by its distance to the ceiling row.

    The standard error is pooled over the arms of a column; where no arm has two seeds there is none, and no colour.
    """
    values = np.full((len(arms), len(metrics)), math.nan)
    shades = np.zeros_like(values)
    for column, metric in enumerate(metrics):
        found = {arm: points.first(metric=metric, arm=arm) for arm in arms}
        values[:, column] = [point.value if point else math.nan for point in found.values()]
        variances = [
            np.nanvar(point.values, ddof=1) / point.done for point in found.values() if point and point.done > 1
        ]
        error = math.sqrt(float(np.mean(variances))) if variances else 0.0
        ceiling = reference_point(references, CEILING, metric, points[0].corpus, points[0].length)
        held_out = math.nan if ceiling is None else ceiling.value
        losses = np.array([quantity_of(metric).loss(value, held_out) for value in values[:, column]])
        if error > 0 and np.isfinite(losses).any():
            shades[:, column] = (np.nanmean(losses) - losses) / error
    return values, shades
