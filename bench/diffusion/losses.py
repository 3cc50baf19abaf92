"""The training losses: one cross-entropy over masked positions under five weights.

Every loss here is  weight(t) * sum over masked positions of -log p(x0_i | x_t),  in nats, divided by the number of
tokens that count (not PAD), so its unit is nats/token; only `masked_cross_entropy` divides by the masked ones.
`t` runs over 1..T, or over (0, 1] in continuous time; alpha is the schedule. For the linear schedule
alpha_t = 1 - t/T.
"""

from __future__ import annotations

import torch

from bench.diffusion.errors import DiffusionError
from bench.diffusion.schedule import Schedule
from bench.errors import quoted

LOSSES = {
    "elbo": "T (alpha_(t-1) - alpha_t) / (1 - alpha_t), linear T/t: the ELBO of D3PM "
    "(Austin et al. 2021, 2107.03006, absorbing state)",
    "reweighted_elbo": "alpha_(t-1), linear (T-t+1)/T: the reweighted ELBO (Bond-Taylor et al. 2022, 2111.12701)",
    "reweighted_elbo_schmubert": "alpha_t, linear 1 - t/T: the same as SCHmUBERT's public code has it "
    "(Plasser et al. 2023, 2305.09489)",
    "mdlm": "-alpha'(t) / (1 - alpha(t)), linear 1/t: the continuous-time ELBO (Sahoo et al. 2024, 2406.07524)",
    "masked_cross_entropy": "1: the plain mean over masked positions",
}


def check_loss(name: str, steps: int | None) -> None:
    """Raise DiffusionError unless `name` is a loss that fits discrete (`steps` an int) or continuous (None) time."""
    if name not in LOSSES:
        raise DiffusionError(f"loss: {quoted(name)} is not known; allowed: {', '.join(LOSSES)}")
    if name == "elbo" and steps is None:
        raise DiffusionError("loss: 'elbo' needs a number of diffusion steps; in continuous time that bound is 'mdlm'")
    if name == "mdlm" and steps is not None:
        raise DiffusionError(f"loss: 'mdlm' needs continuous time, not {steps} steps; with steps the bound is 'elbo'")


def loss_weight(name: str, time: torch.Tensor, schedule: Schedule, steps: int | None) -> torch.Tensor:
    """Weight of the summed cross-entropy at `time`, float64, shape of `time`.

    `time` lies in (0, 1]; with `steps` it must be a multiple of 1/steps. A schedule other than linear puts its own
    alpha in place of 1 - t/T.
    """
    check_loss(name, steps)
    if name == "masked_cross_entropy":
        return torch.ones_like(time)
    now = schedule.alpha(time)
    if name == "mdlm":
        return -schedule.slope(time) / (1 - now)
    if name == "reweighted_elbo_schmubert" or steps is None:
        return now
    grid = schedule.grid(steps)
    index = torch.round(time * steps).long()
    before, now = grid[index - 1], grid[index]
    return before if name == "reweighted_elbo" else steps * (before - now) / (1 - now)


def elbo_weight(time: torch.Tensor, schedule: Schedule, steps: int | None) -> torch.Tensor:
    """Weight that makes the summed cross-entropy an unbiased draw of the process's own ELBO, whatever is trained."""
    return loss_weight("mdlm" if steps is None else "elbo", time, schedule, steps)
