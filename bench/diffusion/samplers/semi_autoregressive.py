"""Semi-autoregressive sampling: pieces longer than a network was trained on, window after window."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from bench.diffusion.errors import DiffusionError
from bench.diffusion.samplers.ancestral import cached
from bench.diffusion.samplers.constraint import JointConstraint
from bench.diffusion.samplers.registry import Option, Sampler, register_sampler
from bench.diffusion.samplers.request import Filling, Sample, SampleRequest, shifted


def window_part(length: int, trained_block: int | None, joint: bool, *, window: int | None, overlap: int | None) -> int:
    """Tokens of a window; DiffusionError for an overlap that leaves no token of it, and for none with a constraint on
    several positions, which would begin anew in each window."""
    window = length if window is None else window
    overlap = window // 2 if overlap is None else overlap
    if not 0 <= overlap < window:
        raise DiffusionError(
            f"window, overlap: {window} and {overlap} tokens; allowed: a window of 1 or more, a shorter overlap"
        )
    if joint and not overlap and window < length:
        raise DiffusionError(
            "overlap: 0 tokens with rules over several positions, which see one window; allowed: an overlap that holds "
            "a Bar or a Position"
        )
    return min(window, length)


@register_sampler(
    "semi-autoregressive",
    needs_window=True,
    parts=window_part,
    window=Option(int, None, least=1, allowed="1 token or more"),
    overlap=Option(int, None, least=0, allowed="0 tokens or more"),
)
def semi_autoregressive(request: SampleRequest, *, window: int | None, overlap: int | None) -> Sample:
    """`cached` in windows of `window` tokens (default: all of L) from left to right, see `in_windows`."""
    return in_windows(request, cached, request.tokens_BL.shape[1] if window is None else window, overlap)


def in_windows(
    request: SampleRequest, sampler: Sampler, window: int, overlap: int | None = None, **options: Any
) -> Sample:
    """Fill windows of `window` tokens from left to right, each with `sampler` and its `options`.

    A window begins `overlap` tokens (default: half a window) before the end of the one before and sees them; the last
    one ends with the piece. So the denoiser never sees more than `window` tokens, and what lies further back is
    forgotten (Arriola et al. 2025, 2503.09573, with a sliding context), also by a constraint on several positions: in a
    window that sees neither a Bar nor a Position of the music before it, time may go back. The steps are those of a
    window of MASK alone, see `window_plan`. NFE is summed over the windows.
    """
    joint = isinstance(request.constrain, JointConstraint)
    window_part(request.tokens_BL.shape[1], None, joint, window=window, overlap=overlap)
    overlap = window // 2 if overlap is None else overlap
    filling = Filling(request)
    plan = window_plan(filling.masked_BL.cpu(), window, overlap, sampler, request.step_count)
    total, done = sum(share for _, _, share in plan), 0
    for first, end, share in plan:
        part_BL = filling.tokens_BL[:, first:end].contiguous()
        progress = shifted(request.progress, done, total)
        part = sampler.run(replace(request, tokens_BL=part_BL, steps=share, fixed=None, progress=progress), **options)
        filling.tokens_BL[:, first:end] = part.tokens_BL
        filling.nfe_B += torch.tensor(part.nfe)
        done += share
    return filling.sample()


def window_plan(
    masked_BL: torch.Tensor, window: int, overlap: int, sampler: Sampler, steps: int
) -> list[tuple[int, int, int]]:
    """First token, end and number of steps of each window in which something is masked: of `steps`, the share that is
    masked in the row that has most when the windows before are filled (`Sampler.steps_for`)."""
    length = masked_BL.shape[1]
    width = min(window, length)
    plan, filled, end = [], 0, width
    while filled < length:
        masked = int(masked_BL[:, filled:end].sum(dim=1).max())
        if masked:
            plan.append((end - width, end, sampler.steps_for(steps, masked / width)))
        filled, end = end, min(end + window - overlap, length)
    return plan
