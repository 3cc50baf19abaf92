"""Learning curves: validation bits per token while training on one grid of windows and masks, every seed of every arm;
the validation after training on more of both stands apart."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pandas as pd

from bench.files import read_lines
from bench.report.figures.figure import figure
from bench.report.figures.marks import reference_dashes, reference_handles, reference_line
from bench.report.figures.style import NothingToShow, arm_handles, is_narrow, legend_below, panel_grid
from bench.report.rows.arms import looks_of
from bench.report.rows.frame import QUALITY, made_once
from bench.report.rows.summaries import Summaries, cost_summaries, quality_summaries, reference_summaries
from metrics.cost.quantities import FORWARD_GFLOPS, VALIDATION_BITS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_SEEDS = 5
AXES_X = {"step": "training step", "elapsed_s": "training time [s]", "tflops": "training TFLOPs (3 x forward)"}
FINAL = "final_value"
CROSS: Final[dict[str, Any]] = {"marker": "x", "linestyle": "none", "markersize": 4, "markeredgewidth": 1}
AXES_Y = {
    "validation_value": "validation [bits/token]",
    "masked_cross_entropy": "masked cross-entropy [nats/token]",
    "loss": "training loss [nats/token]",
}


@figure(
    "learning",
    "Learning curves",
    needs=QUALITY,
    one_sampler=True,
    caption="One line a seed, of at most five an arm, each on the same validation windows and masks throughout. "
    "Crosses: the larger validation after training. Choices are made on these figures; tables compare the test side.",
)
def learning_figure(frame: pd.DataFrame, folder: Path, width: float) -> Figure:
    """Validation bits per token (else the training loss) against steps, and against seconds and FLOPs where recorded;
    the first corpus and length of the table."""
    history = histories(frame, folder)
    y = next((name for name in AXES_Y if name in history.columns and history[name].notna().sum() > 1), None)
    xs = [name for name in AXES_X if name in history.columns and history[name].notna().any()]
    if y is None or not xs:
        raise NothingToShow("learning figure: no cell folder holds a history.jsonl with steps and a loss")
    arms = {arm: look for arm, look in looks_of(frame).items() if arm in set(history["arm"])}
    handles = arm_handles(arms)
    grammar, references = None, reference_summaries(frame)
    if y == "validation_value":
        grammar = references.measured().first(arm="grammar", metric=VALIDATION_BITS)
        handles += reference_handles(references, ["grammar"])
        handles += _final_handles(history)
    columns, row_in = (1, 1.6) if is_narrow(width) else (len(xs), 2.15)
    drawn, axes = panel_grid(width, len(xs), columns, row_in, sharey=True)
    for position, (axis, x) in enumerate(zip(axes, xs, strict=True)):
        for _, line in history.groupby("cell_id", sort=False):
            kept, look = line[[x, y]].dropna().sort_values(x), arms[str(line["arm"].iloc[0])]
            every = max(1, len(kept) // 8)
            axis.plot(kept[x], kept[y], markevery=every, markersize=3, linewidth=1, **look.line)
            if y == "validation_value" and FINAL in line:
                last = line[[x, FINAL]].dropna()
                axis.plot(last[x], last[FINAL], **look.ink, **CROSS)
        if grammar is not None:
            reference_line(axis, grammar.value, reference_dashes("grammar", references), "grammar")
        axis.locator_params(axis="x", nbins=5, prune="upper")  # none at the edge
        axis.set_xlabel(AXES_X[x])
        axis.set_ylabel("" if position % columns else AXES_Y[y])
    legend_below(drawn, handles)
    return drawn


def _final_handles(history: pd.DataFrame) -> list[Any]:
    """Legend entry of the larger validation, where there is one."""
    from matplotlib.lines import Line2D

    shown = FINAL in history.columns and bool(history[FINAL].notna().any())
    return [Line2D([], [], color="black", label="larger validation", **CROSS)] if shown else []


def histories(frame: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """The learning curves of the first corpus and length, of at most `MOST_SEEDS` seeds an arm: what training recorded,
    with columns arm, cell_id and, where the arm's forward pass was counted, `tflops` of training; empty where none is
    kept."""
    return made_once(frame, f"histories {folder}", lambda: _with_flops(_histories(_shown(frame), folder), frame))


def _shown(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows of the cells whose curves are drawn: more than a few an arm cannot be distinguished."""
    rows = frame[frame["kind"] == QUALITY]
    settings = rows[["corpus", "length"]].drop_duplicates().head(1)
    rows = rows.merge(settings, on=["corpus", "length"])
    seeds = rows.drop_duplicates("cell_id").sort_values("seed").groupby("arm").head(MOST_SEEDS)
    return rows[rows["cell_id"].isin(seeds["cell_id"])]


def _with_flops(history: pd.DataFrame, frame: pd.DataFrame) -> pd.DataFrame:
    """Adds `tflops`: tokens seen times three forward passes' FLOPs a token, where the arm's forward pass was counted at
    the length of training, or at two others: FLOPs a token are a line in the length."""
    counts = cost_summaries(frame).where(metric=FORWARD_GFLOPS).measured()
    lengths = {one.arm: one.length for one in quality_summaries(frame)}
    per_token = {
        arm: 3 * found for arm, length in lengths.items() if (found := _flops_a_token(counts.where(arm=arm), length))
    }
    if history.empty or "tokens" not in history or not per_token:
        return history
    return history.assign(tflops=history["tokens"] * history["arm"].map(per_token) * 1e-3)


def _flops_a_token(counts: Summaries, length: int | None) -> float:
    """GFLOPs of a forward pass a token, at a length; 0 where neither it nor two others were counted."""
    known = {one.length: one.value / one.length for one in counts if one.length}
    if length in known:
        return known[length]
    if length is None or len(known) < 2:
        return 0.0
    (first, low), *_, (last, high) = sorted(known.items())
    return low + (high - low) * (length - first) / (last - first)


def _histories(rows: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """The `history.jsonl` of every cell below each other, with columns arm and cell_id; empty where there is none."""
    found: list[dict[str, Any]] = []
    for cell_id, arm in rows.groupby("cell_id", sort=False)["arm"].first().items():
        with suppress(OSError):
            lines = read_lines(folder / str(cell_id) / "history.jsonl")
            found += [line | {"cell_id": cell_id, "arm": arm} for line in lines]
    return pd.DataFrame(found)
