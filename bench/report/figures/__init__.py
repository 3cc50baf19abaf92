"""One function a figure, each from the result table and the results folder alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import UserError
from bench.report.analysis.samplers import one_a_training
from bench.report.figures.cost import cost_figure
from bench.report.figures.drift import drift_figure
from bench.report.figures.learning import learning_figure
from bench.report.figures.lengths import lengths_figure
from bench.report.figures.orders import orders_figure
from bench.report.figures.phases import phases_figure
from bench.report.figures.quality import bits_figure, quality_figure
from bench.report.figures.rolls import rolls_figure
from bench.report.figures.sampling import nfe_figure
from bench.report.figures.scaling import scaling_figure
from bench.report.figures.style import DOUBLE_COLUMN_IN, FORMATS, SINGLE_COLUMN_IN, NothingToShow, render, save_figure
from bench.report.figures.tradeoff import pareto_figure
from bench.report.figures.windows import along_figure
from bench.report.rows.arms import arm_order
from bench.report.rows.frame import as_frame

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

__all__ = [
    "DOUBLE_COLUMN_IN",
    "FIGURES",
    "FORMATS",
    "SINGLE_COLUMN_IN",
    "NothingToShow",
    "check_width",
    "draw",
    "draw_frame",
    "render",
    "save_figure",
]
TRAINING_FIGURES = ("bits", "learning")  # what a sampler does not change
MOST_ARMS = 24  # more cannot be told apart in one panel


@dataclass(frozen=True)
class FigureKind:
    """A figure by name, with the caption that stands under it in reports."""

    name: str
    title: str
    draw: Callable[..., Figure]
    caption: str


FIGURES: dict[str, FigureKind] = {
    kind.name: kind
    for kind in (
        FigureKind(
            "cost",
            "Cost against length",
            cost_figure,
            "Both axes logarithmic; the numbers are exponents of growth in length (1 linear, 2 quadratic), arms in the "
            "order and colours of the legend. Bars are 95 % intervals, often smaller than the marker; where fewer than "
            "five rounds (samples, weighings) were taken, small dots show them instead. Arms stand a little beside "
            "each other at each length. A cross at the upper edge is a cell without a figure. More than eight arms are "
            "drawn by family, faint lines being the arms of the others.",
        ),
        FigureKind(
            "scaling",
            "Cost relative to the baseline",
            scaling_figure,
            "Multiple of the baseline arm's cost at each length, with 95 % intervals over rounds where the arms took "
            "turns (cut at the edge; fewer than five rounds are small dots); below 1 is cheaper. A thin white diamond "
            "marks the length at which both cost the same. More than eight arms are drawn by family, faint lines being "
            "the arms of the others.",
        ),
        FigureKind(
            "phases",
            "Where the time of a training step goes",
            phases_figure,
            "Shares of forward, backward and optimiser, by arm and length; of many arms some lengths only.",
        ),
        FigureKind(
            "quality",
            "Overlapping area by backbone",
            quality_figure,
            "Overlap with held-out music, 1 is identical. Marker: mean over seeds; small dots: the seeds; line: 95 % "
            "interval "
            "over seeds; a cross: no figure. Grey line and band: real against real music (the ceiling); broken "
            "lines: the "
            "floors.",
        ),
        FigureKind(
            "bits",
            "Validation bits per token",
            bits_figure,
            "Lower is better. An arm that is not below `grammar` learned only which kind of token follows which.",
        ),
        FigureKind(
            "pareto",
            "Quality against cost",
            pareto_figure,
            "Better is up, cheaper is left. Lines: 95 % intervals, cut at the edge; fewer than five seeds or rounds "
            "are small dots. The number is the chance that no other arm is better on both, given the intervals; "
            "hollow: less than one half (of more than eight arms those have no number).",
        ),
        FigureKind(
            "orders",
            "Block orders",
            orders_figure,
            "Purple: better than the mean of the column, orange: worse, in standard errors over seeds (full colour "
            "at 6; ▲ and ▼ from 2 on); white where no way is better. Rows between two lines are rotations of one "
            "cycle: the same sequence but for its edges; the last rows are in no cycle.",
        ),
        FigureKind(
            "lengths",
            "Quality against length",
            lengths_figure,
            "Mean over seeds with 95 % intervals (cut at the edge), or the seeds as small dots where there are fewer "
            "than five; as many pieces of each length as real ones of that length. Grey: real against real music at "
            "the same length (the ceiling, with its interval), and notes drawn one by one.",
        ),
        FigureKind(
            "nfe", "Quality against network calls", nfe_figure, "Mean over seeds. Grey line: real against real music."
        ),
        FigureKind(
            "drift",
            "Drift along the piece",
            drift_figure,
            "Change from beginning to end of a piece, less that of real music; 0 is as real music does. Marker: mean "
            "over "
            "seeds; small dots: the seeds; line: 95 % interval over seeds.",
        ),
        FigureKind(
            "along",
            "From the beginning of a piece to its end",
            along_figure,
            "Windows of 16 beats; mean over the pieces of an arm, bars: 95 % interval over pieces where five or more "
            "reach a window; arms stand a little beside each other. Distance: one less the overlap of the window with "
            "the same window of the real pieces. Grey: real pieces, each against the others.",
        ),
        FigureKind("learning", "Learning curves", learning_figure, "One line a seed, of at most five an arm."),
        FigureKind(
            "rolls",
            "Piano rolls",
            rolls_figure,
            "A real piece and the first sample of each arm, not selected; darker notes are louder.",
        ),
    )
}


def check_width(width: float) -> None:
    """Raise UserError for a figure of less than 2 or more than 20 inches."""
    if not 2 <= width <= 20:
        raise UserError(f"--width {width}: allowed are 2 to 20 inches (one column is 3.3, two are 7)")


def draw(name: str, table: Any, folder: Path, *, width: float = DOUBLE_COLUMN_IN) -> Figure:
    """Draw a figure by name at `width` inches. Raises UserError for an unknown name, a width out of 2..20 inches or
    a table without the rows it needs (NothingToShow)."""
    if name not in FIGURES:
        raise UserError(f"figure {name!r}: there is none of that name; figures are {', '.join(FIGURES)}")
    check_width(width)
    return draw_frame(name, as_frame(table), folder, width=width)


def draw_frame(name: str, frame: pd.DataFrame, folder: Path, *, width: float) -> Figure:
    """As `draw`, for a known figure and a frame that `as_frame` has seen."""
    if name in TRAINING_FIGURES:
        frame = one_a_training(frame)
    arms = arm_order(frame)
    if len(arms) <= MOST_ARMS:
        return FIGURES[name].draw(frame, folder, width=width)
    kept = frame[(frame["kind"] == "reference") | frame["arm"].isin(arms[:MOST_ARMS])]
    figure = FIGURES[name].draw(kept, folder, width=width)
    figure.suptitle(f"{MOST_ARMS} of {len(arms)} arms; the tables hold all", fontsize="small")
    return figure
