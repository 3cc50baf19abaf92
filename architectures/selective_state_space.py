"""Short convolution and selective scan of channels, the part of a Mamba that one direction may own."""

from __future__ import annotations

import math
from typing import NamedTuple, cast

import torch
from torch import nn
from torch.nn import functional as F

from architectures import depthwise, scan
from architectures.mixer import FlopCount, at_least_float32, without_decay

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


def added_to_part(
    outputs_BIL: torch.Tensor, carried_BIL: torch.Tensor, z_BIL: torch.Tensor, part: int, parts: int
) -> torch.Tensor:
    """The outputs, and in one of the equal parts of their channels what a state carries into them, gated by silu(z)."""
    gated = (carried_BIL * F.silu(at_least_float32(z_BIL))).to(outputs_BIL.dtype)
    cut = channel_shares(outputs_BIL, parts)
    cut[part] = cut[part] + gated
    return joined(cut)


def start_delta(bias: torch.Tensor) -> None:
    """Set a bias whose softplus is delta at the start, log-uniform in [1e-3, 1e-1] (Gu and Dao 2023, section 3.6)."""
    with torch.no_grad():
        delta = bias.uniform_(math.log(DELTA_MIN), math.log(DELTA_MAX)).exp().clamp(min=DELTA_FLOOR)
        bias.copy_(delta + torch.log(-torch.expm1(-delta)))  # softplus(bias) = delta


