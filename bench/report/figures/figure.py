"""Registration of a figure at the function that draws it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from bench.report.analysis.samplers import one_a_training
from bench.report.figures.style import figure_style
from bench.report.rows.arms import arm_order

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Draw = Callable[[pd.DataFrame, Path, float], "Figure"]
MOST_ARMS = 24  # more cannot be distinguished in one panel


@dataclass(frozen=True)
class RegisteredFigure:
    """A figure by name, with the title and caption that stand beside it in reports."""

    name: str
    title: str
    caption: str
    needs: str
    """Kind of cells without which there is nothing to draw."""
    one_sampler: bool
    """Whether arms that differ in the sampler alone are one arm."""
    function: Draw

    def draw(self, frame: pd.DataFrame, folder: Path, width: float) -> Figure:
        """Draw it from a frame that `as_frame` has made; of very many arms the first `MOST_ARMS`.

        Raises NothingToShow where the frame, or the results folder, lacks what it needs.
        """
        frame = one_a_training(frame) if self.one_sampler else frame
        arms = arm_order(frame)
        if len(arms) > MOST_ARMS:
            frame = frame[(frame["kind"] == "reference") | frame["arm"].isin(arms[:MOST_ARMS])]
        with figure_style(width):
            drawn = self.function(frame, folder, width)
        if len(arms) > MOST_ARMS:
            drawn.suptitle(f"{MOST_ARMS} of {len(arms)} arms; the tables hold all", fontsize="small")
        return drawn


FIGURES: dict[str, RegisteredFigure] = {}


def figure(name: str, title: str, *, needs: str, caption: str, one_sampler: bool = False) -> Callable[[Draw], Draw]:
    """Register a function (frame, results folder, width in inches) -> matplotlib Figure; it runs in `figure_style`."""

    def register(function: Draw) -> Draw:
        FIGURES[name] = RegisteredFigure(name, title, caption, needs, one_sampler, function)
        return function

    return register
