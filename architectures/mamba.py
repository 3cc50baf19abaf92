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
    type_of_products,
    writes_residual,
)
from architectures.registry import register_mixer
from architectures.selective_state_space import SelectiveStateSpace, channel_shares, product
from architectures.state import PLAIN, Call, Extended, State, Streams, in_turn, positions_before

MambaDirection = Literal["forward", "backward", "bidirectional"]
Weights = Literal["split", "tied", "separate"]
DELTA_MIN, DELTA_MAX, DELTA_FLOOR = 1e-3, 1e-1, 1e-4  # Gu and Dao 2023, section 3.6, and the released code


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

    def extend(self, x_BLD: torch.Tensor, state: State | None = None, call: Call = PLAIN) -> Extended:
        """As in `Mixer`; the state holds the last K - 1 inputs of the convolution and the state of the scan, of the
        channels that run forward."""
        passes = self.passes()
        parts = len(passes[0][1])
        inner = channel_shares(product(self.inward.weight, x_BLD.transpose(1, 2)), 2 * parts)  # B 2I L -> B I/parts L
        kept = state.tensors if state is not None else ()
        outputs: list[torch.Tensor] = []
        tensors: tuple[torch.Tensor, ...] = ()
        for space, backward in passes:
            given = kept if False in backward else ()
            output, after = space.extend(inner[:parts], inner[parts:], backward, call.pad_BL, given, call.keep)
            outputs.append(output)
            tensors = tensors or after
        mixed = outputs[0] if len(outputs) == 1 else outputs[0] + outputs[1]
        y = self.outward(mixed.transpose(0, 1).flatten(1).t()).view(x_BLD.shape)  # I BL -> BL D -> B L D
        return y, State(positions_before(state) + x_BLD.shape[1], tensors) if call.keep else None

    def two_stream(self, noisy_BLD: torch.Tensor, clean_BLD: torch.Tensor, block: int, call: Call = PLAIN) -> Streams:
        """As in `Mixer`: noisy and clean blocks in turn, each from the clean state and inputs before it."""
        both, pad = in_turn(noisy_BLD, clean_BLD, block, call.pad_BL)
        passes = self.passes()
        parts = len(passes[0][1])
        inner = channel_shares(product(self.inward.weight, both.transpose(1, 2)), 2 * parts)  # B 2I 2L -> B I/parts 2L
        outputs = [space.two_stream(inner[:parts], inner[parts:], back, pad, block) for space, back in passes]
        mixed = outputs[0] if len(outputs) == 1 else outputs[0] + outputs[1]
        y = self.outward(mixed.transpose(0, 1).flatten(1).t()).view(both.shape)  # I B2L -> B2L D -> B 2L D
        noisy, clean = y.unflatten(1, (-1, 2, block)).unbind(2)
        return noisy.flatten(1, 2), clean.flatten(1, 2)

    def two_stream_flops(self, length: int, block: int) -> FlopCount:
        """Twice one stream: the states between blocks are counted as the steps of the scan that they stand for."""
        return self.flops(length) + self.flops(length)

    def state_size(self, positions: int) -> int:
        """K - 1 inputs and N states of each channel that runs forward."""
        ways = 2 if self.direction == "bidirectional" and self.weights == "split" else 1
        channels = 0 if self.direction == "backward" else self.inner // ways
        return channels * (self.ahead.kernel - 1 + self.ahead.state)

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
