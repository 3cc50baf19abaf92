"""States of mixers and backbones between two calls of `extend`, and sequences cut into blocks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional as F


@dataclass(frozen=True)
class State:
    """Content that a mixer keeps of the positions before a call.

    past: their number. tensors: one row per sequence each, in an order of the mixer's own. pad_BL: true at kept
    positions of PAD; None where there are none, and for a mixer that keeps no positions.
    """

    past: int
    tensors: tuple[torch.Tensor, ...] = ()
    pad_BL: torch.Tensor | None = None

    @property
    def size(self) -> int:
        """Floats a sequence."""
        return sum(tensor[0].numel() for tensor in self.tensors)

    def rows(self, index_R: torch.Tensor) -> State:
        """The state of some sequences, by their int64 indices."""
        pad_BL = None if self.pad_BL is None else self.pad_BL[index_R]
        return State(self.past, tuple(tensor[index_R] for tensor in self.tensors), pad_BL)


@dataclass(frozen=True)
class BackboneState:
    """What `Backbone.extend` keeps: the number of tokens and of rows so far, and the state of each layer."""

    tokens: int
    batch: int
    layers: tuple[State | None, ...]

    @property
    def size(self) -> int:
        """Floats a row."""
        return sum(layer.size for layer in self.layers if layer is not None)

    def rows(self, index_R: torch.Tensor) -> BackboneState:
        """The state of some rows, by their int64 indices."""
        layers = tuple(None if layer is None else layer.rows(index_R) for layer in self.layers)
        return BackboneState(self.tokens, len(index_R), layers)


@dataclass(frozen=True)
class Call:
    """What a call of `Mixer.extend` or `two_stream` is given beside its positions.

    pad_BL: true at PAD, where x is 0. keep: whether `extend` makes the state after the call. shared: a dict that all
    layers of one call share, as in `Mixer.forward`.
    """

    pad_BL: torch.Tensor | None = None
    keep: bool = True
    shared: dict[Any, Any] | None = None


PLAIN = Call()
Extended = tuple[torch.Tensor, State | None]
"""Outputs, and the state after them."""
Streams = tuple[torch.Tensor, torch.Tensor]
"""Outputs of the noisy and of the clean stream."""


def positions_before(state: State | None) -> int:
    """Positions before the call; 0 without a state."""
    return 0 if state is None else state.past


def behind(tail_BKX: torch.Tensor | None, x_BLX: torch.Tensor, reach: int) -> torch.Tensor:
    """The positions behind the `reach` before them, which are 0 without a tail: (B, reach + L, X)."""
    if tail_BKX is None:
        return F.pad(x_BLX, (0, 0, reach, 0))
    return torch.cat((tail_BKX, x_BLX), dim=1)


def following(state: State | None, whole_BLX: torch.Tensor, length: int, *more: torch.Tensor) -> State:
    """The state after `length` positions: their last inputs, as many as stand before them in `behind`'s result, and
    more tensors."""
    return State(positions_before(state) + length, (whole_BLX[:, length:].contiguous(), *more))


def in_blocks(x: torch.Tensor, block: int) -> torch.Tensor:
    """Blocks as rows: (B, L, ...) -> (B L/block, block, ...)."""
    return x.unflatten(1, (-1, block)).flatten(0, 1)


def tails_before_blocks(x_BLX: torch.Tensor, block: int, reach: int) -> torch.Tensor:
    """The `reach` positions before each block, 0 before the first: (B L/block, reach, X)."""
    if reach == 0:
        return in_blocks(x_BLX, block)[:, :0]
    windows = F.pad(x_BLX, (0, 0, reach, 0)).unfold(1, reach, block)  # B L+reach X -> B L/block+1 X reach
    return windows[:, :-1].flatten(0, 1).transpose(1, 2)


def streams(
    noisy_BLD: torch.Tensor, clean_BLD: torch.Tensor, block: int, pad_BL: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Blocks of the noisy stream, then of the clean one, as rows (2B L/block, block, D), and the PAD of these rows."""
    pad = None if pad_BL is None else in_blocks(torch.cat((pad_BL, pad_BL)), block)
    return in_blocks(torch.cat((noisy_BLD, clean_BLD)), block), pad


def of_clean(rows: torch.Tensor, batch: int) -> torch.Tensor:
    """The clean half of the rows of `streams`, its blocks joined again: (B, L, ...)."""
    return rows.chunk(2)[1].unflatten(0, (batch, -1)).flatten(1, 2)


def behind_clean(rows_RLX: torch.Tensor, batch: int, reach: int) -> torch.Tensor:
    """The rows of `streams`, each behind the `reach` clean positions before its block: (R, reach + block, X)."""
    tails = tails_before_blocks(of_clean(rows_RLX, batch), rows_RLX.shape[1], reach)
    return torch.cat((torch.cat((tails, tails)), rows_RLX), dim=1)


def in_turn(
    noisy_BLD: torch.Tensor, clean_BLD: torch.Tensor, block: int, pad_BL: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Noisy and clean blocks in turn, the noisy one first (B, 2L, D), and the PAD of both."""

    def paired(noisy: torch.Tensor, clean: torch.Tensor) -> torch.Tensor:
        blocks = (one.unflatten(1, (-1, block)) for one in (noisy, clean))
        return torch.stack(tuple(blocks), dim=2).flatten(1, 3)  # B n 2 block * -> B 2L *

    return paired(noisy_BLD, clean_BLD), None if pad_BL is None else paired(pad_BL, pad_BL)
