"""The contract between samplers and constraints: what may be drawn, position by position or jointly.

Every sampler takes `constrain=None` or an object of one kind or of both:

- a callable (`MaskingConstraint`): `constrain(logits_BLV, tokens_BL) -> logits_BLV`. It is given the tokens that the
  denoiser was given, and sets what is forbidden to -inf; positions that hold a token are ignored. Positions revealed
  in one call are drawn independently afterwards, so it can enforce only rules for one position (a pitch range).
- an object with `draw` (`JointConstraint`): it draws the revealed positions of each row together, so that a legal
  whole always remains reachable (a grammar). An object that is callable too masks first and then draws.

`tokens_BL` may be some rows of a batch, or a window of a longer piece whose first tokens are then visible: a
constraint keeps no state between calls and takes visible tokens as given.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import torch

MaskingConstraint = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""The logits with -inf where a token is forbidden; it may write into those it is given, dtype and shape stay."""


@runtime_checkable
class JointConstraint(Protocol):
    """Draws all positions revealed in one call together."""

    def draw(
        self,
        logits_BLV: torch.Tensor,
        tokens_BL: torch.Tensor,
        reveal_BL: torch.Tensor,
        generator: torch.Generator,
        *,
        scale: float = 1.0,
    ) -> torch.Tensor:
        """Tokens (B, L) int64 whose entries where `reveal_BL` are drawn; the others are not read.

        `logits_BLV` float64 on the denoiser's device, at every position, divided by the temperature already (at
        temperature 0 they are so far apart that the most likely choice is certain), -inf for MASK, PAD and what is
        forbidden; tokens outside the nucleus of top-p are `scale` times 1e4 lower, so that they are taken only where no
        other is legal. `scale` is 1 / temperature, at least 1: by it a constraint multiplies its own penalties, which
        then outweigh logits of any temperature. `tokens_BL` is the state before the reveal (MASK where hidden).
        `reveal_BL` (B, L) bool marks hidden positions; those hidden and not marked stay MASK after this call, and some
        completion of them must be legal given what is drawn. Drawing a whole legal row from the product of the
        positions' softmaxes, restricted to legal rows, and keeping the revealed part of it is such a draw. A sampler
        may use only a part of what was drawn (the most probable) and may hide positions again. `generator` is on the
        CPU or the device.
        Raises DiffusionError where nothing is legal, with the piece and position.
        """


Constraint = MaskingConstraint | JointConstraint
