"""What a sampler gives back, and how one token is drawn."""

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


def draw_tokens(
    logits_NV: torch.Tensor, never: torch.Tensor, temperature: float, generator: torch.Generator
) -> torch.Tensor:
    """One token a row from softmax(logits / temperature) without the tokens in `never`; temperature 0 takes the best.

    Gumbel noise in float64: in float32 the largest draws are cut off, which lowers the temperature unseen
    (Zheng et al. 2024, 2409.02908, section 5).
    """
    logits_NV = logits_NV.double().index_fill(1, never.to(logits_NV.device), float("-inf"))
    if temperature == 0:
        return logits_NV.argmax(dim=1)
    u_NV = torch.rand(logits_NV.shape, generator=generator, dtype=torch.float64, device=generator.device)
    gumbel_NV = -torch.log(-torch.log(u_NV.clamp_(min=torch.finfo(torch.float64).tiny)))
    return (logits_NV / temperature + gumbel_NV.to(logits_NV.device)).argmax(dim=1)


def check_sampling(tokens_BL: torch.Tensor, steps: int, temperature: float) -> None:
    """Raise DiffusionError unless the arguments every sampler shares can be used."""
    if steps < 1:
        raise DiffusionError(f"steps: {steps} sampling steps are too few; allowed: 1 or more")
    if not temperature >= 0:
        raise DiffusionError(f"temperature: {temperature} is not allowed; allowed: 0 (the best token) or more")
    if tokens_BL.dim() != 2 or tokens_BL.dtype != torch.int64:
        raise DiffusionError(
            f"tokens: shape {tuple(tokens_BL.shape)}, {tokens_BL.dtype}; allowed: (pieces, length) int64"
        )
