"""Recurrence between the chunks of a chunked scan: what each chunk writes into the state, and the decay over it."""

from __future__ import annotations

import torch


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
