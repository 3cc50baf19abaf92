"""Semi-autoregressive sampling: pieces longer than a network was trained on, window after window."""

from __future__ import annotations

from collections.abc import Callable

import torch

from bench.diffusion.errors import DiffusionError
from bench.diffusion.samplers.ancestral import cached
from bench.diffusion.samplers.planned import Denoise, Progress
from bench.diffusion.samplers.sample import Sample, check_sampling


def semi_autoregressive(
    denoise: Denoise,
    tokens_BL: torch.Tensor,
    *,
    mask_id: int,
    steps: int,
    window: int | None = None,
    overlap: int | None = None,
    sampler: Callable[..., Sample] = cached,
    fixed: torch.Tensor | None = None,
    progress: Progress | None = None,
    **options: object,
) -> Sample:
    """Fill windows of `window` tokens (default: all of L) from left to right, each with `sampler`.

    A window begins `overlap` tokens (default: half a window) before the end of the one before and sees them; the last
    one ends with the piece. So the denoiser never sees more than `window` tokens, and what lies further back is
    forgotten (Arriola et al. 2025, 2503.09573, with a sliding context). `steps` is for a full window: one in
    which a share of the tokens is new takes that share of them, rounded up. NFE is summed over the windows.
    `options` go to the sampler.
    """
    check_sampling(tokens_BL, mask_id, steps, fixed)
    length = tokens_BL.shape[1]
    window = length if window is None else window
    overlap = window // 2 if overlap is None else overlap
    if window < 1 or not 0 <= overlap < window:
        raise DiffusionError(
            f"window, overlap: {window} and {overlap} tokens; allowed: a window of 1 or more, a shorter overlap"
        )
    tokens_BL, nfe_B = tokens_BL.clone(), torch.zeros(len(tokens_BL), dtype=torch.int64)
    plan = window_plan(length, window, overlap, steps)
    total, done = sum(share for _, _, share in plan), 0
    for first, end, share in plan:
        part = sampler(
            denoise,
            tokens_BL[:, first:end].contiguous(),
            mask_id=mask_id,
            steps=share,
            progress=_shifted(progress, done, total),
            **options,
        )
        tokens_BL[:, first:end] = part.tokens_BL
        nfe_B += torch.tensor(part.nfe)
        done += share
    return Sample(tokens_BL, nfe_B.tolist())


def window_plan(length: int, window: int, overlap: int, steps: int) -> list[tuple[int, int, int]]:
    """First token, end and number of steps of each window."""
    plan = [(0, min(window, length), steps)]
    while plan[-1][1] < length:
        new = min(window - overlap, length - plan[-1][1])
        end = plan[-1][1] + new
        plan.append((end - window, end, -(-steps * new // window)))
    return plan


def _shifted(progress: Progress | None, done: int, total: int) -> Progress | None:
    return None if progress is None else lambda step, _: progress(done + step, total)
