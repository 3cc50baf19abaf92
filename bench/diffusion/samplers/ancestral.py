"""Ancestral sampling: the reverse process step by step, and the same draw with idle rows left out."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from bench.diffusion.samplers.constraint import Constraint
from bench.diffusion.samplers.drawing import Drawing
from bench.diffusion.samplers.planned import Denoise, Progress, reveal_as_planned
from bench.diffusion.samplers.sample import Sample, check_sampling
from bench.diffusion.schedule import Schedule


def reveal_steps(
    tokens_BL: torch.Tensor, mask_id: int, steps: int, schedule: Schedule, generator: torch.Generator
) -> torch.Tensor:
    """The step t in 1..T at which each masked position is revealed, 0 where nothing is masked; int64, on the CPU.

    The reverse process reveals a masked position on the way from t to t-1 with probability
    (alpha_(t-1) - alpha_t) / (1 - alpha_t), whatever the tokens are (Austin et al. 2021, appendix A.3). The step of
    its reveal therefore has P(t) = alpha_(t-1) - alpha_t, and can be drawn before the first network call.
    """
    visible = schedule.grid(steps)  # T + 1 values from 1 down to 0
    u_BL = torch.rand(tokens_BL.shape, generator=generator, dtype=torch.float64, device=generator.device).cpu()
    step_BL = torch.bucketize(u_BL, 1 - visible, right=True).clamp(1, steps)
    return step_BL.masked_fill((tokens_BL != mask_id).cpu(), 0)


def ancestral(
    denoise: Denoise,
    tokens_BL: torch.Tensor,
    *,
    mask_id: int,
    steps: int,
    generator: torch.Generator,
    fixed: torch.Tensor | None = None,
    schedule: Schedule | None = None,
    forbidden_ids: Sequence[int] = (),
    temperature: float = 1.0,
    top_p: float = 1.0,
    constrain: Constraint | None = None,
    time_input: bool = False,
    progress: Progress | None = None,
    skip_idle: bool = False,
) -> Sample:
    """Fill every MASK of `tokens_BL` in `steps` steps of the reverse process (Austin et al. 2021, 2107.03006).

    Calls `denoise(tokens_BL)`, with `time_input` `denoise(tokens_BL, time_B)`, T times; NFE is T for every piece.
    Positions revealed in one step are drawn independently, so few steps change the law. `fixed` (B, L) bool marks
    positions that must not be masked. `progress(done, calls)` is called after each step. The generator may be on
    the CPU whatever the device. Raises DiffusionError for settings that cannot be used.
    """
    check_sampling(tokens_BL, mask_id, steps, fixed)
    drawing = Drawing(generator, (mask_id, *forbidden_ids), temperature, top_p, constrain)
    step_BL = reveal_steps(tokens_BL, mask_id, steps, schedule or Schedule(), generator)
    call_BL = torch.where(step_BL > 0, steps + 1 - step_BL, 0)
    time_CB = (torch.arange(steps, 0, -1) / steps)[:, None].expand(-1, len(tokens_BL)) if time_input else None
    return reveal_as_planned(
        denoise, tokens_BL, call_BL, steps, drawing, time_CB=time_CB, skip_idle=skip_idle, progress=progress
    )


def cached(denoise: Denoise, tokens_BL: torch.Tensor, **options: object) -> Sample:
    """The draw of `ancestral`, computing only the rows in which something is revealed at that step.

    A denoiser's answer is used only where it reveals a token, so the law is that of `ancestral` (and the tokens are
    the same up to rounding that depends on the batch). NFE of a piece is the number of steps that reveal something
    in it: for the linear schedule T (1 - (1 - 1/T)^L) in expectation, at most min(T, L).
    """
    return ancestral(denoise, tokens_BL, skip_idle=True, **options)  # type: ignore[arg-type]
