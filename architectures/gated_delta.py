"""D, gated DeltaNet: a matrix-valued state that is corrected towards each value instead of added to.

Source: Yang et al. 2024, arXiv 2412.06464.
"""

from __future__ import annotations

from typing import get_args

import torch
from torch import nn
from torch.nn import functional as F

from architectures import depthwise
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
    behind_clean,
    following,
    in_blocks,
    of_clean,
    positions_before,
    streams,
)

CHUNK = 32
A_LOW, A_HIGH = 0.01, 16.0  # range of -A at the start; published from 0, whose logarithm is none
NORM_EPSILON = 1e-5
UNIT_EPSILON = 1e-6  # under the root of the keys' and queries' norm


def delta_reference(
    query_BLHK: torch.Tensor,
    key_BLHK: torch.Tensor,
    value_BLHV: torch.Tensor,
    log_decay_BLH: torch.Tensor,
    beta_BLH: torch.Tensor,
) -> torch.Tensor:
    """S_t = exp(g_t) S_(t-1); S_t += k_t (beta_t (v_t - S_t^T k_t))^T; o_t = S_t^T q_t, one step after another, in
    float64: (B, L, H, V) in the type of the values (Yang et al. 2024, eq. 10)."""
    query, key, value, log_decay, beta = (
        one.double() for one in (query_BLHK, key_BLHK, value_BLHV, log_decay_BLH, beta_BLH)
    )
    state = torch.zeros_like(key[:, 0, :, :, None] * value[:, 0, :, None])  # B H K V
    outputs = []
    for t in range(query.shape[1]):
        state = log_decay[:, t, :, None, None].exp() * state
        read = (state * key[:, t, :, :, None]).sum(dim=2)  # B H K V -> B H V
        state = state + key[:, t, :, :, None] * (beta[:, t, :, None] * (value[:, t] - read))[:, :, None]
        outputs.append((state * query[:, t, :, :, None]).sum(dim=2))  # B H K V -> B H V
    return torch.stack(outputs, dim=1).to(value_BLHV.dtype)  # -> B L H V


