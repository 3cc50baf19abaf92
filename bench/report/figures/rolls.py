"""Piano rolls: a sample of each arm beside a real piece, on one pitch axis."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from bench.report.figures.data import state_data
from bench.report.figures.figure import figure
from bench.report.figures.style import NothingToShow, is_narrow, panel_grid, panel_title
from bench.report.rows.arms import looks_of
from bench.report.rows.frame import QUALITY
from bench.report.rows.pieces import Piece, real_pieces, samples_by_arm

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHOWN_BEATS = 64.0
REAL_COLOUR = "#333333"


@figure(
    "rolls",
    "Piano rolls",
    needs=QUALITY,
    caption="A real piece and the first sample of each arm, not selected; darker notes are louder.",
)
def rolls_figure(frame: pd.DataFrame, folder: Path, width: float) -> Figure:
    """The first 64 beats of the first sample of every arm, and of a real piece."""
    arms = looks_of(frame)
    samples = samples_by_arm(frame, folder, list(arms))
    if not samples:
        raise NothingToShow("rolls figure: no quality cell left a readable MIDI file in its samples/ folder")
    shown = [(piece, REAL_COLOUR) for piece in real_pieces(frame, folder)]
    shown += [(piece, arms[arm].colour) for arm, pieces in samples.items() for piece in pieces]
    pitches = [note[2] for piece, _ in shown for note in piece.notes if note[0] < SHOWN_BEATS]
    beats = min(SHOWN_BEATS, max(note[0] + note[1] for piece, _ in shown for note in piece.notes))
    columns = 1 if is_narrow(width) else 2
    drawn, axes = panel_grid(width, len(shown), columns, 1.05, 0.3, sharex=True, sharey=True)
    for position, (axis, (piece, colour)) in enumerate(zip(axes, shown, strict=True)):
        _roll(axis, piece, colour, min(pitches), max(pitches))
        panel_title(axis, piece.title, width, columns, loc="left", pad=2)
        axis.set_ylim(min(pitches) - 2, max(pitches) + 3)
        axis.set_xlim(0, beats)
        axis.set_ylabel("pitch" if position % columns == 0 else "")
        below = position + columns >= len(shown)
        axis.tick_params(labelbottom=below)
        axis.set_xlabel("beats" if below else "")
    return drawn


def _roll(axis: Axes, piece: Piece, colour: str, low: int, high: int) -> None:
    from matplotlib.collections import PolyCollection
    from matplotlib.colors import to_rgba

    kept = [note for note in piece.notes if note[0] < SHOWN_BEATS]
    boxes = [
        [(left, bottom), (right, bottom), (right, top), (left, top)]
        for left, right, bottom, top in ((on, on + beats, at - 0.45, at + 0.45) for on, beats, at, _ in kept)
    ]
    colours = [to_rgba(colour, 0.35 + 0.65 * min(velocity, 127) / 127) for _, _, _, velocity in kept]
    for on, beats, at, _ in kept:
        state_data(axis, piece.title, "note", None, float(at), on, on + beats)
    axis.add_collection(PolyCollection(boxes, facecolors=colours, edgecolors="none"))
    octaves = range(0, 11, 2) if high - low > 48 else range(11)
    axis.set_yticks([12 * octave for octave in octaves], [f"C{octave - 1}" for octave in octaves])
    axis.grid(False, axis="x")
    axis.grid(True, axis="y", linewidth=0.3)
