"""What a sampler gives back, and what all of them check."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from bench.diffusion.errors import DiffusionError


@dataclass(frozen=True)
class Sample:
    """Drawn tokens and what they cost: `nfe[b]` network calls were made in which piece b took part."""

    tokens_BL: torch.Tensor  # int64, no MASK left
    nfe: list[int]

    @property
    def nfe_mean(self) -> float:
        """Network calls a piece, the mean over the pieces."""
        return sum(self.nfe) / len(self.nfe)


@contextmanager
def evaluation_mode(denoise: object) -> Iterator[None]:
    """No gradients, and a module in eval mode (dropout off) until the block ends."""
    was_training = isinstance(denoise, nn.Module) and denoise.training
    if isinstance(denoise, nn.Module):
        denoise.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        if was_training and isinstance(denoise, nn.Module):
            denoise.train()


def check_sampling(tokens_BL: torch.Tensor, mask_id: int, steps: int, fixed: torch.Tensor | None) -> None:
    """Raise DiffusionError unless the arguments every sampler shares can be used."""
    if steps < 1:
        raise DiffusionError(f"steps: {steps} sampling steps are too few; allowed: 1 or more")
    if tokens_BL.dim() != 2 or tokens_BL.dtype != torch.int64:
        raise DiffusionError(
            f"tokens: shape {tuple(tokens_BL.shape)}, {tokens_BL.dtype}; allowed: (pieces, length) int64"
        )
    if fixed is None:
        return
    if fixed.shape != tokens_BL.shape or fixed.dtype != torch.bool:
        raise DiffusionError(f"fixed: shape {tuple(fixed.shape)}, {fixed.dtype}; allowed: the tokens' shape, bool")
    if bool(((tokens_BL == mask_id) & fixed.to(tokens_BL.device)).any()):
        raise DiffusionError("fixed: a fixed position holds MASK; allowed: fixed positions with a token")
