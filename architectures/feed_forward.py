"""F, the feed-forward mixer: mixes the features of each position, and no positions."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import nn
from torch.nn import functional as F

from architectures.mixer import FlopCount, Mixer, nearest_multiple, writes_residual
from architectures.registry import register_mixer
from architectures.short_convolution import short_convolution
from architectures.state import PLAIN, Call, Extended, State, Streams, positions_before

Activation = Literal["swiglu", "gelu"]


def default_hidden(width: int, activation: Activation = "swiglu") -> int:
    """Hidden width of about 8 width^2 parameters: 8/3 of the width when gated, 4 times without, in multiples of 8."""
    return nearest_multiple(8 * width / 3 if activation == "swiglu" else 4 * width)


@register_mixer("F", name="feed-forward")
class FeedForward(Mixer):
    """SwiGLU: y = W3 (silu(W1 x) * W2 x), no biases (Shazeer 2020, arXiv 2002.05202, eq. 6); `gelu`: y = W2 gelu(W1 x).

    (B, L, D) -> (B, L, D). hidden: inner width in features; None gives `default_hidden`. conv: positions of a short
    convolution of the inner features before their activation (see `ShortConvolution`), that looks back alone when
    `causal`; 0 is none.
    """

    words = {  # noqa: RUF012
        "gelu": ("activation", "gelu"),
        "swiglu": ("activation", "swiglu"),
        "causal": ("causal", True),
    }
    causal = True

    def __init__(
        self,
        width: int,
        *,
        hidden: int | None = None,
        activation: Activation = "swiglu",
        conv: int = 0,
        causal: bool = False,
    ) -> None:
        super().__init__(width)
        if activation not in get_args(Activation):
            raise ValueError(f"activation={activation!r}; allowed: {', '.join(get_args(Activation))}")
        if causal and not conv:
            raise ValueError("causal without conv; a feed-forward alone mixes no positions")
        self.activation = activation
        self.hidden = hidden if hidden is not None else default_hidden(width, activation)
        inner = self.hidden * (2 if activation == "swiglu" else 1)
        self.inward = nn.Linear(width, inner, bias=False)
        self.outward = writes_residual(nn.Linear(self.hidden, width, bias=False))
        self.short = short_convolution(inner, conv, causal=causal)
        if self.short is not None:
            self.causal, self.direction = causal, "forward" if causal else "bidirectional"

    def forward(self, x_BLD: torch.Tensor) -> torch.Tensor:
        """(B, L, D) -> (B, L, D)."""
        inner = self.inward(x_BLD)
        return self.activated(inner if self.short is None else self.short(inner))

    def activated(self, inner_BLH: torch.Tensor) -> torch.Tensor:
        """What follows the first product."""
        if self.activation == "gelu":
            return self.outward(F.gelu(inner_BLH))
        gate, value = inner_BLH.chunk(2, dim=-1)  # B L 2H -> B L H, B L H
        return self.outward(F.silu(gate) * value)

    def extend(self, x_BLD: torch.Tensor, state: State | None = None, call: Call = PLAIN) -> Extended:
        """As in `Mixer`; the state holds the tail of a short convolution."""
        if self.short is None:
            return super().extend(x_BLD, state, call)
        inner, tail = self.short.extend(self.inward(x_BLD), None if state is None else state.tensors[0])
        after = State(positions_before(state) + x_BLD.shape[1], (tail,)) if call.keep else None
        return self.activated(inner), after

    def two_stream(self, noisy_BLD: torch.Tensor, clean_BLD: torch.Tensor, block: int, call: Call = PLAIN) -> Streams:
        """As in `Mixer`."""
        if self.short is None:
            return super().two_stream(noisy_BLD, clean_BLD, block, call)
        inner = self.short.two_stream(self.inward(torch.cat((noisy_BLD, clean_BLD))), block)
        noisy, clean = self.activated(inner).chunk(2)
        return noisy, clean

    def state_size(self, positions: int) -> int:
        """The inputs of a short convolution."""
        return self.short.state_size if self.short is not None else 0

    def flops(self, length: int) -> FlopCount:
        """Two (gelu) or three (swiglu) products of length x width x hidden, and the short convolution."""
        products = 3 if self.activation == "swiglu" else 2
        convolution = self.short.flops(length) if self.short is not None else 0.0
        return FlopCount(matmul=2.0 * products * length * self.width * self.hidden, convolution=convolution)