def delta_chunked(
    query_BLHK: torch.Tensor,
    key_BLHK: torch.Tensor,
    value_BLHV: torch.Tensor,
    log_decay_BLH: torch.Tensor,
    beta_BLH: torch.Tensor,
    start_BHKV: torch.Tensor | None = None,
    chunk: int = CHUNK,
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """`delta_reference` in chunks of Q steps, in the inputs' type, from a state before the first step (None: 0), and
    the states (B, H, K, V) before each chunk and after the last.

    Within a chunk the corrections depend on each other through a triangular system (Yang et al. 2024, section 3.3).
    """
    batch, length, heads, _ = query_BLHK.shape
    chunk = min(chunk, length)
    missing = -length % chunk

    def in_chunks(tensor: torch.Tensor) -> torch.Tensor:
        """Steps of beta 0 and decay 1 are added at the end: B L H * -> c B H Q *."""
        padded = F.pad(tensor, (0, 0) * (tensor.dim() - 2) + (0, missing))
        return padded.unflatten(1, (-1, chunk)).movedim(1, 0).transpose(2, 3)

    query, key, value, log_decay, beta = map(in_chunks, (query_BLHK, key_BLHK, value_BLHV, log_decay_BLH, beta_BLH))
    total = log_decay.cumsum(dim=3)[..., None]  # c B H Q 1
    later = torch.ones(chunk, chunk, dtype=torch.bool, device=query.device).triu(1)
    between = (total - total.transpose(3, 4)).masked_fill(later, -torch.inf).exp()  # c B H Q Q
    kept = total.exp()
    weighted = key * beta[..., None]
    system = (weighted @ key.transpose(3, 4)) * between
    given = torch.cat((value * beta[..., None], weighted * kept), dim=-1)
    solved = torch.linalg.solve_triangular(system, given, upper=False, unitriangular=True)
    written, read = solved.split((value.shape[-1], key.shape[-1]), dim=-1)  # c B H Q V, c B H Q K
    scores, query = (query @ key.transpose(3, 4)) * between, query * kept
    end = total[:, :, :, -1:]
    key, decay = (key * (end - total).exp()).transpose(3, 4), end.exp()

    state = value.new_zeros(batch, heads, key.shape[3], value.shape[-1]) if start_BHKV is None else start_BHKV
    outputs, states = [], [state]
    for c in range(len(query)):
        corrections = written[c] - read[c] @ state  # B H Q V
        outputs.append(query[c] @ state + scores[c] @ corrections)
        state = decay[c] * state + key[c] @ corrections
        states.append(state)
    return torch.cat(outputs, dim=2).transpose(1, 2)[:, :length], states  # B H L V -> B L H V


def delta_flops(length: int, heads: int, key_width: int, value_width: int, chunk: int = CHUNK) -> float:
    """Operations of the products of `delta_chunked` and of its triangular systems, padded steps included."""
    chunk = min(chunk, length)
    padded = length + -length % chunk
    inside = chunk * (5 * key_width + 3 * value_width)
    return padded * heads * (6.0 * key_width * value_width + inside)


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
        self, mixed_BLM: torch.Tensor, features: slice, pad_BL: torch.Tensor | None, *, behind: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Query and key (B, L, H, K) and value (B, L, H, V of the slice) from the slice's channels; behind: with the
        kernel - 1 positions before the first, 0 without."""
        weight = self.of_heads(self.convolution.weight, 0, features)
        mixed_BML = mixed_BLM.transpose(1, 2)
        if behind:
            y = depthwise.within(mixed_BML, weight[:, 0], None)
        else:
            y = depthwise.causal_convolution(mixed_BML, weight, None)
        y = at_least_float32(without_pad(y.transpose(1, 2), pad_BL))  # B M L -> B L M
        parts = y.split((self.keys, self.keys, y.shape[-1] - 2 * self.keys), dim=-1)
        query, key, value = (one.unflatten(-1, (self.heads, -1)) for one in parts)  # B L HK -> B L H K
        return unit(query) * self.key_width**-0.5, unit(key), value

    def backward_part(
        self,
        mixed_BLM: torch.Tensor,
        log_decay_BLH: torch.Tensor,
        beta_BLH: torch.Tensor,
        pad_BL: torch.Tensor | None,
        chunk: int = CHUNK,
    ) -> list[torch.Tensor]:
        """Outputs of the value features that run backward from the last position; [] where none do."""
        back = slice(self.ahead(), self.value_width)
        if back.start == back.stop:
            return []
        given = self.of_heads(mixed_BLM, 2, back).flip(1)
        inputs = self.convolved(given, back, None if pad_BL is None else pad_BL.flip(1))
        with without_autocast(given.device):
            y, _ = delta_chunked(*inputs, log_decay_BLH.flip(1), beta_BLH.flip(1), chunk=chunk)
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
            inputs = self.convolved(given if state is None else whole, ahead, call.pad_BL, behind=state is not None)
            with without_autocast(x_BLD.device):
                y, states = delta_chunked(*inputs, log_decay, beta, start)
            parts.append(y)
            after = following(state, whole, x_BLD.shape[1], states[-1])
        parts += self.backward_part(mixed, log_decay, beta, call.pad_BL)
        return self.gated(parts, gate, x_BLD.dtype), after if call.keep else None

    def two_stream(self, noisy_BLD: torch.Tensor, clean_BLD: torch.Tensor, block: int, call: Call = PLAIN) -> Streams:
        """As in `Mixer`: all blocks of both streams as rows, noisy ones from the states of the clean stream."""
        batch, length, _ = clean_BLD.shape
        rows, pad = streams(noisy_BLD, clean_BLD, block, call.pad_BL)
        chunk = largest_part(block)
        mixed, log_decay, beta, gate = self.projected(rows)
        ahead = slice(0, self.ahead())
        parts: list[torch.Tensor] = []
        if ahead.stop:
            whole = behind_clean(self.of_heads(mixed, 2, ahead), batch, self.kernel - 1)
            inputs = (*self.convolved(whole, ahead, pad, behind=True), log_decay, beta)
            with without_autocast(rows.device):
                query, key, value, decay, weight = (of_clean(one, batch) for one in inputs)
                y, states = delta_chunked(query, key, value, decay, weight, chunk=chunk)
                starts = torch.stack(states[: -1 : block // chunk], dim=1).flatten(0, 1)  # n of B H K V -> Bn H K V
                query, key, value, decay, weight = (one.chunk(2)[0] for one in inputs)
                noisy, _ = delta_chunked(query, key, value, decay, weight, starts, chunk)
            parts.append(torch.cat((noisy, in_blocks(y, block))))
        parts += self.backward_part(mixed, log_decay, beta, pad, chunk)
        noisy, clean = self.gated(parts, gate, clean_BLD.dtype).view(2, batch, length, -1)
        return noisy, clean

    def flops(self, length: int) -> FlopCount:
        """The projections, the convolution and the chunked recurrence; keys and queries twice for a bidirectional
        mixer."""
        return self._counted(length, [length], CHUNK)

    def _counted(self, length: int, runs: list[int], chunk: int) -> FlopCount:
        """Operations at `length` positions whose recurrence runs over these lengths in turn, in each direction."""
        ways = 2 if self.direction == "bidirectional" else 1
        value = self.value_width // ways
        return FlopCount(
            matmul=2.0 * length * self.width * (self.mixed + 2 * self.inner + 2 * self.heads),
            convolution=2.0 * length * (ways * 2 * self.keys + self.inner) * self.kernel,
            scan=ways * sum(delta_flops(run, self.heads, self.key_width, value, chunk) for run in runs),
        )

    def two_stream_flops(self, length: int, block: int) -> FlopCount:
        """Both streams, in chunks that divide a block."""
        return self._counted(2 * length, [block] * (2 * (length // block)), largest_part(block))

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


def largest_part(block: int) -> int:
    """The largest divisor of a block that is no longer than a chunk."""
    return next(size for size in range(min(block, CHUNK), 0, -1) if block % size == 0)
