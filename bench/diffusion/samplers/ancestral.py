"""Ancestral sampling: the reverse process step by step, and the same draw with idle rows left out."""

from __future__ import annotations

import math

import torch

from bench.diffusion.samplers.calls import CallPlan
from bench.diffusion.samplers.registry import register_sampler
from bench.diffusion.samplers.request import Filling, Sample, SampleRequest, rows_with
from bench.diffusion.schedule import MULTI_SCALE, SCHEDULES, Schedule


@register_sampler(
    "ancestral",
    schedules=(*SCHEDULES, MULTI_SCALE),
    calls=lambda length, steps, _: CallPlan(length, length, steps),
)
def ancestral(request: SampleRequest) -> Sample:
    """Fill every MASK in T steps of the reverse process (Austin et al. 2021, 2107.03006).

    Calls the denoiser T times; NFE is T for every piece. Positions revealed in one step are drawn independently, so
    few steps change the law.
    """
    return _reverse(request, skip_idle=False)


@register_sampler(
    "cached",
    schedules=(*SCHEDULES, MULTI_SCALE),
    calls=lambda length, steps, _: CallPlan(length, length, min(steps, length), most=True),
)
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
        return _reverse_multi_scale(request, skip_idle=skip_idle)
    filling, steps = Filling(request), request.step_count
    step_BL = reveal_steps(request)
    call_BL = torch.where(step_BL > 0, steps + 1 - step_BL, 0)
    time_CB = (torch.arange(steps, 0, -1) / steps)[:, None].expand(-1, len(step_BL))
    return filling.reveal_in_turn(call_BL, time_CB, skip_idle=skip_idle)


def _reverse_multi_scale(request: SampleRequest, *, skip_idle: bool) -> Sample:
    """The reverse of a process that masks token i with probability t^w_i (see MultiScaleDiffusion), in T steps.

    On the way from t to s a masked position becomes i with probability mu_i (1 - (s/t)^w_i), with mu the softmax of
    logits + w log t, and stays masked otherwise: drawn as a candidate from mu that is then kept with 1 - (s/t)^w.
    NFE is T; with `skip_idle` only rows that changed since their last call are computed (a denoiser without time input
    gives the same answer again), so at most min(T, masked). The temperature is that of the logits alone.
    """
    assert request.powers_V is not None
    filling, steps = Filling(request), request.step_count
    tokens_BL = filling.tokens_BL
    powers_V = request.powers_V.to(tokens_BL.device, torch.float64)
    stale_B = torch.ones(len(tokens_BL), dtype=torch.bool, device=tokens_BL.device)
    logits_BLV = torch.empty(0)
    for step in range(steps, 0, -1):
        masked_BL = filling.masked_BL
        skipping = skip_idle and not request.time_input
        rows_R = (rows_with(masked_BL & stale_B[:, None]) if skipping else torch.arange(len(tokens_BL))).cpu()
        if len(rows_R):
            _, found_RLV = filling.call(rows_R, step / steps)
            if not len(logits_BLV):
                logits_BLV = found_RLV.new_zeros(*tokens_BL.shape, found_RLV.shape[-1])
            logits_BLV[rows_R.to(logits_BLV.device)] = found_RLV
        if bool(masked_BL.any()):
            tilted_BLV = logits_BLV.double() + request.temperature * math.log(step / steps) * powers_V
            drawn_N = filling.drawing.draw(tilted_BLV, tokens_BL, masked_BL)
            u_N = request.uniform(len(drawn_N)).to(drawn_N.device)
            stays_N = u_N < ((step - 1) / step) ** powers_V[drawn_N]
            tokens_BL[masked_BL] = drawn_N.masked_fill(stays_N, request.mask_id)
            stale_B = (masked_BL & ~filling.masked_BL).any(dim=1)
        filling.report(steps - step + 1, steps)
    return filling.sample()
