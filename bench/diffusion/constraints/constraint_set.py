"""Several constraints as the one object that a sampler takes."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy

import numpy as np
import torch

from bench.diffusion.constraints.masks import AllowedTokens
from bench.diffusion.constraints.successions import Successions
from bench.diffusion.constraints.voices import SoundingLimit
from bench.diffusion.samplers.constraint import MaskingConstraint


class ConstraintSet:
    """Constraints on single positions, one after another (a MaskingConstraint)."""

    def __init__(self, masks: Sequence[MaskingConstraint], voices: SoundingLimit | None = None) -> None:
        self.masks, self.voices = tuple(masks), voices

    def __call__(self, logits_BLV: torch.Tensor, tokens_BL: torch.Tensor) -> torch.Tensor:
        """The logits, -inf where a token is forbidden."""
        for mask in self.masks:
            logits_BLV = mask(logits_BLV, tokens_BL)
        return logits_BLV

    def with_allowed(self, allowed_LV: np.ndarray) -> ConstraintSet:
        """The same, and only the tokens that `allowed_LV` names at each place."""
        narrowed = copy(self)
        narrowed.masks = (AllowedTokens(allowed_LV), *self.masks)
        return narrowed

    def settle(self, tokens_BL: torch.Tensor, given_BL: torch.Tensor | None = None) -> torch.Tensor:
        """The tokens, all drawn, with durations shortened where too much sounds. Given tokens stay."""
        if self.voices is None:
            return tokens_BL
        tokens = tokens_BL.cpu().numpy()
        free = np.ones(tokens.shape, bool) if given_BL is None else ~given_BL.cpu().numpy()
        rows = [self.voices.settle(row, free_L) for row, free_L in zip(tokens, free, strict=True)]
        return torch.from_numpy(np.stack(rows)).to(tokens_BL.device)


class JointConstraintSet(ConstraintSet):
    """The same with rules on successions: revealed tokens are drawn together (a JointConstraint as well)."""

    def __init__(self, masks: Sequence[MaskingConstraint], voices: SoundingLimit | None, rules: Successions) -> None:
        super().__init__(masks, voices)
        self.draw = rules.draw
