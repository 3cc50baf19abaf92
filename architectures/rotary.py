"""Rotary positions: pairs of features turned by angles that grow with the position."""

from __future__ import annotations

import torch

ROPE_BASE = 10_000.0  # Su et al. 2021, arXiv 2104.09864, section 3.2.2
ONE_THREAD = 1 << 15
"""Numbers up to which torch leaves an operation on a CPU to the calling thread (at::internal::GRAIN_SIZE)."""


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


def rotate_both(both_2BHLK: torch.Tensor, table: tuple[torch.Tensor, torch.Tensor]) -> tuple[torch.Tensor, ...]:
    """Queries and keys, rotated: at once, or one after the other where only so no operation wakes a second thread,
    which at that size takes three times as long as the rotation."""
    if both_2BHLK.is_cpu and both_2BHLK.numel() // 2 <= ONE_THREAD < both_2BHLK.numel():
        return tuple(rotate(one_BHLK, table) for one_BHLK in both_2BHLK.unbind())
    return rotate(both_2BHLK, table).unbind()
