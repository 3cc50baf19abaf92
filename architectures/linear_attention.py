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
from architectures.mixer import FlopCount, Mixer, nearest_multiple, register_mixer, without_autocast, writes_residual

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
    starts = states_at_starts(written, end.exp().transpose(3, 4))  # B c H K V
    carried = (query * total.exp()) @ starts  # B c H Q K, B c H K V -> B c H Q V
    return (inside + carried).transpose(2, 3).reshape(batch, -1, heads, value.shape[-1])[:, :length]  # -> B L H V


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
        half = self.inner // 2
        query, key, value, gate = self.inward(x_BLD).float().split((half, half, self.inner, self.inner), dim=-1)
        log_decay = F.logsigmoid(self.decay(x_BLD).float()) / GATE_TEMPERATURE
        log_decay = log_decay.clamp(min=LOG_DECAY_FLOOR).unflatten(-1, (self.heads, -1))  # B L HK -> B L H K
        query = query.unflatten(-1, (self.heads, -1)) * self.key_width**-0.5  # B L HK -> B L H K
        key, value = (tensor.unflatten(-1, (self.heads, -1)) for tensor in (key, value))
        with without_autocast(x_BLD.device):
            mixed = self.run(query, key, value, log_decay)
            mixed = F.rms_norm(mixed, (self.value_width,), self.norm_weight.float(), NORM_EPSILON).flatten(2)
        return self.outward((mixed * F.silu(gate)).to(x_BLD.dtype))  # B L I -> B L D

    def run(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, log_decay: torch.Tensor) -> torch.Tensor:
        """The recurrence in this mixer's direction: -> (B, L, H, V)."""
        if self.direction == "forward":
            return gla_chunked(query, key, value, log_decay)
        flipped = [tensor.flip(1) for tensor in (query, key, log_decay)]
        if self.direction == "backward":
            return gla_chunked(flipped[0], flipped[1], value.flip(1), flipped[2]).flip(1)
        right, left = value.chunk(2, dim=-1)  # B L H V -> two of B L H V/2
        ahead = gla_chunked(query, key, right, log_decay)
        back = gla_chunked(flipped[0], flipped[1], left.flip(1), flipped[2]).flip(1)
        return torch.cat((ahead, back), dim=-1)

    def kernels(self, device: torch.device) -> dict[str, str]:
        """{"gla": "torch"} on CUDA, where packages have a fused kernel and this is the slow one."""
        return {"gla": "torch"} if device.type == "cuda" else {}

    def flops(self, length: int) -> FlopCount:
        """The projections and the chunked recurrence; twice for a bidirectional mixer."""
        passes = 2 if self.direction == "bidirectional" else 1
        low_rank = GATE_RANK * (self.width + self.heads * self.key_width)
        scan = gla_flops(length, self.heads, self.key_width, self.value_width // passes)
        return FlopCount(matmul=2.0 * length * (4 * self.width * self.inner + low_rank), scan=passes * scan)
