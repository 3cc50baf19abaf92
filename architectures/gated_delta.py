"""D, gated DeltaNet: a matrix-valued state that is corrected towards each value instead of added to.

Source: Yang et al. 2024, arXiv 2412.06464.
"""

from __future__ import annotations

from functools import partial
from typing import get_args

import torch
from torch import nn
from torch.nn import functional as F

from architectures import depthwise
from architectures.delta_rule import delta_chunked, delta_flops, delta_streams, delta_streams_flops
from architectures.mamba import MambaDirection
from architectures.mixer import (
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

A_LOW, A_HIGH = 0.01, 16.0  # range of -A at the start; published from 0, whose logarithm is none
NORM_EPSILON = 1e-5
UNIT_EPSILON = 1e-6  # under the root of the keys' and queries' norm


@register_mixer("D", name="gated-deltanet")
class GatedDeltaNet(Mixer):
    """Gated DeltaNet: q, k, v = silu(conv(W x)), q and k of length 1; y = W' (norm(delta(q, k, v)) * silu(W x)) (Yang
    et al. 2024, section 3.4).

    (B, L, D) -> (B, L, D). heads: H; keys of all heads have 3/4 D features in all and values twice as many, as
    published (6 heads of 256 and 512 at D = 2048), a head's keys in the nearest multiple of 8 features; kernel: of the
    short convolution, in positions. direction: `forward` is causal, `backward` its mirror; `bidirectional` (of this
    project, not published) lets half of every head's value features run each way with the same weights: equal
    parameters, and but for keys, queries and their scores equal FLOPs.
    """

    title = "Gated DeltaNet"
    form = "split"
    words = {word: ("direction", word) for word in get_args(MambaDirection)}  # noqa: RUF012

    def __init__(self, width: int, *, heads: int = 6, kernel: int = 4, direction: MambaDirection = "forward") -> None:
        super().__init__(width)
        self.set_direction(direction, MambaDirection)
        if min(heads, kernel) < 1:
            raise ValueError(f"heads={heads}, kernel={kernel}; each must be at least 1")
        self.heads, self.kernel = heads, kernel
        self.key_width = nearest_multiple(0.75 * width / heads)
        self.value_width = 2 * self.key_width
        self.keys, self.inner = heads * self.key_width, heads * self.value_width
        self.mixed = 2 * self.keys + self.inner  # q, k and v, which share the convolution
        self.inward = nn.Linear(width, self.mixed + self.inner + 2 * heads, bias=False)
        self.convolution = nn.Conv1d(self.mixed, self.mixed, kernel, groups=self.mixed, bias=False)
        self.delta_bias = nn.Parameter(torch.empty(heads))
        self.A_log = nn.Parameter(torch.empty(heads))
        self.norm_weight = nn.Parameter(torch.ones(self.value_width))
        self.outward = writes_residual(nn.Linear(self.inner, width, bias=False))
        without_decay(self.delta_bias, self.A_log)
        self.reset_recurrence()

    def reset_recurrence(self) -> None:
        """-A uniform up to 16, delta log-uniform in [1e-3, 1e-1] at the start."""
        with torch.no_grad():
            self.A_log.uniform_(A_LOW, A_HIGH).log_()
            start_delta(self.delta_bias)

    def forward(self, x_BLD: torch.Tensor, pad_BL: torch.Tensor | None = None) -> torch.Tensor:
        """(B, L, D) -> (B, L, D); x must be 0 where pad_BL is true, from where the state carries nothing."""
        return self.extend(x_BLD, None, Call(pad_BL, keep=False))[0]

    def projected(self, x_BLD: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """q, k, v before the convolution (B, L, M), log decay and beta (B, L, H), gate (B, L, I)."""
        sizes = (self.mixed, self.inner, self.heads, self.heads)
        mixed, gate, step, beta = self.inward(x_BLD).split(sizes, dim=-1)
        delta = F.softplus(at_least_float32(step) + at_least_float32(self.delta_bias))
        log_decay = -at_least_float32(self.A_log).exp() * delta
        return mixed, log_decay, at_least_float32(beta).sigmoid(), gate

    def ahead(self) -> int:
        """Value features of every head that run forward."""
        ways = {"forward": 1, "bidirectional": 2}.get(self.direction)
        return self.value_width // ways if ways else 0

    def of_heads(self, values: torch.Tensor, dim: int, features: slice) -> torch.Tensor:
        """Of the channels q, k, v along `dim` those of q, k and of some of every head's value features."""
        if features == slice(0, self.value_width):
            return values
        others, value = values.split((2 * self.keys, self.inner), dim=dim)
        chosen = value.unflatten(dim, (self.heads, self.value_width))
        chosen = chosen.narrow(dim + 1, features.start, features.stop - features.start)
        return torch.cat((others, chosen.flatten(dim, dim + 1)), dim=dim)

    def convolved(
        self,
        mixed_BLM: torch.Tensor,
        features: slice,
        pad_BL: torch.Tensor | None,
        convolve: depthwise.Convolution = depthwise.causal_convolution,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Query and key (B, L, H, K) and value (B, L, H, V of the slice) from the slice's channels."""
        weight = self.of_heads(self.convolution.weight, 0, features)
        y = convolve(mixed_BLM.transpose(1, 2), weight, None).transpose(1, 2)  # B M L -> B L M
        y = at_least_float32(without_pad(y, pad_BL))
        parts = y.split((self.keys, self.keys, y.shape[-1] - 2 * self.keys), dim=-1)
        query, key, value = (one.unflatten(-1, (self.heads, -1)) for one in parts)  # B L HK -> B L H K
        return unit(query) * self.key_width**-0.5, unit(key), value

    def backward_part(
        self,
        mixed_BLM: torch.Tensor,
        log_decay_BLH: torch.Tensor,
        beta_BLH: torch.Tensor,
        pad_BL: torch.Tensor | None,
        convolve: depthwise.Convolution = depthwise.causal_convolution,
    ) -> list[torch.Tensor]:
        """Outputs of the value features that run backward from the last position; [] where none do."""
        back = slice(self.ahead(), self.value_width)
        if back.start == back.stop:
            return []
        given = self.of_heads(mixed_BLM, 2, back).flip(1)
        inputs = self.convolved(given, back, None if pad_BL is None else pad_BL.flip(1), convolve)
        with without_autocast(given.device):
            y, _ = delta_chunked(*inputs, log_decay_BLH.flip(1), beta_BLH.flip(1))
            return [y.flip(1)]

    def gated(self, parts_BLHV: list[torch.Tensor], gate_BLI: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        """Norm, gate and outward projection of parts of every head's features in order: (B, L, D)."""
        y = parts_BLHV[0] if len(parts_BLHV) == 1 else torch.cat(parts_BLHV, dim=-1)
        normed = F.rms_norm(y, (self.value_width,), at_least_float32(self.norm_weight), NORM_EPSILON).flatten(2)
        return self.outward((normed * F.silu(at_least_float32(gate_BLI))).to(dtype))  # B L I -> B L D

    def extend(self, x_BLD: torch.Tensor, state: State | None = None, call: Call = PLAIN) -> Extended:
        """As in `Mixer`; the state holds the last kernel - 1 inputs of the convolution and the state of the recurrence,
        of the value features that run forward."""
        mixed, log_decay, beta, gate = self.projected(x_BLD)
        ahead = slice(0, self.ahead())
        parts: list[torch.Tensor] = []
        after = State(positions_before(state) + x_BLD.shape[1])
        if ahead.stop:
            tail, start = state.tensors if state is not None else (None, None)
            given = self.of_heads(mixed, 2, ahead)
            whole = behind(tail, given, self.kernel - 1)
            convolve = depthwise.causal_convolution if state is None else depthwise.within
            inputs = self.convolved(given if state is None else whole, ahead, call.pad_BL, convolve)
            with without_autocast(x_BLD.device):
                y, states = delta_chunked(*inputs, log_decay, beta, start)
            parts.append(y)
            after = following(state, whole, x_BLD.shape[1], states[-1])
        parts += self.backward_part(mixed, log_decay, beta, call.pad_BL)
        return self.gated(parts, gate, x_BLD.dtype), after if call.keep else None

    def two_stream(self, noisy_BLD: torch.Tensor, clean_BLD: torch.Tensor, block: int, call: Call = PLAIN) -> Streams:
        """As in `Mixer`: noisy blocks by scores against the clean steps of their chunk, and from its state."""
        both, pad = torch.cat((noisy_BLD, clean_BLD)), call.pad_BL
        pad = None if pad is None else torch.cat((pad, pad))
        mixed, log_decay, beta, gate = self.projected(both)
        ahead = slice(0, self.ahead())
        parts: list[torch.Tensor] = []
        if ahead.stop:
            convolve = partial(depthwise.in_streams, block=block)
            inputs = (*self.convolved(self.of_heads(mixed, 2, ahead), ahead, pad, convolve), log_decay, beta)
            with without_autocast(both.device):
                noisy, clean = zip(*(one.chunk(2) for one in inputs), strict=True)
                parts.append(torch.cat(delta_streams(noisy, clean, block)))
        mixed, log_decay, beta = (in_blocks(one, block) for one in (mixed, log_decay, beta))
        pad = None if pad is None else in_blocks(pad, block)
        back = self.backward_part(mixed, log_decay, beta, pad, depthwise.in_rows)
        parts += [part.reshape(*both.shape[:2], self.heads, -1) for part in back]
        noisy_y, clean_y = self.gated(parts, gate, clean_BLD.dtype).chunk(2)
        return noisy_y, clean_y

    def flops(self, length: int) -> FlopCount:
        """The projections, the convolution and the chunked recurrence; keys and queries twice for a bidirectional
        mixer."""
        ways = 2 if self.direction == "bidirectional" else 1
        value = self.value_width // ways
        return FlopCount(
            matmul=2.0 * length * self.width * (self.mixed + 2 * self.inner + 2 * self.heads),
            convolution=ways * self.convolution_flops(length, value),
            scan=ways * delta_flops(length, self.heads, self.key_width, value),
        )

    def convolution_flops(self, positions: int, features: int) -> float:
        """Of keys, queries and so many of every head's value features."""
        return 2.0 * positions * (2 * self.keys + self.heads * features) * self.kernel

    def two_stream_flops(self, length: int, block: int) -> FlopCount:
        """Both streams; value features that run backward by the block."""
        ahead, blocks, sizes = self.ahead(), length // block, (self.heads, self.key_width)
        back, beside = self.value_width - ahead, self.kernel - 1  # inputs before a block
        found = FlopCount(matmul=2 * self.flops(length).matmul)
        if ahead:
            scan = delta_streams_flops(length, *sizes, ahead, block)
            found += FlopCount(convolution=self.convolution_flops(2 * length + blocks * beside, ahead), scan=scan)
        if back:
            scan = 2 * blocks * delta_flops(block, *sizes, back)
            found += FlopCount(convolution=self.convolution_flops(2 * blocks * (block + beside), back), scan=scan)
        return found

    def state_size(self, positions: int) -> int:
        """The inputs of the convolution, and key features times the value features that run forward."""
        value = self.heads * self.ahead()
        return (self.kernel - 1) * (2 * self.keys + value) + self.key_width * value if value else 0

    def kernels(self, device: torch.device) -> dict[str, str]:
        """{"delta": "torch"} on CUDA, where packages have a fused kernel and this is the slow one, and {"convolution":
        ...} where it is a choice."""
        found = {"delta": "torch"} if device.type == "cuda" else {}
        if device.type in depthwise.CONVOLUTION.automatic:
            dtype = type_of_products(self.inward.weight, device)
            found["convolution"] = depthwise.chosen_kernel(device, dtype, self.kernel)
        return found


def unit(x_BLHK: torch.Tensor) -> torch.Tensor:
    """Vectors of length 1, 0 where they are."""
    return x_BLHK * (x_BLHK.square().sum(dim=-1, keepdim=True) + UNIT_EPSILON).rsqrt()
