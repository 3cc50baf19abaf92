"""C, the convolution mixer: a depthwise window between two pointwise projections."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from architectures.mixer import FlopCount, Mixer, register_mixer, writes_residual


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
        inner = F.glu(self.inward(x_BLD), dim=-1).transpose(1, 2)  # B L 2D -> B D L
        inner = self.depthwise(F.pad(inner, self.padding)).transpose(1, 2)  # B D L+K-1 -> B L D
        return self.outward(F.silu(self.norm(inner)))

    def flops(self, length: int) -> FlopCount:
        """Two projections, three times length x width^2, and the window."""
        return FlopCount(matmul=6.0 * length * self.width**2, convolution=2.0 * length * self.width * self.kernel)
