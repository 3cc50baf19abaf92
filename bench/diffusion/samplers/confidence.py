"""Confidence sampling: in each step the surest draws are kept. A heuristic that follows no reverse process."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from bench.diffusion.errors import DiffusionError
from bench.diffusion.samplers.constraint import Constraint
from bench.diffusion.samplers.drawing import Drawing, gumbel_noise
from bench.diffusion.samplers.planned import Denoise, Progress
from bench.diffusion.samplers.sample import Sample, check_sampling, evaluation_mode
from bench.diffusion.schedule import Schedule

CHOICE_TEMPERATURE = 4.5  # MaskGIT's for images (Chang et al. 2022, 2202.04200, public code)


def confidence(
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
    choice_temperature: float = CHOICE_TEMPERATURE,
) -> Sample:
    """Draw all masked positions, keep the surest, mask the rest again (MaskGIT, Chang et al. 2022, 2202.04200).

    After step i of `steps` a share 1 - alpha(1 - i/T) of a piece's masked positions is left, and at least one is kept
    a step. Sureness is log p of the drawn token plus Gumbel noise times `choice_temperature` (1 - i/T). What
    is certain comes first, so likely tokens are taken too often: a piece repeats itself more than the data does.
    Without `schedule` the cosine one, as published. NFE is min(T, masked). A constraint sees all masked positions.
    """
    check_sampling(tokens_BL, mask_id, steps, fixed)
    if not choice_temperature >= 0:
        raise DiffusionError(f"choice_temperature: {choice_temperature} is not allowed; allowed: 0 or more")
    drawing = Drawing(generator, (mask_id, *forbidden_ids), temperature, top_p, constrain)
    hidden = 1 - (schedule or Schedule("cosine")).grid(steps)  # from 0 at t = 0 to 1 at t = 1
    tokens_BL = tokens_BL.clone()
    first_B = (tokens_BL == mask_id).sum(dim=1).cpu()
    left_B, nfe_B = first_B.clone(), torch.zeros(len(tokens_BL), dtype=torch.int64)
    with evaluation_mode(denoise):
        for step in range(1, steps + 1):
            rows_R = left_B.nonzero().squeeze(1)
            if len(rows_R):
                part_RL = tokens_BL[rows_R.to(tokens_BL.device)]
                time = (steps + 1 - step) / steps
                logits_RLV = denoise(part_RL, *_time(part_RL, time, time_input))
                nfe_B[rows_R] += 1
                keep_R = (first_B[rows_R] * hidden[steps - step]).floor().long()
                left_B[rows_R] = torch.minimum(keep_R, left_B[rows_R] - 1)
                noise = choice_temperature * (1 - step / steps)
                part_RL = _keep_surest(logits_RLV, part_RL, mask_id, left_B[rows_R], drawing, noise)
                tokens_BL[rows_R.to(tokens_BL.device)] = part_RL
            if progress is not None:
                progress(step, steps)
    return Sample(tokens_BL.clone(), nfe_B.tolist())


def _keep_surest(
    logits_RLV: torch.Tensor,
    tokens_RL: torch.Tensor,
    mask_id: int,
    left_R: torch.Tensor,
    drawing: Drawing,
    noise: float,
) -> torch.Tensor:
    """Rows with all but the `left_R` least sure of their masked positions drawn."""
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


def _time(tokens_BL: torch.Tensor, time: float, wanted: bool) -> tuple[torch.Tensor, ...]:
    return (tokens_BL.new_full((len(tokens_BL),), time, dtype=torch.float32),) if wanted else ()
