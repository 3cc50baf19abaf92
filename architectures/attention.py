"""A, multi-head attention: every position sees every other, at a cost that grows with the square of the length."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import nn
from torch.nn import functional as F

from architectures.mixer import FlopCount, Mixer, register_mixer

Positions = Literal["rope", "none"]
ROPE_BASE = 10_000.0  # Su et al. 2021, arXiv 2104.09864, section 3.2.2


@register_mixer("A", name="attention")
class Attention(Mixer):
    """softmax(Q K^T / sqrt(head_width)) V over `heads` heads (Vaswani et al. 2017, arXiv 1706.03762, eq. 1).

    (B, L, D) -> (B, L, D), through torch's scaled_dot_product_attention. heads = width // head_width, at
    least one; the inner width is heads * head_width, so that the model's width may take any value when arms
    are matched in size. positions: `rope` rotates queries and keys (Su et al. 2021), `none` adds nothing.
    """

    words = {"causal": ("causal", True), "rope": ("positions", "rope")}  # noqa: RUF012

    def __init__(
        self, width: int, *, head_width: int = 32, positions: Positions = "rope", causal: bool = False
    ) -> None:
        super().__init__(width)
        if positions not in get_args(Positions):
            raise ValueError(f"positions={positions!r}; allowed: {', '.join(get_args(Positions))}")
        if head_width < 2 or head_width % 2:
            raise ValueError(f"head_width={head_width}; must be even and at least 2")
        self.positions, self.causal = positions, causal
        self.direction = "forward" if causal else "bidirectional"
        self.head_width = head_width
        self.heads = max(1, width // head_width)
        self.inner = self.heads * head_width
        self.inward = nn.Linear(width, 3 * self.inner, bias=False)
        self.outward = nn.Linear(self.inner, width, bias=False)
        self.outward.weight._residual_output = True  # type: ignore[attr-defined]

    def forward(self, x_BLD: torch.Tensor) -> torch.Tensor:
        """(B, L, D) -> (B, L, D)."""
        batch, length, _ = x_BLD.shape
        qkv = self.inward(x_BLD).view(batch, length, 3, self.heads, self.head_width)  # B L 3HK -> B L 3 H K
        query, key, value = qkv.permute(2, 0, 3, 1, 4)  # B L 3 H K -> three of B H L K
        if self.positions == "rope":
            query, key = rotate(query), rotate(key)
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=self.causal)
        return self.outward(mixed.transpose(1, 2).reshape(batch, length, self.inner))  # B H L K -> B L D

    def flops(self, length: int) -> FlopCount:
        """Four projections and the two products of length x length; a causal mask saves nothing in this count."""
        return FlopCount(matmul=8.0 * length * self.width * self.inner, attention=4.0 * length**2 * self.inner)


def rotate(x_BHLK: torch.Tensor) -> torch.Tensor:
    """Rotary positions: pair (i, i + K/2) of position t turns by the angle t * base^(-2i/K).

    Source: Su et al. 2021, eq. 34, with the halves paired (as in GPT-NeoX) rather than neighbours.
    """
    length, head_width = x_BHLK.shape[-2:]
    half = head_width // 2
    steps = torch.arange(half, device=x_BHLK.device, dtype=torch.float32)
    frequency = ROPE_BASE ** (-steps / half)
    angle = torch.arange(length, device=x_BHLK.device, dtype=torch.float32)[:, None] * frequency  # L K/2
    cosine, sine = angle.cos().to(x_BHLK.dtype), angle.sin().to(x_BHLK.dtype)
    first, second = x_BHLK.split(half, dim=-1)  # B H L K -> B H L K/2, B H L K/2
    return torch.cat((first * cosine - second * sine, second * cosine + first * sine), dim=-1)
