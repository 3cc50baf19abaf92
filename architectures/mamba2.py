"""S, the Mamba-2 mixer (SSD): one decay a head, so that the scan becomes matrix products."""

from __future__ import annotations

from functools import partial
from typing import get_args

import torch
from torch import nn
from torch.nn import functional as F

from architectures import depthwise
from architectures.attention import HEAD_MULTIPLE, split_heads
from architectures.mamba import MambaDirection
from architectures.mixer import (
    EIGHT,
    FlopCount,
    Mixer,
    at_least_float32,
    nearest_multiple,
    type_of_products,
    without_autocast,
    without_decay,
    writes_residual,
)
from architectures.padding import without_pad
from architectures.registry import register_mixer
from architectures.selective_state_space import start_delta
from architectures.ssd import (
    SSD,
    chosen_kernel,
    ssd,
    ssd_flops,
    ssd_from,
    ssd_in_rows,
    ssd_rows_flops,
    ssd_streams,
    ssd_streams_flops,
)
from architectures.state import (
    PLAIN,
    Call,
    Extended,
    State,
    Streams,
    behind,
    following,
    in_blocks,
    positions_before,
)

A_LOW, A_HIGH = 1.0, 16.0  # range of -A at the start (Dao and Gu 2024, the released code)
NORM_EPSILON = 1e-5


