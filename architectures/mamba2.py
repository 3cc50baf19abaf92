"""S, the Mamba-2 mixer (SSD): one decay a head, so that the scan becomes matrix products."""

from __future__ import annotations

import math
from typing import get_args

import torch
from torch import nn
from torch.nn import functional as F

from architectures import depthwise
from architectures.attention import HEAD_MULTIPLE, split_heads
from architectures.mamba import DELTA_FLOOR, DELTA_MAX, DELTA_MIN, MambaDirection
from architectures.mixer import (
    EIGHT,
    FlopCount,
    Mixer,
    nearest_multiple,
    register_mixer,
    type_of_products,
    without_autocast,
    without_decay,
    writes_residual,
)
from architectures.padding import without_pad
from architectures.ssd import SSD, chosen_kernel, ssd, ssd_flops

A_LOW, A_HIGH = 1.0, 16.0  # range of -A at the start (Dao and Gu 2024, the released code)
NORM_EPSILON = 1e-5


@register_mixer("S", name="mamba2")
class Mamba2(Mixer):
    """Mamba-2 (Dao and Gu 2024, arXiv 2405.21060, figure 6): z, x, B, C, delta = W u; x, B, C through a short
    convolution and silu; y = W' norm(SSD(x, delta, A, B, C) + D x, gated by silu(z)).

    (B, L, D) -> (B, L, D). state: N; expand: inner width over width; head_features: P, inner features wanted per head,
    which has one decay (see `split_heads`; from 8 heads on their number is a multiple of 8, as in all published sizes,
    and with it the rows of W, and P the nearest that fits); kernel: of the short convolution, in positions; one group
    of B and C. The defaults are those of the released code (N = 128, P = 64, expand 2, kernel 4). direction: `forward`
    is causal, `backward` its mirror; `bidirectional` (of this project, not published) lets half of each head's features
    run each way with the same weights: equal parameters, and but for B, C and their scores equal FLOPs.
    """

    title = "Mamba-2"
    form = "split"
    words = {word: ("direction", word) for word in get_args(MambaDirection)}  # noqa: RUF012

    def __init__(
        self,
        width: int,
        *,
        state: int = 128,
        expand: int = 2,
        head_features: int = 64,
        kernel: int = 4,
        direction: MambaDirection = "forward",
    ) -> None:
        super().__init__(width)
        self.set_direction(direction, MambaDirection)
        if min(state, expand, kernel) < 1:
            raise ValueError("state, expand and kernel must each be at least 1")
        if head_features < HEAD_MULTIPLE or head_features % HEAD_MULTIPLE:
            raise ValueError(f"head_features={head_features}; must be a multiple of {HEAD_MULTIPLE}")
        self.state, self.kernel = state, kernel
        self.heads, self.head_width = split_heads(expand * width, head_features)
        if self.heads >= EIGHT:
            self.heads = nearest_multiple(expand * width / head_features)
            self.head_width = nearest_multiple(expand * width / self.heads)
        self.inner = self.heads * self.head_width
        self.mixed = self.inner + 2 * state  # x, B and C, which share the convolution
        self.inward = nn.Linear(width, self.inner + self.mixed + self.heads, bias=False)
        self.convolution = nn.Conv1d(self.mixed, self.mixed, kernel, groups=self.mixed)
        self.delta_bias = nn.Parameter(torch.empty(self.heads))
        self.A_log = nn.Parameter(torch.empty(self.heads))
        self.D = nn.Parameter(torch.ones(self.heads))
        self.norm_weight = nn.Parameter(torch.ones(self.inner))
        self.outward = writes_residual(nn.Linear(self.inner, width, bias=False))
        without_decay(self.delta_bias, self.A_log, self.D)
        self.reset_recurrence()

    def reset_recurrence(self) -> None:
        """-A uniform in [1, 16], delta log-uniform in [1e-3, 1e-1] at the start."""
        with torch.no_grad():
            self.A_log.uniform_(A_LOW, A_HIGH).log_()
            delta = self.delta_bias.uniform_(math.log(DELTA_MIN), math.log(DELTA_MAX)).exp().clamp(min=DELTA_FLOOR)
            self.delta_bias.copy_(delta + torch.log(-torch.expm1(-delta)))  # softplus(bias) = delta

    def forward(self, x_BLD: torch.Tensor, pad_BL: torch.Tensor | None = None) -> torch.Tensor:
        """(B, L, D) -> (B, L, D); x must be 0 where pad_BL is true, from where the state carries nothing."""
        z, mixed, delta = self.inward(x_BLD).split((self.inner, self.mixed, self.heads), dim=-1)  # B L I, M, H
        delta = F.softplus(delta.float() + self.delta_bias.float())
        half, pad_back = self.head_width // 2, None if pad_BL is None else pad_BL.flip(1)
        if self.direction == "bidirectional":
            ahead = self.run(mixed, delta, slice(0, half), pad_BL)
            back = self.run(mixed.flip(1), delta.flip(1), slice(half, self.head_width), pad_back).flip(1)
            y = torch.cat((ahead, back), dim=-1)  # two of B L H P/2 -> B L H P
        elif self.direction == "backward":
            y = self.run(mixed.flip(1), delta.flip(1), slice(0, self.head_width), pad_back).flip(1)
        else:
            y = self.run(mixed, delta, slice(0, self.head_width), pad_BL)
        gated = y.flatten(2) * F.silu(z.float())  # B L H P -> B L I
        normed = F.rms_norm(gated, (self.inner,), self.norm_weight.float(), NORM_EPSILON)
        return self.outward(normed.to(x_BLD.dtype))  # B L I -> B L D

    def run(
        self, mixed_BLM: torch.Tensor, delta_BLH: torch.Tensor, features: slice, pad_BL: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Convolution and SSD of some of every head's features, first step to last: -> (B, L, H, P of the slice)."""
        mixed_BMT = self.of_heads(mixed_BLM.transpose(1, 2), 1, features)
        weight, bias = self.convolution.weight, self.convolution.bias
        weight = self.of_heads(weight, 0, features)
        bias = None if bias is None else self.of_heads(bias, 0, features)
        convolved = depthwise.causal_convolution(mixed_BMT, weight, bias).transpose(1, 2)  # B M L -> B L M
        convolved = without_pad(convolved, pad_BL)
        x, B, C = convolved.split((convolved.shape[-1] - 2 * self.state, self.state, self.state), dim=-1)
        x = x.unflatten(-1, (self.heads, -1))  # B L HP -> B L H P
        with without_autocast(x.device):
            return ssd(x, delta_BLH, -self.A_log.float().exp(), B, C, self.D.float()).float()

    def of_heads(self, values: torch.Tensor, dim: int, features: slice) -> torch.Tensor:
        """Of the channels x, B, C along `dim` those of B, C and of some of every head's features."""
        if features == slice(0, self.head_width):
            return values
        x, others = values.split((self.inner, 2 * self.state), dim=dim)
        chosen = x.unflatten(dim, (self.heads, self.head_width)).narrow(
            dim + 1, features.start, features.stop - features.start
        )
        return torch.cat((chosen.flatten(dim, dim + 1), others), dim=dim)

    def flops(self, length: int) -> FlopCount:
        """Two projections, the convolution and the SSD; twice for a bidirectional mixer but for the projections."""
        passes = 2 if self.direction == "bidirectional" else 1
        return FlopCount(
            matmul=2.0 * length * self.width * (2 * self.inner + self.mixed + self.heads),
            convolution=2.0 * length * (self.inner + passes * 2 * self.state) * self.kernel,
            scan=passes * ssd_flops(length, self.heads, self.head_width // passes, self.state),
        )

    def kernels(self, device: torch.device) -> dict[str, str]:
        """{"convolution": ..., "ssd": ...} on devices where they are a choice, for autocast's type where it is on."""
        dtype, found = type_of_products(self.inward.weight, device), {}
        if device.type in depthwise.CONVOLUTION.automatic:
            found["convolution"] = depthwise.chosen_kernel(device, dtype, self.kernel)
        if device.type in SSD.automatic:
            found["ssd"] = chosen_kernel(device, dtype)
        return found
