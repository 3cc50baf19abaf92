"""Remasking: drawn tokens may be hidden and drawn again, so that more calls can mend what was drawn too early."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from bench.diffusion.errors import DiffusionError
from bench.diffusion.samplers.constraint import Constraint
from bench.diffusion.samplers.drawing import Drawing
from bench.diffusion.samplers.planned import Denoise, Progress
from bench.diffusion.samplers.sample import Sample, check_sampling, evaluation_mode
from bench.diffusion.schedule import Schedule

REMASKINGS = ("cap", "rescale", "loop")
LOOP_START, LOOP_END, LOOP_VISIBLE = 0.55, 0.05, 0.9  # Wang et al. 2025 (2503.00307), text experiments


def remask(
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
    remasking: str = "cap",
    eta: float = 0.02,
) -> Sample:
    """The reverse process of ReMDM (Wang et al. 2025, 2503.00307) in `steps` steps.

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
    check_sampling(tokens_BL, mask_id, steps, fixed)
    if remasking not in REMASKINGS:
        raise DiffusionError(f"remasking: {remasking!r} is not known; allowed: {', '.join(REMASKINGS)}")
    if not 0 <= eta <= 1:
        raise DiffusionError(f"eta: {eta} is not allowed; allowed: 0 (never masked again) to 1")
    drawing = Drawing(generator, (mask_id, *forbidden_ids), temperature, top_p, constrain)
    schedule = schedule or Schedule()
    visible = loop_grid(steps) if remasking == "loop" else schedule.grid(steps)
    tokens_BL = tokens_BL.clone()
    free_BL, nfe_B = (tokens_BL == mask_id).cpu(), torch.zeros(len(tokens_BL), dtype=torch.int64)
    masked_BL = free_BL.clone()
    with evaluation_mode(denoise):
        for step in range(steps, 0, -1):
            now, after = float(visible[step]), float(visible[step - 1])
            sigma = remask_rate(now, after, remasking, eta)
            u_BL = torch.rand(tokens_BL.shape, generator=generator, dtype=torch.float64, device=generator.device).cpu()
            reveal_BL = masked_BL & (u_BL < reveal_rate(now, after, sigma))
            hide_BL = free_BL & ~masked_BL & (u_BL < sigma)
            rows_R = reveal_BL.any(dim=1).nonzero().squeeze(1)
            if len(rows_R):
                part_RL = tokens_BL[rows_R.to(tokens_BL.device)]
                time_R = schedule.time_of(torch.full((len(rows_R),), 1 - now)).to(part_RL.device, torch.float32)
                logits_RLV = denoise(part_RL, *((time_R,) if time_input else ()))
                nfe_B[rows_R] += 1
                drawn_N = drawing.draw(logits_RLV, part_RL, reveal_BL[rows_R])
                tokens_BL[reveal_BL.to(tokens_BL.device)] = drawn_N.to(tokens_BL.device)
            tokens_BL.masked_fill_(hide_BL.to(tokens_BL.device), mask_id)
            masked_BL = masked_BL & ~reveal_BL | hide_BL
            if progress is not None:
                progress(steps - step + 1, steps)
    return Sample(tokens_BL.clone(), nfe_B.tolist())


def remask_rate(visible: float, visible_after: float, remasking: str, eta: float) -> float:
    """sigma of a step from alpha_t = `visible` to alpha_s = `visible_after`."""
    most = 1.0 if visible == 0 else min(1.0, (1 - visible_after) / visible)
    if remasking == "rescale":
        return eta * most
    if remasking == "loop" and visible_after != visible:
        return 0.0
    return min(eta, most)


def reveal_rate(visible: float, visible_after: float, sigma: float) -> float:
    """The chance of a masked position to be revealed in a step; it makes up for what is masked again."""
    return (visible_after - (1 - sigma) * visible) / (1 - visible)


def loop_grid(steps: int) -> torch.Tensor:
    """alpha at t = 0, 1/T, ..., 1 of the loop: up to 0.9, level, up to 1."""
    time = torch.arange(steps + 1, dtype=torch.float64) / steps
    before = LOOP_VISIBLE * (1 - time) / (1 - LOOP_START)
    after = 1 - (1 - LOOP_VISIBLE) * time / LOOP_END
    return torch.where(time > LOOP_START, before, torch.where(time < LOOP_END, after, LOOP_VISIBLE))
