"""The figures of reports by name, each drawn from the result table and the results folder alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import UserError
from bench.report.figures.along import along_figure
from bench.report.figures.bits import bits_figure
from bench.report.figures.cost import cost_figure
from bench.report.figures.drift import drift_figure
from bench.report.figures.learning import learning_figure
from bench.report.figures.lengths import lengths_figure
from bench.report.figures.nfe import nfe_figure
from bench.report.figures.orders import orders_figure
from bench.report.figures.pareto import pareto_figure
from bench.report.figures.phases import phases_figure
from bench.report.figures.quality import quality_figure
from bench.report.figures.rolls import rolls_figure
from bench.report.figures.scaling import scaling_figure
from bench.report.figures.style import DOUBLE_COLUMN_IN, FORMATS, SINGLE_COLUMN_IN, NothingToShow, render, save_figure
from bench.report.rows.frame import as_frame

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "DOUBLE_COLUMN_IN",
    "FIGURES",
    "FORMATS",
    "SINGLE_COLUMN_IN",
    "NothingToShow",
    "check_width",
    "draw",
    "render",
    "save_figure",
]
IN_ORDER = (  # of the report
    cost_figure,
    scaling_figure,
    phases_figure,
    quality_figure,
    bits_figure,
    pareto_figure,
    orders_figure,
    lengths_figure,
    nfe_figure,
    drift_figure,
    along_figure,
    learning_figure,
    rolls_figure,
)
FIGURES = {one.name: one for one in IN_ORDER}


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
    return FIGURES[name].draw(as_frame(table), folder, width)
