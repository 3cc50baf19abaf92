"""Confidence sampling: in each step the most probable draws are kept. A heuristic that follows no reverse process."""

from __future__ import annotations

import torch

from bench.diffusion.samplers.calls import CallPlan
from bench.diffusion.samplers.drawing import gumbel_noise
from bench.diffusion.samplers.registry import Option, register_sampler
from bench.diffusion.samplers.request import Filling, Sample, SampleRequest
from bench.diffusion.schedule import SCHEDULES, Schedule

CHOICE_TEMPERATURE = 4.5  # MaskGIT's for images (Chang et al. 2022, 2202.04200, public code)
SCHEDULE = "cosine"  # MaskGIT's
ROUNDING = 1e-9  # a product of a count and a share that is an integer may lie this far below it in float64


@register_sampler(
    "confidence",
    calls=lambda length, steps, _, **options: CallPlan(length, length, min(steps, length)),
    choice_temperature=Option(float, CHOICE_TEMPERATURE, least=0, allowed="0 or more"),
    schedule=Option(str, SCHEDULE, choices=SCHEDULES),
)
def confidence(request: SampleRequest, *, choice_temperature: float, schedule: str) -> Sample:
    """Draw all masked positions, keep the most probable, mask the rest again (MaskGIT, Chang et al. 2022, 2202.04200).

    `schedule` says how many are masked again, see `counts_left`; the process's schedule says only which time a
    denoiser that reads one is given. Sureness after step i of T is log p of the drawn token plus Gumbel noise times
    `choice_temperature` (1 - i/T). What is certain comes first, so likely tokens are taken too often: a piece repeats
    itself more than the data does. NFE is min(T, masked). A constraint is given all masked positions.
    """
    filling, steps = Filling(request), request.step_count
    shares = Schedule(schedule)
    time_T1 = (request.schedule or shares).time_of(1 - shares.grid(steps))
    left_TB = counts_left(filling.masked_BL.sum(dim=1).cpu(), steps, shares)
    for step in range(1, steps + 1):
        rows_R = left_TB[step - 1].nonzero().squeeze(1)
        if len(rows_R):
            part_RL, logits_RLV = filling.call(rows_R, float(time_T1[steps + 1 - step]))
            noise = choice_temperature * (1 - step / steps)
            part_RL = _keep_surest(filling, logits_RLV, part_RL, left_TB[step, rows_R], noise)
            filling.tokens_BL[rows_R.to(part_RL.device)] = part_RL
        filling.report(step, steps)
    return filling.sample()


def counts_left(masked_B: torch.Tensor, steps: int, schedule: Schedule) -> torch.Tensor:
    """Positions of each row that are masked after steps 0..T, int64 (T + 1, B), of `masked_B` at the start.

    After step i the floor of the share 1 - alpha(1 - i/T) of them, but at least one less than before and, where that
    leaves enough, one for each later step: a row takes part in min(T, masked) steps.
    """
    hidden = 1 - schedule.grid(steps)  # from 0 at t = 0 to 1 at t = 1
    left = [masked_B]
    for later in range(steps - 1, -1, -1):
        share_B = (masked_B * hidden[later] + ROUNDING).floor().long().clamp(min=later)
        left.append(torch.minimum(share_B, left[-1] - 1).clamp(min=0))
    return torch.stack(left)


def _keep_surest(
    filling: Filling, logits_RLV: torch.Tensor, tokens_RL: torch.Tensor, left_R: torch.Tensor, noise: float
) -> torch.Tensor:
    """Rows with all but the `left_R` least sure of their masked positions drawn."""
    drawing, mask_id = filling.drawing, filling.request.mask_id
    masked_RL = tokens_RL == mask_id
    writes = callable(drawing.constrain)  # a constraint may write into the logits that it is given
    drawn_N = drawing.draw(logits_RLV.clone() if writes else logits_RLV, tokens_RL, masked_RL)
    sure_N = drawing.log_probability(logits_RLV, masked_RL, drawn_N)
    sure_N = sure_N + noise * gumbel_noise(sure_N.shape, drawing.generator).to(sure_N.device)
    sure_RL = torch.full(tokens_RL.shape, float("inf"), dtype=torch.float64, device=sure_N.device)
    sure_RL[masked_RL] = sure_N
    rank_RL = sure_RL.argsort(dim=1).argsort(dim=1)  # 0 is the least sure
    drawn_RL = tokens_RL.clone()
    drawn_RL[masked_RL] = drawn_N
    return drawn_RL.masked_fill(rank_RL < left_R.to(rank_RL.device)[:, None], mask_id)
