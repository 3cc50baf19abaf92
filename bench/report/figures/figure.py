"""Registration of a figure at the function that draws it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from bench.report.analysis.samplers import one_a_training
from bench.report.figures.style import figure_style, write_numbers
from bench.report.presentation import PLAIN, Presentation, set_apart
from bench.report.rows.arms import arm_order
from bench.report.rows.frame import REFERENCE, made_once

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
    panels: tuple[tuple[str, ...], ...]
    """Quantities that have panels, those of each axis by themselves."""
    most_arms: int
    """Arms that it can show."""
    function: Draw

    def draw(self, frame: pd.DataFrame, folder: Path, width: float, presentation: Presentation = PLAIN) -> Figure:
        """Draw it from a frame that `as_frame` has made; of very many arms the first `most_arms`, and of the panels
        those that the presentation asks for, where it names any of them.

        Raises NothingToShow where the frame, or the results folder, lacks what it needs.
        """
        frame = one_a_training(frame) if self.one_sampler else frame
        arms = arm_order(frame)
        if len(arms) > self.most_arms:
            frame = _of_arms(frame, arms[: self.most_arms])
        for group in self.panels:
            if asked := set(group) & set(presentation.panels):
                frame = set_apart(frame, frame["metric"].isin(set(group) - asked))
        with figure_style(width):
            drawn = self.function(frame, folder, width)
            write_numbers(drawn, presentation.numbers)
        if len(arms) > self.most_arms:
            words = f"of the first {self.most_arms} of {len(arms)} arms; the tables hold all"
            drawn.suptitle(words, fontsize="small")
        return drawn


def _of_arms(frame: pd.DataFrame, arms: list[str]) -> pd.DataFrame:
    """The frame with the rows of other arms set apart; one for all figures, so that they share its summaries."""

    def make() -> pd.DataFrame:
        return set_apart(frame, (frame["kind"] != REFERENCE) & ~frame["arm"].isin(arms))

    return made_once(frame, f"first {len(arms)} arms", make)


FIGURES: dict[str, RegisteredFigure] = {}


def figure(
    name: str,
    title: str,
    *,
    needs: str,
    caption: str,
    one_sampler: bool = False,
    panels: Sequence[Sequence[str]] = (),
    most_arms: int = MOST_ARMS,
) -> Callable[[Draw], Draw]:
    """Register a function (frame, results folder, width in inches) -> matplotlib Figure; it runs in `figure_style`.

    `panels`: quantities of which it has a panel each; where a panel is of two, those of each axis by themselves.
    `most_arms`: for a figure that joins arms to curves, more than can be distinguished.
    """

    def register(function: Draw) -> Draw:
        groups = tuple(tuple(group) for group in panels)
        FIGURES[name] = RegisteredFigure(name, title, caption, needs, one_sampler, groups, most_arms, function)
        return function

    return register
