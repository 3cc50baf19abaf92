"""The gated delta rule: a recurrence whose state is corrected towards each value, in chunks of matrix products, in two
streams, and step by step as the reference.

Source: Yang et al. 2024, arXiv 2412.06464.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn import functional as F

from architectures.carry import behind_earlier, decay_between, later_steps, not_earlier, whole_blocks
from architectures.state import in_blocks

CHUNK = 32
Inputs = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]
"""Query and key (B, L, H, K), value (B, L, H, V), log decay and beta (B, L, H) of a stream."""


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
    inputs = query_BLHK, key_BLHK, value_BLHV, log_decay_BLH, beta_BLH
    length = query_BLHK.shape[1]
    outputs, states, _ = _chunked(in_chunks(inputs, min(chunk, length)), start_BHKV)
    return in_steps(outputs, length), states


def in_chunks(inputs: Sequence[torch.Tensor], chunk: int) -> list[torch.Tensor]:
    """B L H * -> c B H Q *; steps of beta 0 and decay 1 are added at the end."""
    missing = -inputs[0].shape[1] % chunk
    padded = (F.pad(one, (0, 0) * (one.dim() - 2) + (0, missing)) for one in inputs)
    return [one.unflatten(1, (-1, chunk)).movedim(1, 0).transpose(2, 3) for one in padded]


def in_steps(outputs_BHQV: Sequence[torch.Tensor], length: int) -> torch.Tensor:
    """Outputs of the chunks in turn: -> B L H V."""
    return torch.cat(tuple(outputs_BHQV), dim=2).transpose(1, 2)[:, :length]


def _chunked(
    chunks: Sequence[torch.Tensor], start_BHKV: torch.Tensor | None
) -> tuple[list[torch.Tensor], list[torch.Tensor], list[torch.Tensor]]:
    """Outputs (B, H, Q, V) of chunks (c B H Q *), states as `delta_chunked`, and corrections (B, H, Q, V): a state is
    the sum of keys times corrections, decayed."""
    query, key, value, log_decay, beta = chunks
    total = log_decay.cumsum(dim=3)  # c B H Q
    between = decay_between(total, total, later_steps(total.shape[3], total.device))  # c B H Q Q
    kept = total.exp()[..., None]
    weighted = key * beta[..., None]
    system = (weighted @ key.mT) * between
    given = torch.cat((value * beta[..., None], weighted * kept), dim=-1)
    solved = torch.linalg.solve_triangular(system, given, upper=False, unitriangular=True)
    written, read = solved.split((value.shape[-1], key.shape[-1]), dim=-1)  # c B H Q V, c B H Q K
    scores, query = (query @ key.mT) * between, query * kept
    end = total[..., -1:, None]
    key, decay = (key * (end - total[..., None]).exp()).mT, end.exp()

    state = value.new_zeros(*value.shape[1:3], key.shape[3], value.shape[-1]) if start_BHKV is None else start_BHKV
    outputs, states, corrections = [], [state], []
    for c in range(len(query)):
        corrections.append(written[c] - read[c] @ state)  # B H Q V
        outputs.append(query[c] @ state + scores[c] @ corrections[c])
        state = decay[c] * state + key[c] @ corrections[c]
        states.append(state)
    return outputs, states, corrections


def delta_streams(noisy: Inputs, clean: Inputs, block: int) -> tuple[torch.Tensor, torch.Tensor]:
    """`delta_chunked` of a noisy stream in blocks, each from the state of the clean stream before it, and of the clean
    one: (B, L, H, V) each.

    A chunk is whole blocks, and states are made at the starts of chunks alone: a noisy step reads the clean corrections
    of its chunk before its block by scores. A block longer than a chunk starts from a state of its own.
    """
    length = clean[0].shape[1]
    chunk = whole_blocks(CHUNK, block, length)
    if not chunk:
        chunk = largest_part(block)
        y, states = delta_chunked(*clean, chunk=chunk)
        starts = torch.stack(states[: -1 : block // chunk], dim=1).flatten(0, 1)  # n of B H K V -> Bn H K V
        query, key, value, log_decay, beta = (in_blocks(one, block) for one in noisy)
        of_noisy, _ = delta_chunked(query, key, value, log_decay, beta, starts)
        return of_noisy.reshape(y.shape), y
    given = in_chunks(clean, chunk)
    outputs, states, corrections = _chunked(given, None)
    key, total = given[1], given[3].cumsum(dim=3)
    query, noisy_key, value, log_decay, beta = (one.unflatten(3, (-1, block)) for one in in_chunks(noisy, chunk))
    own = log_decay.cumsum(dim=4)  # c B H n b
    at = behind_earlier(total, own)  # c B H Q
    at = torch.cat((at, at), dim=3)
    reads = torch.cat((noisy_key, query), dim=3).flatten(3, 4)  # c B H 2Q K
    hidden = not_earlier(chunk, block, key.device).repeat(2, 1)
    scores = (reads @ key.mT) * decay_between(at, total, hidden)  # c B H 2Q Q
    found = scores @ torch.stack(corrections) + (reads * at.exp()[..., None]) @ torch.stack(states[:-1])  # c B H 2Q V
    of_key, of_query = found.unflatten(3, (-1, block)).chunk(2, dim=3)  # c B H n b V
    between = decay_between(own, own, later_steps(block, key.device))
    system = ((noisy_key * beta[..., None]) @ noisy_key.mT) * between
    missing = (value - of_key) * beta[..., None]
    solved = torch.linalg.solve_triangular(system, missing, upper=False, unitriangular=True)
    of_noisy = of_query + ((query @ noisy_key.mT) * between) @ solved
    return in_steps(of_noisy.flatten(3, 4).unbind(), length), in_steps(outputs, length)


def delta_flops(length: int, heads: int, key_width: int, value_width: int, chunk: int = CHUNK) -> float:
    """Operations of the products of `delta_chunked` and of its triangular systems, padded steps included."""
    chunk = min(chunk, length)
    padded = length + -length % chunk
    inside = chunk * (5 * key_width + 3 * value_width)
    return padded * heads * (6.0 * key_width * value_width + inside)


def delta_streams_flops(length: int, heads: int, key_width: int, value_width: int, block: int) -> float:
    """Operations of the products of `delta_streams` and of its triangular systems, padded steps included."""
    sizes = heads, key_width, value_width
    chunk = whole_blocks(CHUNK, block, length)
    if not chunk:
        return delta_flops(length, *sizes, largest_part(block)) + length // block * delta_flops(block, *sizes)
    padded = length + -length % chunk
    noisy = 4.0 * (chunk + block + value_width) * key_width + (4 * chunk + 3 * block) * value_width
    return delta_flops(length, *sizes, chunk) + padded * heads * noisy


def largest_part(block: int) -> int:
    """The largest divisor of a block that is no longer than a chunk."""
    return next(size for size in range(min(block, CHUNK), 0, -1) if block % size == 0)
