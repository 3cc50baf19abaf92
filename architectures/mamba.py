"""M, the Mamba-1 mixer (S6, a selective state space): cost linear in the length."""

from __future__ import annotations

import math
from typing import Literal, cast, get_args

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


def product(weight_OI: torch.Tensor, x_BIL: torch.Tensor) -> torch.Tensor:
    """weight x at every step, (B, I, L) -> (B, O, L), as one product whose result has time innermost, as the scan and
    the convolution read it: nothing is transposed in memory."""
    batch, inner, length = x_BIL.shape
    x_IM = x_BIL.transpose(0, 1).reshape(inner, batch * length)  # B I L -> I BL
    return (weight_OI @ x_IM).view(-1, batch, length).transpose(0, 1)  # O BL -> B O L


def shares(values: torch.Tensor, parts: int) -> list[torch.Tensor]:
    """The values in equal parts; themselves where there is one, since a slice of everything has a gradient to copy."""
    return [values] if parts == 1 else list(values.chunk(parts))


def channel_shares(x_BIL: torch.Tensor, parts: int) -> list[torch.Tensor]:
    """The channels in equal parts, cut where `product` has them outermost: so their gradients are joined there too."""
    return [part.transpose(0, 1) for part in shares(x_BIL.transpose(0, 1), parts)]


def joined(parts_BIL: list[torch.Tensor]) -> torch.Tensor:
    """The parts side by side again, channels outermost in memory."""
    if len(parts_BIL) == 1:
        return parts_BIL[0]
    return torch.cat([part.transpose(0, 1) for part in parts_BIL]).transpose(0, 1)


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

    def run(
        self,
        x_BIL: list[torch.Tensor],
        z_BIL: list[torch.Tensor],
        backward: list[bool],
        pad_BL: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Convolution and scan of equal parts of the channels, each in its direction: -> (B, I, L) of all of them.

        Where pad_BL is true u is 0, and with it B u: nothing is written into the state. delta, B and C come from all
        channels.
        """
        parts = len(x_BIL)
        bias_I = cast(torch.Tensor, self.convolution.bias)
        taps = zip(shares(self.convolution.weight, parts), shares(bias_I, parts), strict=True)
        u_BIL = [
            depthwise.causal_convolution(x, weight, bias, backward=back)
            for x, (weight, bias), back in zip(x_BIL, taps, backward, strict=True)
        ]
        if pad_BL is not None:
            u_BIL = [u.masked_fill(pad_BL[:, None], 0.0) for u in u_BIL]
        projected = product(self.to_parameters.weight, joined(u_BIL))  # R+2N I, B I L -> B R+2N L
        sizes = self.rank, self.state, self.state
        rank_BRL, B_BNL, C_BNL = (one.transpose(0, 1) for one in projected.transpose(0, 1).split(sizes))
        rank_BLR = rank_BRL.transpose(1, 2).contiguous()  # laid out so that gradients of small ranks keep their bits
        delta_BIL = product(self.to_delta.weight, rank_BLR.transpose(1, 2))  # I R, B R L -> B I L
        A_IN = -self.A_log.float().exp()
        own = zip(*(shares(one, parts) for one in (A_IN, self.D.float(), self.to_delta.bias.float())), strict=True)
        outputs = [
            scan.selective_scan(u, delta, A, B_BNL, C_BNL, D, z, bias, True, reverse=back)
            for u, delta, z, (A, D, bias), back in zip(
                u_BIL, channel_shares(delta_BIL, parts), z_BIL, own, backward, strict=True
            )
        ]
        return joined(outputs)

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

    def passes(self) -> list[tuple[SelectiveStateSpace, list[bool]]]:
        """What runs: for each pass its weights and whether each of the equal parts of its channels runs backward."""
        if self.direction != "bidirectional":
            return [(self.ahead, [self.direction == "backward"])]
        if self.weights == "split":
            return [(self.ahead, [False, True])]
        return [(self.ahead, [False]), (self.back or self.ahead, [True])]

    def forward(self, x_BLD: torch.Tensor, pad_BL: torch.Tensor | None = None) -> torch.Tensor:
        """(B, L, D) -> (B, L, D); x must be 0 where pad_BL is true, from where the state carries nothing."""
        passes = self.passes()
        parts = len(passes[0][1])
        inner = channel_shares(product(self.inward.weight, x_BLD.transpose(1, 2)), 2 * parts)  # B 2I L -> B I/parts L
        outputs = [space.run(inner[:parts], inner[parts:], backward, pad_BL) for space, backward in passes]
        mixed = outputs[0] if len(outputs) == 1 else outputs[0] + outputs[1]
        mixed_IM = mixed.transpose(0, 1).flatten(1)  # B I L -> I BL
        return self.outward(mixed_IM.t()).view(x_BLD.shape)  # I BL -> BL D -> B L D

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
