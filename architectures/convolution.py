"""C, the convolution mixer: a depthwise window between two pointwise projections."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from architectures.mixer import FlopCount, Mixer, writes_residual
from architectures.registry import register_mixer
from architectures.state import (
    PLAIN,
    Call,
    Extended,
    State,
    Streams,
    behind,
    behind_clean,
    following,
    streams,
)


@register_mixer("C", name="convolution")
class Convolution(Mixer):
    """Depthwise-separable convolution as in the Conformer (Gulati et al. 2020, arXiv 2005.08100, figure 2):
    y = W' silu(norm(depthwise(a * sigmoid(b)))), a, b = W x.

    (B, L, D) -> (B, L, D). kernel: positions a window spans, odd unless causal; `causal` looks back only.
    Departs from the paper in its norm: LayerNorm, since batch norm would mix the sequences of a batch.
    """

    words = {"causal": ("causal", True)}  # noqa: RUF012

    def __init__(self, width: int, *, kernel: int = 15, causal: bool = False) -> None:
        super().__init__(width)
        if kernel < 1 or (kernel % 2 == 0 and not causal):
            raise ValueError(f"kernel={kernel}; must be at least 1, and odd unless causal")
        self.kernel, self.causal = kernel, causal
        self.direction = "forward" if causal else "bidirectional"
        self.padding = (kernel - 1, 0) if causal else (kernel // 2, kernel // 2)
        self.inward = nn.Linear(width, 2 * width, bias=False)
        self.depthwise = nn.Conv1d(width, width, kernel, groups=width)
        self.norm = nn.LayerNorm(width)
        self.outward = writes_residual(nn.Linear(width, width, bias=False))

    def forward(self, x_BLD: torch.Tensor) -> torch.Tensor:
        """(B, L, D) -> (B, L, D)."""
        return self.windowed(F.pad(F.glu(self.inward(x_BLD), dim=-1), (0, 0, self.padding[0], 0)))

    def windowed(self, whole_BLD: torch.Tensor) -> torch.Tensor:
        """What follows the gated linear unit, for positions behind those that the window looks back to."""
        inner = F.pad(whole_BLD.transpose(1, 2), (0, self.padding[1]))  # B reach+L D -> B D L+K-1
        inner = self.depthwise(inner).transpose(1, 2)  # B D L+K-1 -> B L D
        return self.outward(F.silu(self.norm(inner)))

    def extend(self, x_BLD: torch.Tensor, state: State | None = None, call: Call = PLAIN) -> Extended:
        """As in `Mixer`; the state holds the inputs that the window looks back to."""
        tail = state.tensors[0] if state is not None else None
        whole = behind(tail, F.glu(self.inward(x_BLD), dim=-1), self.padding[0])
        return self.windowed(whole), following(state, whole, x_BLD.shape[1]) if call.keep else None

    def two_stream(self, noisy_BLD: torch.Tensor, clean_BLD: torch.Tensor, block: int, call: Call = PLAIN) -> Streams:
        """As in `Mixer`: all blocks of both streams as rows, each behind the clean inputs before it."""
        rows, _ = streams(noisy_BLD, clean_BLD, block, None)
        inner = F.glu(self.inward(rows), dim=-1)
        y = self.windowed(behind_clean(inner, len(clean_BLD), self.padding[0]))
        noisy, clean = y.view(2, *clean_BLD.shape)
        return noisy, clean

    def state_size(self, positions: int) -> int:
        """The inputs that the window looks back to."""
        return self.padding[0] * self.width

    def two_stream_flops(self, length: int, block: int) -> FlopCount:
        """Twice one stream."""
        return self.flops(length) + self.flops(length)

    def flops(self, length: int) -> FlopCount:
        """Two projections, three times length x width^2, and the window."""
        return FlopCount(matmul=6.0 * length * self.width**2, convolution=2.0 * length * self.width * self.kernel)
