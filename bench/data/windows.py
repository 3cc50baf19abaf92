"""Windows: pieces cut to a fixed length for training and evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

Mode = Literal["pad", "join"]
Align = Literal["bar", "token"]


@dataclass(frozen=True)
class Windows:
    """Rows of `length` tokens. With n rows:

    tokens  uint16 (n, length), memory-mapped, PAD after the end of a piece
    piece   int64 (n,), row of the piece in its split that the first token belongs to
    start   int64 (n,), place of the first token in the piece (mode "pad") or in the joined stream (mode "join")
    bar     int64 (n,), bar number at the first token, counted from 0 in the piece or the stream
    count   int64 (n,), tokens before the PAD tail
    mid_bar number of rows that begin inside a bar although bars were asked for (a bar longer than a window)
    """

    tokens: np.ndarray
    piece: np.ndarray
    start: np.ndarray
    bar: np.ndarray
    count: np.ndarray
    mode: Mode
    align: Align
    hop: int
    mid_bar: int

    def __len__(self) -> int:
        return len(self.piece)

    @property
    def length(self) -> int:
        """Tokens a row."""
        return int(self.tokens.shape[1])


def window_starts(bar_starts: np.ndarray, size: int, length: int, hop: int, align: Align) -> list[int]:
    """First tokens of the windows over one stretch of `size` tokens, from 0 until a window reaches its end.

    align "token": every `hop` tokens. align "bar": the last bar line at most `hop` tokens after the one before, so
    consecutive windows overlap by less than a bar and no token is left out when hop <= length; inside a bar longer
    than `hop` the next window starts `hop` tokens on.
    """
    starts = [0]
    while starts[-1] + length < size:
        latest = starts[-1] + hop
        if align == "bar":
            place = int(np.searchsorted(bar_starts, latest, side="right")) - 1
            if place >= 0 and bar_starts[place] > starts[-1]:
                latest = int(bar_starts[place])
        if latest >= size:
            break
        starts.append(latest)
    return starts


def cut(tokens: np.ndarray, starts: np.ndarray, ends: np.ndarray, length: int, pad_id: int) -> np.ndarray:
    """Rows of `length` tokens from each start, PAD from that row's end on: uint16 (n, length)."""
    rows = np.full((len(starts), length), pad_id, dtype=np.uint16)
    for row, start, end in zip(rows, starts, ends, strict=True):
        count = min(length, int(end) - int(start))
        row[:count] = tokens[start : start + count]
    return rows


def bar_of_token(tokens: np.ndarray, bar_id: int) -> np.ndarray:
    """Bar number of each token along the last axis, from 0 at the first Bar token (-1 before it): int64, same shape."""
    return np.cumsum(np.asarray(tokens) == bar_id, axis=-1, dtype=np.int64) - 1
