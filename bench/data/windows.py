"""Windows: pieces cut to a fixed length for training and evaluation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Windows:
    """Rows of `length` tokens. With n rows:

    tokens  uint16 (n, length), memory-mapped, PAD after the end of a piece
    piece   int64 (n,), row of the piece in its split that the first token belongs to
    start   int64 (n,), place of the first token in the piece
    count   int64 (n,), tokens before the PAD tail
    """

    tokens: np.ndarray
    piece: np.ndarray
    start: np.ndarray
    count: np.ndarray

    def __len__(self) -> int:
        return len(self.piece)


def window_starts(bar_starts: np.ndarray, size: int, length: int) -> list[int]:
    """First tokens of the windows over one stretch of `size` tokens, from 0 until a window reaches its end.

    Each is the last bar line at most `length` tokens after the one before, so consecutive windows overlap by less than
    a bar and no token is left out; inside a bar longer than a window the next one starts where that window ends.
    """
    starts = [0]
    while starts[-1] + length < size:
        latest = starts[-1] + length
        place = int(np.searchsorted(bar_starts, latest, side="right")) - 1
        if place >= 0 and bar_starts[place] > starts[-1]:
            latest = int(bar_starts[place])
        starts.append(latest)
    return starts


def cut(tokens: np.ndarray, starts: np.ndarray, ends: np.ndarray, length: int, pad_id: int) -> np.ndarray:
    """Rows of `length` tokens from each start, PAD from that row's end on: uint16 (n, length)."""
    rows = np.full((len(starts), length), pad_id, dtype=np.uint16)
    for row, start, end in zip(rows, starts, ends, strict=True):
        count = min(length, int(end) - int(start))
        row[:count] = tokens[start : start + count]
    return rows
