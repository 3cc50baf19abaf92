"""Extent of token sequences in music: the notes that they hold, the quarter notes that they last."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bench.data.settings import note_types

if TYPE_CHECKING:
    from bench.data import TokenCorpus


class Extent(NamedTuple):
    """Notes and beats (quarter notes) of each window: float64 (W,)."""

    notes: np.ndarray
    beats: np.ndarray


def window_extent(tokens: TokenCorpus, split: str, length: int, chosen: Sequence[int] | None = None) -> Extent:
    """Extent of the `chosen` windows of a side (default: all).

    A note counts in the window that holds all of its three tokens. Beats run from a window's first token to the token
    after the window in its piece, and to the end of the last bar where the piece ends: windows that follow each other
    without overlap add up to their piece, and what two windows share counts in both, as its tokens do.
    """
    windows, pieces = tokens.windows(split, length), tokens.pieces(split)
    places = np.arange(len(windows)) if chosen is None else np.asarray(chosen)
    beats: dict[int, np.ndarray] = {}
    found = np.zeros((2, len(places)))
    for column, window in enumerate(places):
        piece, start, count = int(windows.piece[window]), int(windows.start[window]), int(windows.count[window])
        if piece not in beats:
            beats[piece] = beat_of_token(tokens, np.append(pieces[piece], tokens.bar_id))
        found[0, column] = count_notes(tokens, pieces[piece][start : start + count])
        found[1, column] = beats[piece][start + count] - beats[piece][start]
    return Extent(*found)


def count_notes(tokens: TokenCorpus, sequence: np.ndarray) -> int:
    """Notes of a token sequence (L,): the three tokens of a note in a row, as the decoder reads them."""
    kinds = tokens.type_of_token[np.asarray(sequence).astype(np.int64)]
    wanted = [tokens.type_names.index(name) for name in note_types(tokens.type_names)]
    return int(np.count_nonzero((kinds[:-2] == wanted[0]) & (kinds[1:-1] == wanted[1]) & (kinds[2:] == wanted[2])))


def beat_of_token(tokens: TokenCorpus, sequence: np.ndarray) -> np.ndarray:
    """Quarter note at which each token of a sequence (L,) stands: its Bar, or the Position before. Never falls.

    A bar lasts as long as all Positions together, or as its TimeSig says, whose lower number also is the beat that
    Positions divide.
    """
    words = [word.partition("_")[::2] for word in tokens.vocabulary]
    steps = tokens.settings.positions_a_beat
    offsets = {index: int(value) for index, (name, value) in enumerate(words) if name == "Position"}
    meters = {index: _meter(value) for index, (name, value) in enumerate(words) if name == "TimeSig"}
    beats, bar, begun, offset = np.zeros(len(sequence)), 0.0, False, 0
    bar_beats, step_beats = (4.0 if meters else len(offsets) / steps), 1 / steps
    for place, token in enumerate(np.asarray(sequence).tolist()):
        if token == tokens.bar_id:
            bar, begun, offset = bar + bar_beats if begun else bar, True, 0
        elif token in meters:
            bar_beats, step_beats = meters[token][0], meters[token][1] / steps
        else:
            offset = offsets.get(token, offset)
        beats[place] = bar + offset * step_beats
    return np.maximum.accumulate(beats)  # a Position may step back in what a model plays


def _meter(value: str) -> tuple[float, float]:
    """Quarter notes of a bar, and of the beat that its lower number names: "6/8" gives 3 and 1/2."""
    upper, lower = map(int, value.split("/"))
    return 4 * upper / lower, 4 / lower
