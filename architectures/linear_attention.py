"""G, gated linear attention: a matrix-valued state with a decay of its own for each key feature.

Source: Yang et al. 2023, arXiv 2312.06635.
"""

from __future__ import annotations

from typing import get_args

import torch
from torch import nn
from torch.nn import functional as F

from architectures.carry import states_at_starts
from architectures.mamba import MambaDirection
from architectures.mixer import FlopCount, Mixer, at_least_float32, nearest_multiple, without_autocast, writes_residual
from architectures.registry import register_mixer
from architectures.state import PLAIN, Call, Extended, State, Streams, of_clean, positions_before, streams

CHUNK = 16
GATE_RANK = 16  # Yang et al. 2023, section 4.4
GATE_TEMPERATURE = 16.0  # Yang et al. 2023, section 4.4: the decay is sigmoid(.) ^ (1 / 16)
LOG_DECAY_FLOOR = -5.0  # keeps exponents in a chunk of 16 under 40, inside float32; exp(-5) is as good as 0
NORM_EPSILON = 1e-5


def gla_chunked(
    query_BLHK: torch.Tensor,
    key_BLHK: torch.Tensor,
    value_BLHV: torch.Tensor,
    log_decay_BLHK: torch.Tensor,
    chunk: int = CHUNK,
) -> torch.Tensor:
    """S_t = diag(exp(g_t)) S_(t-1) + k_t v_t^T; o_t = S_t^T q_t (Yang et al. 2023, arXiv 2312.06635, eq. 3), in chunks
    (section 4.1), for decays not under exp(-5) a step.

    Within a chunk the decay between two steps is split at the chunk's middle, so that no factor leaves float32.
    """
    return gla_from(query_BLHK, key_BLHK, value_BLHV, log_decay_BLHK, None, chunk)[0]


