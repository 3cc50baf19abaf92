"""The figures of reports by name, each drawn from the result table and the results folder alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import UserError, quoted
from bench.report.figures.figure import FIGURES
from bench.report.figures.style import DOUBLE_COLUMN_IN
from bench.report.presentation import Presentation, presentation_of
from bench.report.rows.frame import as_frame

# isort: off
from bench.report.figures import (  # noqa: F401  each registers its figure; this is their order in reports
    cost,
    scaling,
    phases,
    quality,
    bits,
    pareto,
    forest,
    orders,
    lengths,
    nfe,
    frontier,
    drift,
    along,
    tuning,
    learning,
    flops,
    rolls,
)
# isort: on

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def check_width(width: float) -> None:
    """Raise UserError for a figure of less than 2 or more than 20 inches."""
    if not 2 <= width <= 20:
        raise UserError(f"--width {width}: allowed are 2 to 20 inches (one column is 3.3, two are 7)")


def draw(
    name: str, table: Any, folder: Path, *, width: float = DOUBLE_COLUMN_IN, presentation: Presentation | None = None
) -> Figure:
    """Draw a figure by name at `width` inches. Raises UserError for an unknown name, a width out of 2..20 inches or
    a table without the rows it needs (NothingToShow)."""
    if name not in FIGURES:
        raise UserError(f"figure {quoted(name)}: there is none of that name; figures are {', '.join(FIGURES)}")
    check_width(width)
    how = presentation or presentation_of(folder)
    return FIGURES[name].draw(as_frame(table, how), folder, width, how)
