"""Rotary positions: pairs of features turned by angles that grow with the position."""

from __future__ import annotations

import torch

ROPE_BASE = 10_000.0  # Su et al. 2021, arXiv 2104.09864, section 3.2.2


def rotary_table(x_BHLK: torch.Tensor, past: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosine and sine (L, K) by which `rotate` turns vectors of this shape and type behind `past` positions; the sine
    of a first half is negative."""
    length, head_width = x_BHLK.shape[-2:]
    half = head_width // 2
    steps = torch.arange(half, device=x_BHLK.device, dtype=torch.float32)
    frequency = ROPE_BASE ** (-steps / half)
    place = torch.arange(past, past + length, device=x_BHLK.device, dtype=torch.float32)
    angle = place[:, None] * frequency  # L K/2
    cosine, sine = angle.cos().to(x_BHLK.dtype), angle.sin().to(x_BHLK.dtype)
    return torch.cat((cosine, cosine), dim=-1), torch.cat((-sine, sine), dim=-1)


def rotate(x_BHLK: torch.Tensor, table: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    """Rotary positions: pair (i, i + K/2) of position t turns by the angle t * base^(-2i/K).

    Source: Su et al. 2021, eq. 34, with the halves paired (as in GPT-NeoX) rather than neighbours.
    """
    cosine, sine = table
    first, second = x_BHLK.chunk(2, dim=-1)  # B H L K -> B H L K/2, B H L K/2
    return x_BHLK * cosine + torch.cat((second, first), dim=-1) * sine
