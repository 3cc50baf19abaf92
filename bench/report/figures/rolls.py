"""Piano rolls: a sample of each arm beside a real piece, on one pitch axis."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from bench.report.figures.style import DOUBLE_COLUMN_IN, NothingToShow, figure_style, is_narrow, new_figure, panels
from bench.report.rows.arms import arm_order, looks
from bench.report.rows.pieces import Piece, real_pieces, samples_by_arm

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHOWN_BEATS = 64.0
REAL_COLOUR = "#333333"


def rolls_figure(frame: pd.DataFrame, folder: Path, *, width: float = DOUBLE_COLUMN_IN) -> Figure:
    """The first 64 beats of the first sample of every arm, and of a real piece; darker notes are louder.

    Raises NothingToShow where no cell left a readable sample.
    """
    arms = looks(arm_order(frame))
    samples = samples_by_arm(frame, folder, list(arms))
    if not samples:
        raise NothingToShow("rolls figure: no quality cell left a readable MIDI file in its samples/ folder")
    shown: list[tuple[str, str, Piece]] = [(piece.title, REAL_COLOUR, piece) for piece in real_pieces(frame, folder)]
    shown += [(piece.title, arms[arm].colour, piece) for arm, pieces in samples.items() for piece in pieces]
    pitches = [note[2] for _, _, piece in shown for note in piece.notes if note[0] < SHOWN_BEATS]
    beats = min(SHOWN_BEATS, max(note[0] + note[1] for _, _, piece in shown for note in piece.notes))
    columns = 1 if is_narrow(width) else 2
    rows = -(-len(shown) // columns)
    with figure_style(width):
        figure = new_figure(width, rows * 1.05 + 0.3)
        axes = panels(figure, len(shown), columns, sharex=True, sharey=True)
        for position, (axis, (title, colour, piece)) in enumerate(zip(axes, shown, strict=True)):
            _roll(axis, piece, colour, min(pitches), max(pitches))
            axis.set_title(title if len(title) <= 46 else title[:44] + "…", loc="left", pad=2)
            axis.set_ylim(min(pitches) - 2, max(pitches) + 3)
            axis.set_xlim(0, beats)
            axis.set_ylabel("pitch" if position % columns == 0 else "")
            below = position + columns >= len(shown)
            axis.tick_params(labelbottom=below)
            axis.set_xlabel("beats" if below else "")
    return figure


def _roll(axis: Axes, piece: Piece, colour: str, low: int, high: int) -> None:
    from matplotlib.collections import PolyCollection
    from matplotlib.colors import to_rgba

    kept = [note for note in piece.notes if note[0] < SHOWN_BEATS]
    boxes = [
        [
            (onset, pitch - 0.45),
            (onset + duration, pitch - 0.45),
            (onset + duration, pitch + 0.45),
            (onset, pitch + 0.45),
        ]
        for onset, duration, pitch, _ in kept
    ]
    colours = [to_rgba(colour, 0.35 + 0.65 * min(velocity, 127) / 127) for _, _, _, velocity in kept]
    axis.add_collection(PolyCollection(boxes, facecolors=colours, edgecolors="none"))
    octaves = range(0, 11, 2) if high - low > 48 else range(11)
    axis.set_yticks([12 * octave for octave in octaves], [f"C{octave - 1}" for octave in octaves])
    axis.grid(True, axis="y", linewidth=0.3)
    axis.spines["top"].set_visible(False)
    axis.spines["right"].set_visible(False)