class Steps(NamedTuple):
    """What the scans of equal parts of the channels read; B and C are the same for all."""

    u_BIL: list[torch.Tensor]
    delta_BIL: list[torch.Tensor]
    A_IN: list[torch.Tensor]
    B_BNL: torch.Tensor
    C_BNL: torch.Tensor
    D_I: list[torch.Tensor]
    bias_I: list[torch.Tensor]

    def sums(self, part: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Sum of the steps up to each, and step times input: (B, I, L)."""
        delta = at_least_float32(self.delta_BIL[part])
        steps = scan.step_sizes(delta, self.bias_I[part], True)
        return steps.cumsum(-1), steps * at_least_float32(self.u_BIL[part])


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
            start_delta(self.to_delta.bias)

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
        return self.scanned(self.steps(self.convolved(x_BIL, backward), pad_BL), z_BIL, backward)

    def taps(self, parts: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Weight and bias of the convolution of equal parts of the channels."""
        bias_I = cast(torch.Tensor, self.convolution.bias)
        return list(zip(shares(self.convolution.weight, parts), shares(bias_I, parts), strict=True))

    def convolved(
        self, x_BIL: list[torch.Tensor], backward: list[bool], tail_BIK: torch.Tensor | None = None
    ) -> list[torch.Tensor]:
        """The short convolution with silu; the part that runs forward behind its tail, the K - 1 inputs before."""
        outputs = []
        for x, (weight, bias), back in zip(x_BIL, self.taps(len(x_BIL)), backward, strict=True):
            if tail_BIK is None or back:
                outputs.append(depthwise.causal_convolution(x, weight, bias, backward=back))
            else:
                outputs.append(depthwise.within(torch.cat((tail_BIK, x), dim=-1), weight, bias))
        return outputs

    def steps(self, u_BIL: list[torch.Tensor], pad_BL: torch.Tensor | None = None) -> Steps:
        """All that the scans read, from the convolved inputs."""
        parts = len(u_BIL)
        if pad_BL is not None:
            u_BIL = [u.masked_fill(pad_BL[:, None], 0.0) for u in u_BIL]
        projected = product(self.to_parameters.weight, joined(u_BIL))  # R+2N I, B I L -> B R+2N L
        sizes = self.rank, self.state, self.state
        rank_BRL, B_BNL, C_BNL = (one.transpose(0, 1) for one in projected.transpose(0, 1).split(sizes))
        rank_BLR = rank_BRL.transpose(1, 2).contiguous()  # laid out so that gradients of small ranks keep their bits
        delta_BIL = product(self.to_delta.weight, rank_BLR.transpose(1, 2))  # I R, B R L -> B I L
        A_IN = -at_least_float32(self.A_log).exp()
        A, D, bias = (
            shares(one, parts) for one in (A_IN, at_least_float32(self.D), at_least_float32(self.to_delta.bias))
        )
        return Steps(u_BIL, channel_shares(delta_BIL, parts), A, B_BNL, C_BNL, D, bias)

    @staticmethod
    def scanned(steps: Steps, z_BIL: list[torch.Tensor], backward: list[bool]) -> torch.Tensor:
        """Outputs (B, I, L) of all parts from a state of 0, each part in its direction."""
        parts = zip(steps.u_BIL, steps.delta_BIL, z_BIL, steps.A_IN, steps.D_I, steps.bias_I, backward, strict=True)
        return joined(
            [
                scan.selective_scan(u, delta, A, steps.B_BNL, steps.C_BNL, D, z, bias, True, reverse=back)
                for u, delta, z, A, D, bias, back in parts
            ]
        )

    def extend(
        self,
        x_BIL: list[torch.Tensor],
        z_BIL: list[torch.Tensor],
        backward: list[bool],
        pad_BL: torch.Tensor | None,
        kept: tuple[torch.Tensor, ...],
        keep: bool,
    ) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
        """As `run`, the part that runs forward from what was kept: its last K - 1 inputs and its state, nothing at the
        start; and what is kept after it."""
        if False not in backward:
            return self.run(x_BIL, z_BIL, backward, pad_BL), ()
        ahead = backward.index(False)
        tail_BIK, start_BIN = kept or (None, None)
        steps = self.steps(self.convolved(x_BIL, backward, tail_BIK), pad_BL)
        outputs = self.scanned(steps, z_BIL, backward)
        if start_BIN is None and not keep:
            return outputs, ()
        sums_BIL, driven_BIL = steps.sums(ahead)
        A_IN = steps.A_IN[ahead]
        if start_BIN is not None:
            carried = scan.carried_outputs(sums_BIL, A_IN, start_BIN, at_least_float32(steps.C_BNL))
            outputs = added_to_part(outputs, carried, z_BIL[ahead], ahead, len(backward))
        if not keep:
            return outputs, ()
        end_BIN = scan.written_states(sums_BIL, driven_BIL, A_IN, at_least_float32(steps.B_BNL))
        if start_BIN is not None:
            end_BIN = end_BIN + (sums_BIL[..., -1:] * A_IN).exp() * start_BIN
        x = x_BIL[ahead]
        reach = self.kernel - 1
        before = F.pad(x, (reach, 0)) if tail_BIK is None else torch.cat((tail_BIK, x), dim=-1)
        return outputs, (before[..., x.shape[-1] :].contiguous(), end_BIN)

    def flops(self, length: int) -> FlopCount:
        """One pass over all channels in whichever direction; the scan as published tables count it, 9 a state (see
        `architectures.scan.scan_flops`): a sequential kernel executes about 7."""
        to_parameters = self.channels * (self.rank + 2 * self.state)
        return FlopCount(
            matmul=2.0 * length * (to_parameters + self.rank * self.channels),
            convolution=2.0 * length * self.channels * self.kernel,
            scan=float(scan.scan_flops(1, length, self.channels, self.state)),
        )

    def two_stream(
        self,
        x_BIL: list[torch.Tensor],
        z_BIL: list[torch.Tensor],
        backward: list[bool],
        pad_BL: torch.Tensor | None,
        block: int,
    ) -> torch.Tensor:
        """As `run`, of noisy and clean blocks in turn, the part that runs forward from the clean inputs and the clean
        state before each pair."""
        taps = self.taps(len(x_BIL))
        u_BIL = [
            convolved_in_blocks(x, *tap, block, backward=back)
            for x, tap, back in zip(x_BIL, taps, backward, strict=True)
        ]
        steps = self.steps(u_BIL, pad_BL)
        parts = zip(u_BIL, steps.delta_BIL, z_BIL, steps.A_IN, steps.D_I, steps.bias_I, backward, strict=True)
        return joined(
            [
                scan.block_scan(
                    u, delta, A, steps.B_BNL, steps.C_BNL, D, z, bias, block, streams=not back, reverse=back
                )
                for u, delta, z, A, D, bias, back in parts
            ]
        )


def convolved_in_blocks(
    x_BIL: torch.Tensor, weight_I1K: torch.Tensor, bias_I: torch.Tensor, block: int, *, backward: bool
) -> torch.Tensor:
    """The short convolution with silu of noisy and clean blocks in turn: behind the clean inputs before each pair, or
    when `backward` with zeros behind each block. One call, over the blocks with what each of them reads beside it."""
    reach = weight_I1K.shape[-1] - 1
    blocks = x_BIL.unflatten(-1, (-1, 2, block))  # B I 2L -> B I n 2 block
    if backward:
        beside = F.pad(blocks, (0, reach))
    else:
        clean = blocks[..., 1, :].flatten(2)
        tails = (
            F.pad(clean, (reach, 0)).unfold(-1, reach, block)[:, :, :-1]
            if reach
            else clean[:, :, ::block, None][..., :0]
        )
        beside = torch.cat((tails[:, :, :, None].expand(-1, -1, -1, 2, -1), blocks), dim=-1)
    y = depthwise.causal_convolution(beside.flatten(2), weight_I1K, bias_I, backward=backward)
    y = y.unflatten(-1, (-1, 2, reach + block))
    return (y[..., :block] if backward else y[..., reach:]).flatten(2)  # B I n 2 block -> B I 2L
