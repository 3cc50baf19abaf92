"""Confidence sampling: in each step the surest draws are kept. A heuristic that follows no reverse process."""

from __future__ import annotations

import torch

from bench.diffusion.samplers.drawing import gumbel_noise
from bench.diffusion.samplers.registry import Option, register_sampler
from bench.diffusion.samplers.request import Filling, Sample, SampleRequest
from bench.diffusion.schedule import Schedule

CHOICE_TEMPERATURE = 4.5  # MaskGIT's for images (Chang et al. 2022, 2202.04200, public code)


@register_sampler("confidence", choice_temperature=Option(float, CHOICE_TEMPERATURE, least=0, allowed="0 or more"))
def confidence(request: SampleRequest, *, choice_temperature: float) -> Sample:
    """Draw all masked positions, keep the surest, mask the rest again (MaskGIT, Chang et al. 2022, 2202.04200).

    After step i of T a share 1 - alpha(1 - i/T) of a piece's masked positions is left, and at least one is kept
    a step. Sureness is log p of the drawn token plus Gumbel noise times `choice_temperature` (1 - i/T). What
    is certain comes first, so likely tokens are taken too often: a piece repeats itself more than the data does.
    Without a schedule the cosine one, as published. NFE is min(T, masked). A constraint is given all masked positions.
    """
    filling, steps = Filling(request), request.step_count
    hidden = 1 - (request.schedule or Schedule("cosine")).grid(steps)  # from 0 at t = 0 to 1 at t = 1
    first_B = filling.masked_BL.sum(dim=1).cpu()
    left_B = first_B.clone()
    for step in range(1, steps + 1):
        rows_R = left_B.nonzero().squeeze(1)
        if len(rows_R):
            part_RL, logits_RLV = filling.call(rows_R, (steps + 1 - step) / steps)
            keep_R = (first_B[rows_R] * hidden[steps - step]).floor().long()
            left_B[rows_R] = torch.minimum(keep_R, left_B[rows_R] - 1)
            noise = choice_temperature * (1 - step / steps)
            part_RL = _keep_surest(filling, logits_RLV, part_RL, left_B[rows_R], noise)
            filling.tokens_BL[rows_R.to(part_RL.device)] = part_RL
        filling.report(step, steps)
    return filling.sample()


def _keep_surest(
    filling: Filling, logits_RLV: torch.Tensor, tokens_RL: torch.Tensor, left_R: torch.Tensor, noise: float
) -> torch.Tensor:
    """Rows with all but the `left_R` least sure of their masked positions drawn."""
    drawing, mask_id = filling.drawing, filling.request.mask_id
    masked_RL = tokens_RL == mask_id
    drawn_N = drawing.draw(logits_RLV, tokens_RL, masked_RL)
    sure_N = drawing.log_probability(logits_RLV, masked_RL, drawn_N)
    sure_N = sure_N + noise * gumbel_noise(sure_N.shape, drawing.generator).to(sure_N.device)
    sure_RL = torch.full(tokens_RL.shape, float("inf"), dtype=torch.float64, device=sure_N.device)
    sure_RL[masked_RL] = sure_N
    rank_RL = sure_RL.argsort(dim=1).argsort(dim=1)  # 0 is the least sure
    drawn_RL = tokens_RL.clone()
    drawn_RL[masked_RL] = drawn_N
    return drawn_RL.masked_fill(rank_RL < left_R.to(rank_RL.device)[:, None], mask_id)
