"""A figure of piano rolls in which given and drawn notes have colours of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bench.generate.page import DRAWN_COLOURS, GIVEN_COLOURS, Roll

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARGIN_QUARTERS = 16.0  # shown before and after the region
BAR_QUARTERS = 4
ROW_IN = 1.5


def rolls_figure(rolls: Sequence[Roll], *, width: float = 7.0) -> Figure:
    """One row a piece: given notes grey, drawn ones orange, the region shaded, with four bars around it."""
    from bench.report.figures.style import figure_style, new_figure, panels

    pitches = [note[2] for roll in rolls for note in (*roll.given, *roll.drawn) if _shown(roll, note)]
    with figure_style(width):
        figure = new_figure(width, ROW_IN * len(rolls) + 0.35)
        for index, (axis, roll) in enumerate(zip(panels(figure, len(rolls), 1, sharex=True), rolls, strict=True)):
            _roll(axis, roll, min(pitches, default=48) - 2, max(pitches, default=72) + 3, width)
            last = index == len(rolls) - 1
            axis.tick_params(labelbottom=last)
            axis.set_xlabel("bar (four quarter notes)" if last else "")
    return figure


def _span(roll: Roll) -> tuple[float, float]:
    end = max((note[0] + note[1] for note in (*roll.given, *roll.drawn)), default=BAR_QUARTERS)
    if roll.region is None:
        return 0.0, min(end, 64.0)
    return max(roll.region[0] - MARGIN_QUARTERS, 0.0), min(roll.region[1] + MARGIN_QUARTERS, end)


def _shown(roll: Roll, note: tuple[float, float, int, int]) -> bool:
    start, stop = _span(roll)
    return note[0] < stop and note[0] + note[1] > start


def _roll(axis: Axes, roll: Roll, low: int, high: int, width: float) -> None:
    from matplotlib.collections import PolyCollection
    from matplotlib.colors import to_rgba
    from matplotlib.patches import Patch

    from bench.report.figures.style import panel_title

    start, stop = _span(roll)
    if roll.region is not None:
        axis.axvspan(*roll.region, color=DRAWN_COLOURS[0], alpha=0.08, linewidth=0)
    for notes, colour in ((roll.given, GIVEN_COLOURS[0]), (roll.drawn, DRAWN_COLOURS[0])):
        shown = [note for note in notes if _shown(roll, note)]
        boxes = [
            [(on, pitch - 0.45), (on + held, pitch - 0.45), (on + held, pitch + 0.45), (on, pitch + 0.45)]
            for on, held, pitch, _ in shown
        ]
        colours = [to_rgba(colour, 0.45 + 0.55 * min(velocity, 127) / 127) for *_, velocity in shown]
        axis.add_collection(PolyCollection(boxes, facecolors=colours, edgecolors="none"))
    panel_title(axis, roll.title, width, loc="left", pad=2)
    axis.set_ylim(low, high)
    axis.set_xlim(start, stop)
    bars = range(int(start // BAR_QUARTERS), int(stop // BAR_QUARTERS) + 1)
    step = max(1, len(bars) // 12)
    axis.set_xticks([BAR_QUARTERS * bar for bar in bars[::step]], [str(bar) for bar in bars[::step]])
    axis.set_yticks([12 * octave for octave in range(11)], [f"C{octave - 1}" for octave in range(11)])
    axis.set_ylim(low, high)
    axis.grid(True, axis="both", linewidth=0.3)
    axis.spines[["top", "right"]].set_visible(False)
    if roll.given and roll.drawn:
        patches = [Patch(color=GIVEN_COLOURS[0], label="given"), Patch(color=DRAWN_COLOURS[0], label="drawn")]
        axis.legend(handles=patches, loc="lower right", bbox_to_anchor=(1, 0.98), ncols=2, frameon=False, borderpad=0)
