"""Learning curves: validation bits per token while training, every seed of every arm."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from bench.report.figures.style import (
    DOUBLE_COLUMN_IN,
    REFERENCE_COLOUR,
    NothingToShow,
    arm_handles,
    figure_style,
    is_narrow,
    legend_below,
    new_figure,
    panels,
    reference_handles,
    tidy_axes,
)
from bench.report.rows.arms import Look, arm_order, looks
from bench.report.rows.frame import QUALITY
from bench.report.rows.history import study_history
from bench.report.rows.points import cost_points, quality_points, reference_points
from metrics.cost.quantities import BITS, FORWARD_GFLOPS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_SEEDS = 5
AXES_X = {"step": "training step", "elapsed_s": "training time [s]", "tflops": "training TFLOPs (3 x forward)"}
AXES_Y = {
    "validation_value": "validation [bits/token]",
    "masked_cross_entropy": "masked cross-entropy [nats/token]",
    "loss": "training loss [nats/token]",
}


def learning_figure(frame: pd.DataFrame, folder: Path, *, width: float = DOUBLE_COLUMN_IN) -> Figure:
    """Validation bits per token (else the training loss) against steps, and against seconds and FLOPs where recorded; a
    line a seed, of at most `MOST_SEEDS` an arm. The first corpus and length of the table.

    Raises NothingToShow where no cell folder holds a history.
    """
    history = _with_flops(study_history(_shown(frame), folder), frame)
    y = next((name for name in AXES_Y if name in history.columns and history[name].notna().sum() > 1), None)
    xs = [name for name in AXES_X if name in history.columns and history[name].notna().any()]
    if y is None or not xs:
        raise NothingToShow("learning figure: no cell folder holds a history.jsonl with steps and a loss")
    arms = looks(arm_order(frame))
    drawn = {arm: look for arm, look in arms.items() if arm in set(history["arm"])}
    with figure_style(width):
        columns = 1 if is_narrow(width) else len(xs)
        figure = new_figure(width, 1.6 * len(xs) + 0.35 if is_narrow(width) else 2.5)
        axes = panels(figure, len(xs), columns, sharey=True)
        for position, (axis, x) in enumerate(zip(axes, xs, strict=True)):
            for _, line in history.groupby("cell_id", sort=False):
                _draw_curve(axis, line[[x, y]].dropna().sort_values(x), drawn[str(line["arm"].iloc[0])])
            if y == "validation_value":
                _grammar_line(axis, frame)
            axis.set_xlabel(AXES_X[x])
            axis.set_ylabel("" if position % columns else AXES_Y[y])
            tidy_axes(axis)
        handles = arm_handles(drawn)
        if y == "validation_value":
            handles += reference_handles(reference_points(frame), ["grammar"])
        legend_below(figure, handles, width)
    return figure


def _shown(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows of the cells whose curves are drawn: more than a few an arm cannot be told apart."""
    rows = frame[frame["kind"] == QUALITY]
    settings = rows[["corpus", "length"]].drop_duplicates().head(1)
    rows = rows.merge(settings, on=["corpus", "length"])
    seeds = rows.drop_duplicates("cell_id").sort_values("seed").groupby("arm").head(MOST_SEEDS)
    return rows[rows["cell_id"].isin(seeds["cell_id"])]


def _with_flops(history: pd.DataFrame, frame: pd.DataFrame) -> pd.DataFrame:
    """Adds `tflops`: tokens seen times three forward passes' FLOPs a token, where the arm's forward pass was
    counted."""
    counts = cost_points(frame).where(metric=FORWARD_GFLOPS).measured()
    lengths = {point.arm: point.length for point in quality_points(frame)}
    per_token = {
        point.arm: 3 * point.value / (point.length or 1) for point in counts if point.length == lengths.get(point.arm)
    }
    if history.empty or "tokens" not in history or not per_token:
        return history
    return history.assign(tflops=history["tokens"] * history["arm"].map(per_token) * 1e-3)


def _draw_curve(axis: Axes, kept: pd.DataFrame, look: Look) -> None:
    style: dict[str, Any] = {
        "marker": look.marker,
        "markevery": max(1, len(kept) // 8),
        "markersize": 3,
        "linewidth": 1,
    }
    axis.plot(kept.iloc[:, 0], kept.iloc[:, 1], color=look.colour, linestyle=look.dashes, **style)


def _grammar_line(axis: Axes, frame: pd.DataFrame) -> None:
    grammar = reference_points(frame).measured().first(arm="grammar", metric=BITS)
    if grammar is None:
        return
    axis.axhline(grammar.value, color=REFERENCE_COLOUR, linewidth=0.9, zorder=1)
