"""Where training batches come from: fixed windows, or crops at random starts. Nothing here knows the model."""

from __future__ import annotations

import hashlib
from typing import Protocol, runtime_checkable

import numpy as np
import torch

from bench.training.errors import TrainingError


@runtime_checkable
class Batches(Protocol):
    """A source of training data; whatever it draws, it draws from the generator it is given."""

    length: int  # tokens a sequence
    size: int  # windows, or pieces, there are to draw from
    fingerprint: str  # equal for equal data

    def batch(self, generator: torch.Generator, batch_size: int) -> np.ndarray:
        """`batch_size` sequences, (B, length) int64."""
        ...


class WindowBatches:
    """Rows of a fixed array of windows (n, L), drawn without repetition inside a batch."""

    def __init__(self, tokens: np.ndarray) -> None:
        if tokens.ndim != 2 or not np.issubdtype(tokens.dtype, np.integer):
            raise TrainingError(
                f"training data: {tokens.dtype} of shape {tokens.shape}; allowed: integers of shape (windows, length)"
            )
        self.tokens, (self.size, self.length) = tokens, tokens.shape
        self.fingerprint = fingerprint(tokens)

    def batch(self, generator: torch.Generator, batch_size: int) -> np.ndarray:
        """See Batches.batch. Raises TrainingError where there are fewer windows than the batch has rows."""
        check_enough(self.size, batch_size, "windows")
        rows = torch.randperm(self.size, generator=generator)[:batch_size].numpy()
        return self.tokens[rows].astype(np.int64)


class CropBatches:
    """Crops of `length` tokens at random starts of a stream of pieces, every start equally likely.

    tokens_N holds all pieces end to end, piece i at offsets[i]..offsets[i+1]. A crop never crosses the edge of a
    piece; a piece shorter than `length` is one crop, filled with PAD on the right. `starts_N` (bool) narrows where a
    crop may begin, for example to Bar tokens; the first token of a piece is always a start. With it a crop may
    reach the end of its piece and is filled with PAD.
    """

    def __init__(
        self, tokens_N: np.ndarray, offsets: np.ndarray, length: int, *, pad_id: int, starts_N: np.ndarray | None = None
    ) -> None:
        if length < 1:
            raise TrainingError(f"length: crops of {length} tokens; allowed: 1 or more")
        self.tokens_N, self.length, self.pad_id = tokens_N, length, pad_id
        offsets = np.asarray(offsets, dtype=np.int64)
        sizes = np.diff(offsets)
        offsets, self.ends = offsets[:-1][sizes > 0], offsets[1:][sizes > 0]
        self.size = len(offsets)
        allowed = np.zeros(len(tokens_N), dtype=bool) if starts_N is None else np.array(starts_N, dtype=bool)
        for start, end in zip(offsets, self.ends, strict=True):
            last = max(start, end - length)
            if starts_N is None:
                allowed[start : last + 1] = True
            allowed[start] = True
        self.starts = np.flatnonzero(allowed)
        self.fingerprint = fingerprint(tokens_N, offsets, self.starts)

    def batch(self, generator: torch.Generator, batch_size: int) -> np.ndarray:
        """See Batches.batch. Raises TrainingError where there are fewer starts than the batch has rows."""
        check_enough(len(self.starts), batch_size, "crops")
        starts = self.starts[torch.randint(len(self.starts), (batch_size,), generator=generator).numpy()]
        ends = self.ends[np.searchsorted(self.ends, starts, side="right")]
        crops_BL = np.full((batch_size, self.length), self.pad_id, dtype=np.int64)
        for row, (start, end) in enumerate(zip(starts, np.minimum(ends, starts + self.length), strict=True)):
            crops_BL[row, : end - start] = self.tokens_N[start:end]
        return crops_BL


def fingerprint(*arrays: np.ndarray) -> str:
    """Sixteen hexadecimal digits that are equal for equal arrays."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(repr((array.shape, str(array.dtype))).encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()[:16]


def check_enough(available: int, batch_size: int, noun: str) -> None:
    """Raise TrainingError where a batch cannot be filled."""
    if available < batch_size:
        raise TrainingError(
            f"training data: {available} {noun} for a batch of {batch_size}; "
            "allowed: at least a batch (shorten length, shrink batch, or take a larger corpus)"
        )


def as_batches(data: Batches | np.ndarray) -> Batches:
    """`data` itself, or a plain array of windows (n, L) as WindowBatches."""
    return WindowBatches(data) if isinstance(data, np.ndarray) else data
