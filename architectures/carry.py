"""Chunked scans: the decay between the steps of a chunk, and the recurrence of the states between chunks."""

from __future__ import annotations

import torch
from torch.nn import functional as F


def states_at_starts(written: torch.Tensor, decay: torch.Tensor, first: torch.Tensor | None = None) -> torch.Tensor:
    """The state at the start of each chunk, chunks along dimension 1: S_0 = `first` (None: 0), S_(c+1) = decay_c S_c +
    written_c.

    `decay` has the shape of `written`, or ones in it. A loop over the chunks where a launch costs nothing; on CUDA by
    doubling the span of chunks that each state covers, which takes log2 of their number steps of a few kernels.
    """
    if written.device.type == "cuda":
        if first is None:
            return starts_by_doubling(written, decay)
        before = first[:, None]  # as what a chunk before all others writes
        return starts_by_doubling(torch.cat((before, written), 1), torch.cat((decay[:, :1], decay), 1))[:, 1:]
    state = torch.zeros_like(written[:, 0]) if first is None else first
    starts = []
    for added, share in zip(written.unbind(1), decay.unbind(1), strict=True):
        starts.append(state)
        state = share * state + added
    return torch.stack(starts, dim=1)


def decay_between(at: torch.Tensor, steps: torch.Tensor, hidden_RQ: torch.Tensor) -> torch.Tensor:
    """exp(a_r - s_q) of sums of log decays at R reads (..., R) and Q steps (..., Q), 0 where hidden: (..., R, Q)."""
    steps = steps[..., None, :]
    return (at[..., :, None] - steps).masked_fill(hidden_RQ, -torch.inf).exp()


def later_steps(chunk: int, device: torch.device) -> torch.Tensor:
    """Which steps lie behind each of a chunk: bool (Q, Q)."""
    return torch.ones(chunk, chunk, dtype=torch.bool, device=device).triu(1)


def not_earlier(chunk: int, block: int, device: torch.device) -> torch.Tensor:
    """Which steps of a chunk lie in the block of each or behind it: bool (Q, Q)."""
    index = torch.arange(chunk, device=device) // block
    return index[None, :] >= index[:, None]


def behind_earlier(clean: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
    """Sums of log decays at the steps of n blocks of b in a noisy stream: over the clean steps before the block and the
    noisy ones up to each. clean: (..., n b); own: (..., n, b), within each block -> (..., n b)."""
    before = F.pad(clean[..., own.shape[-1] - 1 :: own.shape[-1]][..., :-1], (1, 0))
    return (before[..., None] + own).flatten(-2)


def whole_blocks(chunk: int, block: int, length: int) -> int:
    """Steps of as many blocks as fit into a chunk and into a sequence; 0 where none does."""
    return min(chunk - chunk % block, length)


def starts_by_doubling(written: torch.Tensor, decay: torch.Tensor) -> torch.Tensor:
    """`states_at_starts` in a number of operations that grows with the logarithm of the number of chunks.

    Source: Hillis and Steele 1986, Data parallel algorithms, the section on sums of all prefixes.
    """
    ends, span = written, 1
    while span < written.shape[1]:
        ends = torch.cat((ends[:, :span], torch.addcmul(ends[:, span:], decay[:, span:], ends[:, :-span])), dim=1)
        decay = torch.cat((decay[:, :span], decay[:, span:] * decay[:, :-span]), dim=1)
        span *= 2
    return torch.cat((torch.zeros_like(ends[:, :1]), ends[:, :-1]), dim=1)