def side_by_side(parts: list[torch.Tensor]) -> torch.Tensor:
    """Parts of every head's features in order: B L H P/parts -> B L H P."""
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=-1)


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
            start_delta(self.delta_bias)

    def forward(self, x_BLD: torch.Tensor, pad_BL: torch.Tensor | None = None) -> torch.Tensor:
        """(B, L, D) -> (B, L, D); x must be 0 where pad_BL is true, from where the state carries nothing."""
        z, mixed, delta = self.projected(x_BLD)
        ahead = self.ahead()
        parts = [self.run(mixed, delta, ahead, pad_BL)] if ahead.stop else []
        return self.gated(side_by_side(parts + self.backward_part(mixed, delta, pad_BL)), z, x_BLD.dtype)

    def projected(self, x_BLD: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The gate z (B, L, I), the channels x, B, C before the convolution (B, L, M) and delta (B, L, H)."""
        z, mixed, delta = self.inward(x_BLD).split((self.inner, self.mixed, self.heads), dim=-1)
        return z, mixed, F.softplus(at_least_float32(delta) + at_least_float32(self.delta_bias))

    def gated(self, y_BLHP: torch.Tensor, z_BLI: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        """Gate, norm and outward projection: (B, L, D)."""
        gated = y_BLHP.flatten(2) * F.silu(at_least_float32(z_BLI))  # B L H P -> B L I
        normed = F.rms_norm(gated, (self.inner,), at_least_float32(self.norm_weight), NORM_EPSILON)
        return self.outward(normed.to(dtype))  # B L I -> B L D

    def run(
        self,
        mixed_BLM: torch.Tensor,
        delta_BLH: torch.Tensor,
        features: slice,
        pad_BL: torch.Tensor | None = None,
        *,
        rows: bool = False,
    ) -> torch.Tensor:
        """Convolution and SSD of some of every head's features, first step to last: -> (B, L, H, P of the slice).
        rows: in a form for many short ones."""
        convolve, run = (depthwise.in_rows, ssd_in_rows) if rows else (depthwise.causal_convolution, ssd)
        given = self.of_heads(mixed_BLM.transpose(1, 2), 1, features)
        x, B, C = self.convolved(given, features, pad_BL, convolve)
        with without_autocast(x.device):
            return at_least_float32(run(x, delta_BLH, self.decay(), B, C, at_least_float32(self.D)))

    def decay(self) -> torch.Tensor:
        """A of each head, at least in float32."""
        return -at_least_float32(self.A_log).exp()

    def convolved(
        self,
        mixed_BMT: torch.Tensor,
        features: slice,
        pad_BL: torch.Tensor | None,
        convolve: depthwise.Convolution = depthwise.causal_convolution,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """x (B, L, H, P of the slice), B and C, from the convolution of the slice's channels."""
        weight, bias = self.convolution.weight, self.convolution.bias
        weight = self.of_heads(weight, 0, features)
        bias = None if bias is None else self.of_heads(bias, 0, features)
        convolved = without_pad(convolve(mixed_BMT, weight, bias).transpose(1, 2), pad_BL)  # B M L -> B L M
        x, B, C = convolved.split((convolved.shape[-1] - 2 * self.state, self.state, self.state), dim=-1)
        return x.unflatten(-1, (self.heads, -1)), B, C  # B L HP -> B L H P

    def ahead(self) -> slice:
        """Features of every head that run forward."""
        ways = {"forward": 1, "bidirectional": 2}.get(self.direction)
        return slice(0, self.head_width // ways if ways else 0)

    def extend(self, x_BLD: torch.Tensor, state: State | None = None, call: Call = PLAIN) -> Extended:
        """As in `Mixer`; the state holds the last K - 1 inputs of the convolution and the state of the SSD, of the
        features that run forward."""
        z, mixed, delta = self.projected(x_BLD)
        ahead, parts = self.ahead(), []
        length = x_BLD.shape[1]
        after = State(positions_before(state) + length)
        if ahead.stop:
            tail, start = state.tensors if state is not None else (None, None)
            whole = behind(tail, self.of_heads(mixed, 2, ahead), self.kernel - 1)
            y, end = self.run_from(whole, delta, ahead, call.pad_BL, start)
            parts.append(y)
            after = following(state, whole, length, end)
        parts += self.backward_part(mixed, delta, call.pad_BL)
        y = self.gated(side_by_side(parts), z, x_BLD.dtype)
        return y, after if call.keep else None

    def run_from(
        self,
        whole_BLM: torch.Tensor,
        delta_BLH: torch.Tensor,
        features: slice,
        pad_BL: torch.Tensor | None,
        start_BNHP: torch.Tensor | None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """`run` of positions behind the K - 1 before them, from a state; and the state after them."""
        convolved = self.convolved(whole_BLM.transpose(1, 2), features, pad_BL, depthwise.within)
        x, B, C = (at_least_float32(one) for one in convolved)
        with without_autocast(x.device):
            y, end = ssd_from(x, delta_BLH, self.decay(), B, C, start_BNHP)
            return y + self.skipped(x), end

    def skipped(self, x_BLHP: torch.Tensor) -> torch.Tensor:
        """D x."""
        return at_least_float32(self.D)[:, None] * x_BLHP

    def backward_part(
        self, mixed_BLM: torch.Tensor, delta_BLH: torch.Tensor, pad_BL: torch.Tensor | None, *, rows: bool = False
    ) -> list[torch.Tensor]:
        """Outputs of the features that run backward from the last position; [] where none do. rows: as in `run`."""
        back = slice(self.ahead().stop, self.head_width)
        if back.start == back.stop:
            return []
        pad = None if pad_BL is None else pad_BL.flip(1)
        return [self.run(mixed_BLM.flip(1), delta_BLH.flip(1), back, pad, rows=rows).flip(1)]

    def two_stream(self, noisy_BLD: torch.Tensor, clean_BLD: torch.Tensor, block: int, call: Call = PLAIN) -> Streams:
        """As in `Mixer`: noisy blocks by scores against the clean steps of their chunk, and from its state."""
        both, pad = torch.cat((noisy_BLD, clean_BLD)), call.pad_BL
        pad = None if pad is None else torch.cat((pad, pad))
        z, mixed, delta = self.projected(both)
        ahead, parts = self.ahead(), []
        if ahead.stop:
            convolve = partial(depthwise.in_streams, block=block)
            given = self.of_heads(mixed, 2, ahead).transpose(1, 2)
            x, B, C = (at_least_float32(one) for one in self.convolved(given, ahead, pad, convolve))
            with without_autocast(x.device):
                noisy, clean = zip(*(one.chunk(2) for one in (x, delta, B, C)), strict=True)
                y = ssd_streams(noisy, clean, self.decay(), block)
                parts.append(torch.cat(y) + self.skipped(x))
        rows, steps = in_blocks(mixed, block), in_blocks(delta, block)
        back = self.backward_part(rows, steps, None if pad is None else in_blocks(pad, block), rows=True)
        parts += [part.reshape(*both.shape[:2], self.heads, -1) for part in back]
        noisy_y, clean_y = self.gated(side_by_side(parts), z, clean_BLD.dtype).chunk(2)
        return noisy_y, clean_y

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
            convolution=passes * self.convolution_flops(length, self.head_width // passes),
            scan=passes * ssd_flops(length, self.heads, self.head_width // passes, self.state),
        )

    def state_size(self, positions: int) -> int:
        """K - 1 inputs of each channel and N states of each feature that runs forward."""
        features = self.heads * self.ahead().stop
        return (self.kernel - 1) * (features + 2 * self.state) + features * self.state if features else 0

    def two_stream_flops(self, length: int, block: int) -> FlopCount:
        """Both streams; features that run backward by the block."""
        ahead, blocks = self.ahead().stop, length // block
        back, beside = self.head_width - ahead, self.kernel - 1  # inputs before a block
        found = FlopCount(matmul=2 * self.flops(length).matmul)
        if ahead:
            scan = ssd_streams_flops(length, self.heads, ahead, self.state, block)
            found += FlopCount(convolution=self.convolution_flops(2 * length + blocks * beside, ahead), scan=scan)
        if back:
            positions = 2 * blocks * (block + beside)
            scan = ssd_rows_flops(2 * blocks, block, self.heads, back, self.state)
            found += FlopCount(convolution=self.convolution_flops(positions, back), scan=scan)
        return found

    def convolution_flops(self, positions: int, features: int) -> float:
        """Of B, C and so many of every head's features."""
        return 2.0 * positions * (self.heads * features + 2 * self.state) * self.kernel

    def kernels(self, device: torch.device) -> dict[str, str]:
        """{"convolution": ..., "ssd": ...} on devices where they are a choice, for autocast's type where it is on."""
        dtype, found = type_of_products(self.inward.weight, device), {}
        if device.type in depthwise.CONVOLUTION.automatic:
            found["convolution"] = depthwise.chosen_kernel(device, dtype, self.kernel)
        if device.type in SSD.automatic:
            found["ssd"] = chosen_kernel(device, dtype)
        return found
