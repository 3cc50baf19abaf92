"""Remasking: drawn tokens may be hidden and drawn again, so that more calls can replace what was drawn too early."""

from __future__ import annotations

import torch

from bench.diffusion.samplers.calls import CallPlan
from bench.diffusion.samplers.registry import Option, register_sampler
from bench.diffusion.samplers.request import Filling, Sample, SampleRequest, rows_with
from bench.diffusion.schedule import Schedule

LOOP_START, LOOP_END, LOOP_VISIBLE = 0.55, 0.05, 0.9  # Wang et al. 2025 (2503.00307), text experiments


@register_sampler(
    "remask",
    calls=lambda length, steps, _, **options: CallPlan(length, length, steps, most=True),
    remasking=Option(str, "cap", choices=("cap", "rescale", "loop")),
    eta=Option(float, 0.02, least=0, most=1, allowed="0 (never masked again) to 1"),
)
def remask(request: SampleRequest, *, remasking: str, eta: float) -> Sample:
    """The reverse process of ReMDM (Wang et al. 2025, 2503.00307) in T steps.

    On the way from t to s a drawn token is masked again with probability sigma, and a masked one is revealed with
    probability (alpha_s - (1 - sigma) alpha_t) / (1 - alpha_t): the masked share stays that of the schedule.
    sigma is at most sigma_max = min(1, (1 - alpha_s) / alpha_t), and 0 gives `cached`.

    remasking  cap      sigma = min(eta, sigma_max)
               rescale  sigma = eta sigma_max
               loop     alpha rises to 0.9 by t = 0.55, stays there until t = 0.05 while sigma = min(eta, sigma_max)
                        draws again and again, then rises to 1; elsewhere sigma = 0. The schedule is not used

    Given tokens (no MASK at the start, `fixed` or not) are never masked. Only rows in which something is revealed are
    computed, so NFE is at most T.
    """
    filling, steps = Filling(request), request.step_count
    schedule = request.schedule or Schedule()
    visible = loop_grid(steps) if remasking == "loop" else schedule.grid(steps)
    free_BL = filling.masked_BL.cpu()
    masked_BL = free_BL.clone()
    for step in range(steps, 0, -1):
        now, after = float(visible[step]), float(visible[step - 1])
        sigma = remask_rate(now, after, remasking, eta)
        u_BL = request.uniform(*free_BL.shape)
        reveal_BL = masked_BL & (u_BL < reveal_rate(now, after, sigma))
        hide_BL = free_BL & ~masked_BL & (u_BL < sigma)
        rows_R = rows_with(reveal_BL)
        if len(rows_R):
            filling.reveal(reveal_BL, rows_R, schedule.time_of(torch.full((len(rows_R),), 1 - now)))
        filling.tokens_BL.masked_fill_(hide_BL.to(filling.tokens_BL.device), request.mask_id)
        masked_BL = masked_BL & ~reveal_BL | hide_BL
        filling.report(steps - step + 1, steps)
    return filling.sample()


def remask_rate(visible: float, visible_after: float, remasking: str, eta: float) -> float:
    """sigma of a step from alpha_t = `visible` to alpha_s = `visible_after`."""
    most = 1.0 if visible == 0 else min(1.0, (1 - visible_after) / visible)
    if remasking == "rescale":
        return eta * most
    if remasking == "loop" and visible_after != visible:
        return 0.0
    return min(eta, most)


def reveal_rate(visible: float, visible_after: float, sigma: float) -> float:
    """Probability that a masked position is revealed in a step, higher by what is masked again."""
    return (visible_after - (1 - sigma) * visible) / (1 - visible)


def loop_grid(steps: int) -> torch.Tensor:
    """alpha at t = 0, 1/T, ..., 1 of the loop: up to 0.9, level, up to 1."""
    time = torch.arange(steps + 1, dtype=torch.float64) / steps
    before = LOOP_VISIBLE * (1 - time) / (1 - LOOP_START)
    after = 1 - (1 - LOOP_VISIBLE) * time / LOOP_END
    return torch.where(time > LOOP_START, before, torch.where(time < LOOP_END, after, LOOP_VISIBLE))
