"""First-hitting sampling: straight to the moments at which something is revealed."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from bench.diffusion.errors import DiffusionError
from bench.diffusion.samplers.constraint import Constraint
from bench.diffusion.samplers.drawing import Drawing
from bench.diffusion.samplers.planned import Denoise, Progress, reveal_as_planned
from bench.diffusion.samplers.sample import Sample, check_sampling
from bench.diffusion.schedule import Schedule


def first_hitting(
    denoise: Denoise,
    tokens_BL: torch.Tensor,
    *,
    mask_id: int,
    generator: torch.Generator,
    steps: int | None = None,
    per_call: int | None = None,
    fixed: torch.Tensor | None = None,
    schedule: Schedule | None = None,
    forbidden_ids: Sequence[int] = (),
    temperature: float = 1.0,
    top_p: float = 1.0,
    constrain: Constraint | None = None,
    time_input: bool = False,
    progress: Progress | None = None,
) -> Sample:
    """Reveal `per_call` masked positions a call, in an order drawn uniformly (Zheng et al. 2024, 2409.02908).

    In continuous time reveals come one by one, each at a position that is uniform among the masked, at a time
    that matters only to a denoiser that reads it. With `per_call` = 1 (and an exact denoiser) the law is the data's:
    no discretisation is left. NFE of a piece is ceil(masked / per_call). `steps` instead asks for at most
    that many calls: per_call = ceil(L / steps). Raises DiffusionError unless one of the two is given.
    """
    if (steps is None) == (per_call is None):
        raise DiffusionError("per_call, steps: give positions a call or the number of calls, one of the two")
    if per_call is not None and per_call < 1:
        raise DiffusionError(f"per_call: {per_call} positions a call; allowed: 1 or more")
    check_sampling(tokens_BL, mask_id, 1 if steps is None else steps, fixed)
    together = per_call or -(-tokens_BL.shape[1] // (steps or 1))
    drawing = Drawing(generator, (mask_id, *forbidden_ids), temperature, top_p, constrain)
    rank_BL = reveal_ranks((tokens_BL == mask_id).cpu(), generator)
    call_BL = -(-rank_BL // together)
    calls = int(call_BL.max())
    time_CB = None
    if time_input:
        hidden_CB = hitting_times(rank_BL.amax(dim=1), calls, together, generator)
        time_CB = (schedule or Schedule()).time_of(hidden_CB)
    return reveal_as_planned(
        denoise, tokens_BL, call_BL, calls, drawing, time_CB=time_CB, skip_idle=True, progress=progress
    )


def reveal_ranks(masked_BL: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """A uniform order of each row's masked positions: 1 is revealed first; 0 where nothing is masked."""
    u_BL = torch.rand(masked_BL.shape, generator=generator, dtype=torch.float64, device=generator.device).cpu()
    order_BL = u_BL.masked_fill(~masked_BL, 2.0).argsort(dim=1)
    rank_BL = torch.empty_like(order_BL).scatter_(1, order_BL, torch.arange(1, masked_BL.shape[1] + 1).expand_as(u_BL))
    return rank_BL.masked_fill(~masked_BL, 0)


def hitting_times(masked_B: torch.Tensor, calls: int, together: int, generator: torch.Generator) -> torch.Tensor:
    """The masked share of the process at the first reveal of each call, (calls, B): with n masked the next reveal
    comes when the share has fallen by a factor u^(1/n) (2409.02908). 0 once a row is done."""
    share_CB = torch.zeros(calls, len(masked_B), dtype=torch.float64)
    share_B, left_B = torch.ones(len(masked_B), dtype=torch.float64), masked_B.double()
    for reveal in range(calls * together):
        u_B = torch.rand(len(masked_B), generator=generator, dtype=torch.float64, device=generator.device).cpu()
        share_B = torch.where(left_B > 0, share_B * u_B ** (1 / left_B.clamp(min=1)), 0.0)
        if reveal % together == 0:
            share_CB[reveal // together] = share_B
        left_B = left_B - 1
    return share_CB
