"""Short convolution beside a projection, an option of mixers that otherwise have none."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from architectures.state import behind, in_blocks, of_clean, tails_before_blocks


class ShortConvolution(nn.Module):
    """x + depthwise(x) over `kernel` positions, without bias and activation (the Canon layer of Allen-Zhu 2025, arXiv
    2512.17351): (B, L, C) -> (B, L, C).

    causal: every channel looks back; else the odd ones look ahead (of this project, not published), over no border of
    a block. A sequence continues behind a tail: the kernel - 1 inputs before it of the channels that look back.
    """

    def __init__(self, channels: int, kernel: int, *, causal: bool) -> None:
        super().__init__()
        if kernel < 2:
            raise ValueError(f"conv={kernel}; must be at least 2 positions, or 0 for none")
        if channels % 2 and not causal:
            raise ValueError(f"conv={kernel}: {channels} channels cannot be split in two; use an even number")
        self.channels, self.kernel, self.causal = channels, kernel, causal
        self.depthwise = nn.Conv1d(channels, channels, kernel, groups=channels, bias=False)

    def looking_back(self, x_BLC: torch.Tensor) -> torch.Tensor:
        """The channels that look back."""
        return x_BLC if self.causal else x_BLC[..., 0::2]

    def forward(self, x_BLC: torch.Tensor, tail_BKC: torch.Tensor | None = None) -> torch.Tensor:
        """(B, L, C) -> (B, L, C), behind the tail; 0 without one."""
        whole = behind(tail_BKC, self.looking_back(x_BLC), self.kernel - 1)
        weight = self.depthwise.weight
        if self.causal:
            return x_BLC + _convolved(whole, weight)
        ahead = F.pad(x_BLC[..., 1::2], (0, 0, 0, self.kernel - 1))
        pairs = (_convolved(whole, weight[0::2]), _convolved(ahead, weight[1::2].flip(-1)))
        return x_BLC + torch.stack(pairs, dim=-1).flatten(2)  # two of B L C/2 -> B L C

    def extend(self, x_BLC: torch.Tensor, tail_BKC: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        """Outputs behind the tail, and the tail of what follows."""
        whole = behind(tail_BKC, self.looking_back(x_BLC), self.kernel - 1)
        return self(x_BLC, tail_BKC), whole[:, x_BLC.shape[1] :].contiguous()

    def two_stream(self, both_BLC: torch.Tensor, block: int) -> torch.Tensor:
        """The rows of both streams, noisy ones first (2B, L, C): each block behind the clean inputs before it."""
        batch = len(both_BLC) // 2
        rows = in_blocks(both_BLC, block)
        tails = tails_before_blocks(of_clean(self.looking_back(rows), batch), block, self.kernel - 1)
        return self(rows, torch.cat((tails, tails))).view(both_BLC.shape)

    @property
    def state_size(self) -> int:
        """Floats of a tail."""
        return (self.kernel - 1) * (self.channels if self.causal else self.channels // 2)

    def flops(self, length: int) -> float:
        """Operations over a sequence."""
        return 2.0 * length * self.channels * self.kernel


def _convolved(whole_BLC: torch.Tensor, weight_C1K: torch.Tensor) -> torch.Tensor:
    """(B, L + K - 1, C) -> (B, L, C)."""
    return F.conv1d(whole_BLC.transpose(1, 2), weight_C1K, groups=len(weight_C1K)).transpose(1, 2)


def short_convolution(channels: int, kernel: int, *, causal: bool) -> ShortConvolution | None:
    """None for kernel 0. Raises ValueError for another kernel below 2."""
    return ShortConvolution(channels, kernel, causal=causal) if kernel else None
