"""Ancestral sampling: the reverse process step by step, and the same draw with idle rows left out."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from bench.diffusion.errors import DiffusionError
from bench.diffusion.samplers.sample import Sample, check_sampling, draw_tokens, evaluation_mode
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
    denoise: Callable[..., torch.Tensor],
    tokens_BL: torch.Tensor,
    *,
    mask_id: int,
    steps: int,
    generator: torch.Generator,
    fixed: torch.Tensor | None = None,
    schedule: Schedule | None = None,
    forbidden_ids: Sequence[int] = (),
    temperature: float = 1.0,
    time_input: bool = False,
    progress: Callable[[int, int], None] | None = None,
    skip_idle: bool = False,
) -> Sample:
    """Fill every MASK of `tokens_BL` in `steps` steps of the reverse process (Austin et al. 2021, 2107.03006).

    Calls `denoise(tokens_BL)`, with `time_input` `denoise(tokens_BL, time_B)`, T times; NFE is T for every piece.
    Positions revealed in one step are drawn independently, so few steps change the law. `fixed` (B, L) bool marks
    positions that must not be masked. `progress(done, steps)` is called after each step. The generator may be on
    the CPU whatever the device. Raises DiffusionError for settings that cannot be used.
    """
    check_sampling(tokens_BL, steps, temperature)
    if fixed is not None and bool(((tokens_BL == mask_id) & fixed.to(tokens_BL.device)).any()):
        raise DiffusionError("fixed: a fixed position holds MASK; allowed: fixed positions with a token")
    schedule = schedule or Schedule()
    never = torch.tensor([mask_id, *forbidden_ids])
    step_BL = reveal_steps(tokens_BL, mask_id, steps, schedule, generator)
    tokens_BL, nfe_B = tokens_BL.clone(), torch.zeros(len(tokens_BL), dtype=torch.int64)
    with evaluation_mode(denoise):
        for step in range(steps, 0, -1):
            reveal_BL = step_BL == step
            rows = reveal_BL.any(dim=1).nonzero().squeeze(1) if skip_idle else torch.arange(len(tokens_BL))
            if len(rows):
                part_BL = tokens_BL[rows.to(tokens_BL.device)] if len(rows) < len(tokens_BL) else tokens_BL
                time = (part_BL.new_full((len(rows),), step / steps, dtype=torch.float32),) if time_input else ()
                logits_BLV = denoise(part_BL, *time)
                nfe_B[rows] += 1
                at_N = reveal_BL[rows].flatten().nonzero().squeeze(1).to(logits_BLV.device)
                drawn_N = draw_tokens(logits_BLV.flatten(0, 1)[at_N], never, temperature, generator)  # B L V -> N
                tokens_BL[reveal_BL.to(tokens_BL.device)] = drawn_N
            if progress is not None:
                progress(steps - step + 1, steps)
    return Sample(tokens_BL.clone(), nfe_B.tolist())


def cached(denoise: Callable[..., torch.Tensor], tokens_BL: torch.Tensor, **options: object) -> Sample:
    """The draw of `ancestral`, computing only the rows in which something is revealed at that step.

    A denoiser's answer is used only where it reveals a token, so the law is that of `ancestral` (and the tokens are
    the same up to rounding that depends on the batch). NFE of a piece is the number of steps that reveal something
    in it: for the linear schedule T (1 - (1 - 1/T)^L) in expectation, at most min(T, L).
    """
    return ancestral(denoise, tokens_BL, skip_idle=True, **options)  # type: ignore[arg-type]