def gla_from(
    query_BLHK: torch.Tensor,
    key_BLHK: torch.Tensor,
    value_BLHV: torch.Tensor,
    log_decay_BLHK: torch.Tensor,
    start_BHKV: torch.Tensor | None,
    chunk: int = CHUNK,
) -> tuple[torch.Tensor, torch.Tensor]:
    """`gla_chunked` from a state before the first step (None: 0), and the state (B, H, K, V) after the last."""
    batch, length, heads, _ = query_BLHK.shape
    chunk = min(chunk, length)
    missing = -length % chunk

    def in_chunks(tensor: torch.Tensor) -> torch.Tensor:
        padded = F.pad(tensor, (0, 0, 0, 0, 0, missing))
        return padded.view(batch, -1, chunk, heads, tensor.shape[-1]).transpose(2, 3)  # B L H * -> B c H Q *

    query, key, value, log_decay = map(in_chunks, (query_BLHK, key_BLHK, value_BLHV, log_decay_BLHK))
    total = log_decay.cumsum(dim=3)  # B c H Q K
    middle = total[:, :, :, chunk // 2 : chunk // 2 + 1]
    scores = (query * (total - middle).exp()) @ (key * (middle - total).exp()).transpose(3, 4)  # B c H Q Q
    later = torch.ones(chunk, chunk, dtype=torch.bool, device=query.device).triu(1)
    inside = scores.masked_fill(later, 0.0) @ value  # B c H Q V

    end = total[:, :, :, -1:]
    written = (key * (end - total).exp()).transpose(3, 4) @ value  # B c H K V
    decay = end.exp().transpose(3, 4)  # B c H K 1
    starts = states_at_starts(written, decay, start_BHKV)  # B c H K V
    carried = (query * total.exp()) @ starts  # B c H Q K, B c H K V -> B c H Q V
    y = (inside + carried).transpose(2, 3).reshape(batch, -1, heads, value.shape[-1])[:, :length]  # -> B L H V
    return y, decay[:, -1] * starts[:, -1] + written[:, -1]


def gla_starts(
    key_BLHK: torch.Tensor, value_BLHV: torch.Tensor, log_decay_BLHK: torch.Tensor, block: int
) -> torch.Tensor:
    """The state of `gla_chunked` before each block of `block` steps: (B L/block, H, K, V)."""
    key, value, log_decay = (
        one.unflatten(1, (-1, block)).transpose(2, 3)  # B L H * -> B n H Q *
        for one in (key_BLHK, value_BLHV, log_decay_BLHK)
    )
    total = log_decay.cumsum(dim=3)
    end = total[:, :, :, -1:]
    written = (key * (end - total).exp()).transpose(3, 4) @ value  # B n H K V
    return states_at_starts(written, end.exp().transpose(3, 4)).flatten(0, 1)


def gla_flops(length: int, heads: int, key_width: int, value_width: int, chunk: int = CHUNK) -> float:
    """Operations of the four products of `gla_chunked`, padded steps included."""
    chunk = min(chunk, length)
    padded = length + -length % chunk
    return 2.0 * padded * heads * (chunk * (key_width + value_width) + 2 * key_width * value_width)


@register_mixer("G", name="gla")
class GatedLinearAttention(Mixer):
    """Gated linear attention: y = W' (norm(GLA(q, k, v)) * silu(W x)) (Yang et al. 2023, section 4.4).

    (B, L, D) -> (B, L, D). heads: H; values of all heads have D features in all and keys D / 2, as published (4 heads
    of 64 and 128 at D = 512), a head's keys in the nearest multiple of 8 features. direction: `forward` is causal,
    `backward` its mirror; `bidirectional` (of this project, not published) lets half of every head's value features run
    each way with the same weights: equal parameters, and but for the scores equal FLOPs.
    """

    title = "GLA"
    form = "split"
    words = {word: ("direction", word) for word in get_args(MambaDirection)}  # noqa: RUF012

    def __init__(self, width: int, *, heads: int = 4, direction: MambaDirection = "forward") -> None:
        super().__init__(width)
        self.set_direction(direction, MambaDirection)
        if heads < 1:
            raise ValueError(f"heads={heads}; must be at least 1")
        self.heads = heads
        self.key_width = nearest_multiple(width / (2 * heads))
        self.value_width = 2 * self.key_width
        self.inner = heads * self.value_width
        self.inward = nn.Linear(width, 3 * self.inner, bias=False)  # q and k of half the width each, v, gate
        self.decay = nn.Sequential(
            nn.Linear(width, GATE_RANK, bias=False), nn.Linear(GATE_RANK, self.heads * self.key_width)
        )
        self.norm_weight = nn.Parameter(torch.ones(self.value_width))
        self.outward = writes_residual(nn.Linear(self.inner, width, bias=False))

    def forward(self, x_BLD: torch.Tensor) -> torch.Tensor:
        """(B, L, D) -> (B, L, D)."""
        *inputs, gate = self.projected(x_BLD)
        with without_autocast(x_BLD.device):
            mixed = self.run(*inputs)
        return self.gated(mixed, gate, x_BLD.dtype)

    def projected(self, x_BLD: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Query and key (B, L, H, K), value (B, L, H, V), log decay (B, L, H, K), gate (B, L, I)."""
        half = self.inner // 2
        parts = at_least_float32(self.inward(x_BLD)).split((half, half, self.inner, self.inner), dim=-1)
        log_decay = F.logsigmoid(at_least_float32(self.decay(x_BLD))) / GATE_TEMPERATURE
        log_decay = log_decay.clamp(min=LOG_DECAY_FLOOR).unflatten(-1, (self.heads, -1))  # B L HK -> B L H K
        query = parts[0].unflatten(-1, (self.heads, -1)) * self.key_width**-0.5  # B L HK -> B L H K
        key, value = (tensor.unflatten(-1, (self.heads, -1)) for tensor in parts[1:3])
        return query, key, value, log_decay, parts[3]

    def gated(self, mixed_BLHV: torch.Tensor, gate_BLI: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        """Norm, gate and outward projection: (B, L, D)."""
        with without_autocast(gate_BLI.device):
            weight = at_least_float32(self.norm_weight)
            mixed = F.rms_norm(mixed_BLHV, (self.value_width,), weight, NORM_EPSILON).flatten(2)
        return self.outward((mixed * F.silu(gate_BLI)).to(dtype))  # B L I -> B L D

    def ahead(self) -> int:
        """Value features of every head that run forward."""
        ways = {"forward": 1, "bidirectional": 2}.get(self.direction)
        return self.value_width // ways if ways else 0

    def run(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        log_decay: torch.Tensor,
    ) -> torch.Tensor:
        """The recurrence in this mixer's direction: -> (B, L, H, V)."""
        if self.direction == "forward":
            return gla_chunked(query, key, value, log_decay)
        right = value[..., : self.ahead()]
        ahead = [gla_chunked(query, key, right, log_decay)] if self.direction == "bidirectional" else []
        return torch.cat((*ahead, self.backward_part(query, key, value, log_decay)), dim=-1)

    def backward_part(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, log_decay: torch.Tensor
    ) -> torch.Tensor:
        """The recurrence of the value features that run backward from the last position: (B, L, H, V of them)."""
        left = value[..., self.ahead() :]
        query, key, left, log_decay = (one.flip(1) for one in (query, key, left, log_decay))
        return gla_chunked(query, key, left, log_decay).flip(1)

    def run_from(
        self, inputs: tuple[torch.Tensor, ...], start_BHKV: torch.Tensor | None
    ) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
        """`run` from a state of the features that run forward; and the state after them, () where none do."""
        query, key, value, log_decay = inputs
        ahead, parts = self.ahead(), []
        end: tuple[torch.Tensor, ...] = ()
        if ahead:
            y, last = gla_from(query, key, value[..., :ahead], log_decay, start_BHKV)
            parts, end = [y], (last,)
        if ahead < self.value_width:
            parts.append(self.backward_part(*inputs))
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=-1), end

    def extend(self, x_BLD: torch.Tensor, state: State | None = None, call: Call = PLAIN) -> Extended:
        """As in `Mixer`; the state is that of the recurrence, of the value features that run forward."""
        *inputs, gate = self.projected(x_BLD)
        start = state.tensors[0] if state is not None and state.tensors else None
        with without_autocast(x_BLD.device):
            mixed, end = self.run_from(tuple(inputs), start)
        after = State(positions_before(state) + x_BLD.shape[1], end) if call.keep else None
        return self.gated(mixed, gate, x_BLD.dtype), after

    def two_stream(self, noisy_BLD: torch.Tensor, clean_BLD: torch.Tensor, block: int, call: Call = PLAIN) -> Streams:
        """As in `Mixer`: all blocks of both streams as rows, each from the clean state before it."""
        rows, _ = streams(noisy_BLD, clean_BLD, block, None)
        *inputs, gate = self.projected(rows)
        start = None
        with without_autocast(rows.device):
            if ahead := self.ahead():
                _, key, value, log_decay = (of_clean(one, len(clean_BLD)) for one in inputs)
                starts = gla_starts(key, value[..., :ahead], log_decay, block)
                start = torch.cat((starts, starts))
            mixed, _ = self.run_from(tuple(inputs), start)
        noisy, clean = self.gated(mixed, gate, clean_BLD.dtype).view(2, *clean_BLD.shape)
        return noisy, clean

    def state_size(self, positions: int) -> int:
        """Key features times the value features that run forward."""
        return self.heads * self.key_width * self.ahead()

    def two_stream_flops(self, length: int, block: int) -> FlopCount:
        """Both streams in blocks, and the states before the blocks."""
        streams = sum([self.flops(block)] * (2 * (length // block)), FlopCount())
        return streams + FlopCount(scan=2.0 * length * self.state_size(length))

    def kernels(self, device: torch.device) -> dict[str, str]:
        """{"gla": "torch"} on CUDA, where packages have a fused kernel and this is the slow one."""
        return {"gla": "torch"} if device.type == "cuda" else {}

    def flops(self, length: int) -> FlopCount:
        """The projections and the chunked recurrence; twice for a bidirectional mixer."""
        passes = 2 if self.direction == "bidirectional" else 1
        low_rank = GATE_RANK * (self.width + self.heads * self.key_width)
        scan = gla_flops(length, self.heads, self.key_width, self.value_width // passes)
        return FlopCount(matmul=2.0 * length * (4 * self.width * self.inner + low_rank), scan=passes * scan)
