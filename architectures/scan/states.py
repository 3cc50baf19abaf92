"""States of a selective scan at a border: what they add to later outputs, and how a sequence changes them.

By linearity in the state the scan from a state h is the scan from 0, plus C_t (exp(A S_t) h), S_t being the sum of the
steps up to t: no kernel needs to take a state or return one.
"""

from __future__ import annotations

import torch
from torch import Tensor

CHUNK = 64  # steps for which tensors of B I L N exist at once


def carried_outputs(sums_BIL: Tensor, A_IN: Tensor, start_BIN: Tensor, C_BNL: Tensor) -> Tensor:
    """C_t (exp(A S_t) h) for the state h before the first step: (B, I, L), before gate and skip."""
    outputs = []
    for sums, C in zip(sums_BIL.split(CHUNK, dim=-1), C_BNL.split(CHUNK, dim=-1), strict=True):
        states = (sums[..., None] * A_IN[:, None]).exp() * start_BIN[:, :, None]  # B I L N
        outputs.append((states * C.transpose(1, 2)[:, None]).sum(-1))  # B I L N, B 1 L N -> B I L
    return torch.cat(outputs, dim=-1)


def written_states(sums_BIL: Tensor, driven_BIL: Tensor, A_IN: Tensor, B_BNL: Tensor) -> Tensor:
    """The state (B, I, N) after the last step from 0 before the first; driven: step times input."""
    end = sums_BIL[..., -1:]
    chunks = zip(*(one.split(CHUNK, dim=-1) for one in (sums_BIL, driven_BIL, B_BNL)), strict=True)
    written = driven_BIL.new_zeros(*driven_BIL.shape[:2], A_IN.shape[1])
    for sums, driven, B in chunks:
        kept = ((end - sums)[..., None] * A_IN[:, None]).exp() * driven[..., None]  # B I L N
        written = written + (kept * B.transpose(1, 2)[:, None]).sum(2)  # B I L N, B 1 L N -> B I N
    return written
