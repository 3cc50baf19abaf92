"""Notes of the training windows as arrays in the cache, so that a corpus is decoded once and not in every cell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench.data.cache import read_array, write_array

if TYPE_CHECKING:
    from metrics import Notes

DECODED_VERSION = 1
"""Raised when the layout of the arrays or the decoding of tokens changes."""
PARTS = ("notes", "pieces", "meters")


def decoded_notes(folder: Path, length: int, songs: Sequence[str], decode: Callable[[], list[Notes]]) -> list[Notes]:
    """The training windows of `length` tokens that `decode` gives, from arrays in `folder`, written where absent.

    `songs` are the songs of the windows, in order. Raises CacheError where the cache cannot be written.
    """
    paths = [folder / f"decoded-train-{length}-v{DECODED_VERSION}-{part}.npy" for part in PARTS]
    kept = [array for path in paths if (array := read_array(path)) is not None]
    if len(kept) == len(paths) and len(kept[1]) == len(songs):
        return _pieces(*kept, songs=songs)
    made = decode()
    for path, array in zip(paths, _arrays(made), strict=True):
        write_array(path, array)
    return made


def _arrays(pieces: Sequence[Notes]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Notes (N, 5): onset, duration, held, pitch, velocity; pieces (n, 3): notes, tempo, ticks; meters (m, 3): row of
    the piece, beat, bar length."""
    columns = [np.column_stack([one.onset, one.duration, one.held, one.pitch, one.velocity]) for one in pieces]
    about = [(len(one), one.tempo, one.ticks) for one in pieces]
    meters = [(row, *meter) for row, one in enumerate(pieces) for meter in one.meters]
    return (
        np.concatenate([np.empty((0, 5)), *columns]),
        np.array(about, dtype=np.float64).reshape(-1, 3),
        np.array(meters, dtype=np.float64).reshape(-1, 3),
    )


def _pieces(notes: np.ndarray, pieces: np.ndarray, meters: np.ndarray, *, songs: Sequence[str]) -> list[Notes]:
    from metrics import Notes

    ends = np.cumsum(pieces[:, 0]).astype(np.int64)
    of_piece: dict[int, list[tuple[float, float]]] = {}
    for row, beat, bar_beats in meters.tolist():
        of_piece.setdefault(int(row), []).append((beat, bar_beats))
    found = []
    for row, ((_, tempo, ticks), own) in enumerate(zip(pieces.tolist(), np.split(notes, ends)[:-1], strict=True)):
        onset, duration, held, pitch, velocity = np.array(own.T)
        meter = tuple(of_piece.get(row, ()))
        piece = Notes(onset, duration, pitch, velocity, f"train-{row:03d}", meter, held, songs[row], tempo, int(ticks))
        found.append(piece)
    return found
