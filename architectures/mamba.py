"""M, the Mamba-1 mixer (S6, a selective state space): cost linear in the length."""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
from torch import nn

from architectures import depthwise, scan
from architectures.mixer import (
    EIGHT,
    FlopCount,
    Mixer,
    register_mixer,
    type_of_products,
    without_decay,
    writes_residual,
)

MambaDirection = Literal["forward", "backward", "bidirectional"]
Weights = Literal["split", "tied", "separate"]
DELTA_MIN, DELTA_MAX, DELTA_FLOOR = 1e-3, 1e-1, 1e-4  # Gu and Dao 2023, section 3.6, and the released code


class SelectiveStateSpace(nn.Module):
    """Short depthwise convolution and selective scan of I channels: the part of a Mamba that one direction may own.

    h_t = exp(delta_t A) h_(t-1) + delta_t B_t u_t;  y_t = C_t h_t + D u_t, per channel, N states
    (Gu and Dao 2023, arXiv 2312.00752, eq. 2 and algorithm 2), with delta, B and C linear in u.
    """

    def __init__(self, channels: int, state: int, rank: int, kernel: int) -> None:
        super().__init__()
        self.channels, self.state, self.rank, self.kernel = channels, state, rank, kernel
        self.convolution = nn.Conv1d(channels, channels, kernel, groups=channels)
        self.to_parameters = nn.Linear(channels, rank + 2 * state, bias=False)
        self.to_delta = nn.Linear(rank, channels, bias=True)
        self.A_log = nn.Parameter(torch.empty(channels, state))
        self.D = nn.Parameter(torch.empty(channels))
        without_decay(self.A_log, self.D, self.to_delta.bias)
        self.reset_recurrence()

    def reset_recurrence(self) -> None:
        """A = -(1..N), D = 1, delta log-uniform in [1e-3, 1e-1] at the start (Gu and Dao 2023, section 3.6)."""
        with torch.no_grad():
            self.A_log.copy_(
                torch.arange(1, self.state + 1, device=self.A_log.device).float().log().expand_as(self.A_log)
            )
            self.D.fill_(1.0)
            bound = self.rank**-0.5
            self.to_delta.weight.uniform_(-bound, bound)
            low, high = math.log(DELTA_MIN), math.log(DELTA_MAX)
            delta = torch.empty_like(self.to_delta.bias).uniform_(low, high).exp().clamp_(min=DELTA_FLOOR)
            self.to_delta.bias.copy_(delta + torch.log(-torch.expm1(-delta)))  # softplus(bias) = delta

    def convolve(self, x_BIL: torch.Tensor, channels: slice, *, backward: bool) -> torch.Tensor:
        """Depthwise convolution that looks back K - 1 steps, or ahead when `backward`, and silu."""
        weight, bias = self.convolution.weight[channels], self.convolution.bias
        bias = bias[channels] if bias is not None else None
        return depthwise.causal_convolution(x_BIL[:, channels], weight, bias, backward=backward)

    def scan(self, u_BIL: torch.Tensor, z_BIL: torch.Tensor, parts: list[tuple[slice, bool]]) -> torch.Tensor:
        """Scan each part of the channels in its direction, gated by silu(z); delta, B and C come from all channels."""
        projected = torch.matmul(self.to_parameters.weight, u_BIL)  # R+2N I, B I L -> B R+2N L
        rank_BRL, B_BNL, C_BNL = projected.split((self.rank, self.state, self.state), dim=1)
        delta_BIL = torch.matmul(self.to_delta.weight, rank_BRL)  # I R, B R L -> B I L
        A_IN = -self.A_log.float().exp()
        outputs = [
            scan.selective_scan(
                u_BIL[:, part],
                delta_BIL[:, part],
                A_IN[part],
                B_BNL,
                C_BNL,
                self.D[part].float(),
                z_BIL[:, part],
                self.to_delta.bias[part].float(),
                True,
                reverse=backward,
            )
            for part, backward in parts
        ]
        return outputs[0] if len(outputs) == 1 else torch.cat(outputs, dim=1)

    def run(
        self,
        x_BIL: torch.Tensor,
        z_BIL: torch.Tensor,
        parts: list[tuple[slice, bool]],
        pad_BL: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Convolution and scan over the parts: (B, I, L) -> (B, I, L). Where pad_BL is true u is 0, and with it B u:
        nothing is written into the state."""
        convolved = [self.convolve(x_BIL, part, backward=backward) for part, backward in parts]
        u_BIL = convolved[0] if len(convolved) == 1 else torch.cat(convolved, dim=1)
        if pad_BL is not None:
            u_BIL = u_BIL.masked_fill(pad_BL[:, None], 0.0)
        return self.scan(u_BIL, z_BIL, parts)

    def flops(self, length: int) -> FlopCount:
        """One pass over all channels in whichever direction; the scan as published tables count it, 9 a state (see
        `architectures.scan.scan_flops`): a sequential kernel executes about 7."""
        to_parameters = self.channels * (self.rank + 2 * self.state)
        return FlopCount(
            matmul=2.0 * length * (to_parameters + self.rank * self.channels),
            convolution=2.0 * length * self.channels * self.kernel,
            scan=float(scan.scan_flops(1, length, self.channels, self.state)),
        )


@register_mixer("M", name="mamba")
class Mamba(Mixer):
    """Mamba-1 (Gu and Dao 2023, arXiv 2312.00752, figure 3): x, z = W x;  y = W' (scan(silu(conv(x))) * silu(z)).

    (B, L, D) -> (B, L, D). state: N; expand: inner width over width; kernel: of the short convolution, in
    positions; the rank of delta is ceil(width / 16), rounded up to a multiple of 8. direction `forward` is causal,
    `backward` its mirror.
    `bidirectional` comes with one of three `weights`:

    - split (default; of this project, not published): one half of the inner channels runs forward and the other
      backward, each with the convolution on its own side; delta, B and C are read from all channels. Exactly the
      parameters and the FLOPs of the forward mixer, so that only the direction differs.
    - tied: every channel runs both ways with the same weights and the outputs add: equal parameters, while
      convolution, scan and their projections cost twice.
    - separate: as tied, but each way has its own convolution, projections to delta, B and C, A and D; the ways share
      W, the gate silu(z) and W' (Vision Mamba, Zhu et al. 2024, arXiv 2401.09417, algorithm 1; `bimamba_type="v2"` of
      its code, whose released sizes also halve the sum, a constant factor before W').
    """

    title = "Mamba"
    words = {  # noqa: RUF012
        **{word: ("direction", word) for word in get_args(MambaDirection)},
        **{word: ("weights", word) for word in get_args(Weights)},
    }

    def __init__(
        self,
        width: int,
        *,
        state: int = 16,
        expand: int = 2,
        kernel: int = 4,
        direction: MambaDirection = "forward",
        weights: Weights = "split",
    ) -> None:
        super().__init__(width)
        self.set_direction(direction, MambaDirection)
        if weights not in get_args(Weights):
            raise ValueError(f"weights={weights!r}; allowed: {', '.join(get_args(Weights))}")
        if min(state, expand, kernel) < 1:
            raise ValueError(f"state={state}, expand={expand}, kernel={kernel}; each must be at least 1")
        self.weights = self.form = weights
        self.inner = expand * width
        if direction == "bidirectional" and weights == "split" and self.inner % 2:
            raise ValueError(f"inner width {self.inner} cannot be split in two; use an even width or weights=tied")
        rank = EIGHT * math.ceil(width / 16 / EIGHT)  # with B and C a product of 61 rows would take a slow kernel
        self.inward = nn.Linear(width, 2 * self.inner, bias=False)
        self.ahead = SelectiveStateSpace(self.inner, state, rank, kernel)
        separate = direction == "bidirectional" and weights == "separate"
        self.back = SelectiveStateSpace(self.inner, state, rank, kernel) if separate else None
        self.outward = writes_residual(nn.Linear(self.inner, width, bias=False))

    def passes(self) -> list[tuple[SelectiveStateSpace, list[tuple[slice, bool]]]]:
        """What runs: for each pass its weights and its parts, (channels, runs backward)."""
        everything = slice(0, self.inner)
        if self.direction != "bidirectional":
            return [(self.ahead, [(everything, self.direction == "backward")])]
        if self.weights == "split":
            half = self.inner // 2
            return [(self.ahead, [(slice(0, half), False), (slice(half, self.inner), True)])]
        return [(self.ahead, [(everything, False)]), (self.back or self.ahead, [(everything, True)])]

    def forward(self, x_BLD: torch.Tensor, pad_BL: torch.Tensor | None = None) -> torch.Tensor:
        """(B, L, D) -> (B, L, D); x must be 0 where pad_BL is true, from where the state carries nothing."""
        inner = torch.matmul(self.inward.weight, x_BLD.transpose(1, 2))  # 2I D, B D L -> B 2I L
        x_BIL, z_BIL = inner.chunk(2, dim=1)  # B 2I L -> B I L, B I L
        outputs = [space.run(x_BIL, z_BIL, parts, pad_BL) for space, parts in self.passes()]
        mixed = outputs[0] if len(outputs) == 1 else outputs[0] + outputs[1]
        return self.outward(mixed.transpose(1, 2).to(x_BLD.dtype))  # B I L -> B L I -> B L D

    def flops(self, length: int) -> FlopCount:
        """Three products of length x width x inner, and each pass."""
        products = FlopCount(matmul=6.0 * length * self.width * self.inner)
        return sum((space.flops(length) for space, _ in self.passes()), products)

    def kernels(self, device: torch.device) -> dict[str, str]:
        """{"scan": ...}, and "convolution" on devices where it is a choice, for autocast's type where it is on."""
        found = {"scan": scan.chosen_kernel(device)}
        if device.type in depthwise.CONVOLUTION.automatic:
            dtype = type_of_products(self.inward.weight, device)
            found["convolution"] = depthwise.chosen_kernel(device, dtype, self.ahead.kernel)
        return found
