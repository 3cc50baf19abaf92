"""F, the feed-forward mixer: mixes the features of each position, and no positions."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import nn
from torch.nn import functional as F

from architectures.mixer import FlopCount, Mixer, nearest_multiple, register_mixer, writes_residual

Activation = Literal["swiglu", "gelu"]


def default_hidden(width: int, activation: Activation = "swiglu") -> int:
    """Hidden width of about 8 width^2 parameters: 8/3 of the width when gated, 4 times without, in multiples of 8."""
    return nearest_multiple(8 * width / 3 if activation == "swiglu" else 4 * width)


@register_mixer("F", name="feed-forward")
class FeedForward(Mixer):
    """SwiGLU: y = W3 (silu(W1 x) * W2 x), no biases (Shazeer 2020, arXiv 2002.05202, eq. 6); `gelu`: y = W2 gelu(W1 x).

    (B, L, D) -> (B, L, D). hidden: inner width in features; None gives `default_hidden`.
    """

    words = {"gelu": ("activation", "gelu"), "swiglu": ("activation", "swiglu")}  # noqa: RUF012
    causal = True

    def __init__(self, width: int, *, hidden: int | None = None, activation: Activation = "swiglu") -> None:
        super().__init__(width)
        if activation not in get_args(Activation):
            raise ValueError(f"activation={activation!r}; allowed: {', '.join(get_args(Activation))}")
        self.activation = activation
        self.hidden = hidden if hidden is not None else default_hidden(width, activation)
        self.inward = nn.Linear(width, self.hidden * (2 if activation == "swiglu" else 1), bias=False)
        self.outward = writes_residual(nn.Linear(self.hidden, width, bias=False))

    def forward(self, x_BLD: torch.Tensor) -> torch.Tensor:
        """(B, L, D) -> (B, L, D)."""
        inner = self.inward(x_BLD)
        if self.activation == "gelu":
            return self.outward(F.gelu(inner))
        gate, value = inner.chunk(2, dim=-1)  # B L 2H -> B L H, B L H
        return self.outward(F.silu(gate) * value)

    def flops(self, length: int) -> FlopCount:
        """Two (gelu) or three (swiglu) products of length x width x hidden."""
        products = 3 if self.activation == "swiglu" else 2
        return FlopCount(matmul=2.0 * products * length * self.width * self.hidden)
