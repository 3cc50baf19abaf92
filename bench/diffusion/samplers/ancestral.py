"""Ancestral sampling: the reverse process step by step, and the same draw with idle rows left out."""

from __future__ import annotations

import torch

from bench.diffusion.samplers.multi_scale import multi_scale
from bench.diffusion.samplers.registry import register_sampler
from bench.diffusion.samplers.request import Filling, Sample, SampleRequest
from bench.diffusion.schedule import MULTI_SCALE, SCHEDULES, Schedule


@register_sampler("ancestral", schedules=(*SCHEDULES, MULTI_SCALE))
def ancestral(request: SampleRequest) -> Sample:
    """Fill every MASK in T steps of the reverse process (Austin et al. 2021, 2107.03006).

    Calls the denoiser T times; NFE is T for every piece. Positions revealed in one step are drawn independently, so
    few steps change the law.
    """
    return _reverse(request, skip_idle=False)


@register_sampler("cached", schedules=(*SCHEDULES, MULTI_SCALE))
def cached(request: SampleRequest) -> Sample:
    """The draw of `ancestral`, computing only the rows in which something is revealed at that step.

    A denoiser's answer is used only where it reveals a token, so the law is that of `ancestral` (and the tokens are
    the same up to rounding that depends on the batch). NFE of a piece is the number of steps that reveal something
    in it: for the linear schedule T (1 - (1 - 1/T)^L) in expectation, at most min(T, L).
    """
    return _reverse(request, skip_idle=True)


def reveal_steps(request: SampleRequest) -> torch.Tensor:
    """The step t in 1..T at which each masked position is revealed, 0 where nothing is masked; int64, on the CPU.

    The reverse process reveals a masked position on the way from t to t-1 with probability
    (alpha_(t-1) - alpha_t) / (1 - alpha_t), whatever the tokens are (Austin et al. 2021, appendix A.3). The step of
    its reveal therefore has P(t) = alpha_(t-1) - alpha_t, and can be drawn before the first network call.
    """
    steps, tokens_BL = request.step_count, request.tokens_BL
    visible = (request.schedule or Schedule()).grid(steps)  # T + 1 values from 1 down to 0
    step_BL = torch.bucketize(request.uniform(*tokens_BL.shape), 1 - visible, right=True).clamp(1, steps)
    return step_BL.masked_fill((tokens_BL != request.mask_id).cpu(), 0)


def _reverse(request: SampleRequest, *, skip_idle: bool) -> Sample:
    if request.powers_V is not None:
        return multi_scale(request, skip_idle=skip_idle)
    filling, steps = Filling(request), request.step_count
    step_BL = reveal_steps(request)
    call_BL = torch.where(step_BL > 0, steps + 1 - step_BL, 0)
    time_CB = (torch.arange(steps, 0, -1) / steps)[:, None].expand(-1, len(step_BL))
    return filling.reveal_in_turn(call_BL, time_CB, skip_idle=skip_idle)
