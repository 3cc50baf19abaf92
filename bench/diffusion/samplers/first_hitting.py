"""First-hitting sampling: straight to the moments at which something is revealed."""

from __future__ import annotations

import torch

from bench.diffusion.errors import DiffusionError
from bench.diffusion.samplers.calls import CallPlan
from bench.diffusion.samplers.registry import Option, register_sampler
from bench.diffusion.samplers.request import Filling, Sample, SampleRequest
from bench.diffusion.schedule import Schedule


def first_hitting_calls(length: int, steps: int | None, _: int | None, *, per_call: int | None) -> CallPlan:
    """The calls of a piece: its tokens over those of a call."""
    together = per_call or -(-length // (steps or length))
    return CallPlan(length, length, -(-length // together))


@register_sampler(
    "first-hitting",
    calls=first_hitting_calls,
    instead_of_steps="per_call",
    per_call=Option(int, None, least=1, allowed="1 or more positions a call"),
)
def first_hitting(request: SampleRequest, *, per_call: int | None) -> Sample:
    """Reveal `per_call` masked positions a call, in an order drawn uniformly (Zheng et al. 2024, 2409.02908).

    In continuous time reveals come one by one, each at a position that is uniform among the masked, at a time
    that matters only to a denoiser that reads it. With `per_call` = 1 (and an exact denoiser) the law is the data's:
    no discretisation is left. NFE of a piece is ceil(masked / per_call). A number of steps instead asks for at most
    that many calls: of each piece per_call = ceil(masked / steps). Raises DiffusionError unless one of both is given.
    """
    if (request.steps is None) == (per_call is None):
        raise DiffusionError("per_call, steps: give positions a call or the number of calls, one of the two")
    filling = Filling(request)
    rank_BL = reveal_ranks(request)
    masked_B = rank_BL.amax(dim=1)
    together_B = torch.full_like(masked_B, per_call or 1)
    if per_call is None:
        together_B = (-(-masked_B // request.step_count)).clamp(min=1)
    call_BL = -(-rank_BL // together_B[:, None])
    hidden_CB = torch.zeros(int(call_BL.max()), len(call_BL), dtype=torch.float64)
    if request.time_input:
        hidden_CB = hitting_times(masked_B, len(hidden_CB), together_B, request)
    time_CB = (request.schedule or Schedule()).time_of(hidden_CB)
    return filling.reveal_in_turn(call_BL, time_CB, skip_idle=True)


def reveal_ranks(request: SampleRequest) -> torch.Tensor:
    """A uniform order of each row's masked positions: 1 is revealed first; 0 where nothing is masked."""
    masked_BL = (request.tokens_BL == request.mask_id).cpu()
    u_BL = request.uniform(*masked_BL.shape)
    order_BL = u_BL.masked_fill(~masked_BL, 2.0).argsort(dim=1)
    rank_BL = torch.empty_like(order_BL).scatter_(1, order_BL, torch.arange(1, masked_BL.shape[1] + 1).expand_as(u_BL))
    return rank_BL.masked_fill(~masked_BL, 0)


def hitting_times(masked_B: torch.Tensor, calls: int, together_B: torch.Tensor, request: SampleRequest) -> torch.Tensor:
    """The masked share of the process at the first reveal of each call, (calls, B): with n masked the next reveal
    comes when the share has fallen by a factor u^(1/n) (2409.02908). 0 once a row is done."""
    share_CB = torch.zeros(calls, len(masked_B), dtype=torch.float64)
    share_B, left_B = torch.ones(len(masked_B), dtype=torch.float64), masked_B.double()
    for reveal in range(int(masked_B.max())):
        u_B = request.uniform(len(masked_B))
        share_B = torch.where(left_B > 0, share_B * u_B ** (1 / left_B.clamp(min=1)), 0.0)
        begins_B = (reveal % together_B == 0) & (left_B > 0)
        share_CB[reveal // together_B[begins_B], begins_B.nonzero().squeeze(1)] = share_B[begins_B]
        left_B = left_B - 1
    return share_CB
