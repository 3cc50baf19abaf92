"""The state-dependent process: how soon a token is masked depends on what it is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from bench.diffusion.absorbing import AbsorbingDiffusion, Denoise, DiffusionLoss, Terms
from bench.diffusion.errors import DiffusionError
from bench.diffusion.noised import Constant, Noised
from bench.diffusion.schedule import MULTI_SCALE

FIRST_STEP_SHARE = 1e-30  # stands for s = 0, where log(s/t) would be infinite
SURE = 1 - 1e-7  # the largest float32 below 1, nearly: keeps log(1 - p) and its gradient finite


class MultiScaleDiffusion(AbsorbingDiffusion):
    """Token i is hidden at time t with probability 1 - alpha_i(t) = t^w_i; w = `powers` (V,). MASK at t = 1 whatever w.

    A larger power is masked later, so drawn earlier: coarse before fine. The schedules are the polynomial ones of
    GenMD4 (Shi et al. 2024, 2406.04329, the section on state-dependent schedules), with powers by token, not learned.

    The pattern of masks now depends on the hidden tokens, so a cross-entropy with the weights of the plain ELBO bounds
    nothing. The bound of this process follows from its own reverse: with mu the prediction of the hidden token, a
    masked position becomes i on the way from t to s with probability mu_i rho_i, rho_i = 1 - (s/t)^w_i, and stays
    with sum_i mu_i (1 - rho_i). The KL divergence to the true step, whose token is x, is, summed over masked positions,

        -rho_x log mu_x + (1 - rho_x) (log(1 - rho_x) - log sum_i mu_i (1 - rho_i))

    and in continuous time, divided by t - s,   (-w_x log mu_x - w_x + sum_i mu_i w_i) / t.

    mu is the softmax of logits + w log t: for a single masked position exactly Bayes' rule with the
    logits as the law of the token given the visible ones, so a denoiser needs no time input. With equal powers of 1
    all of it is the linear AbsorbingDiffusion. Other losses put their weight relative to the ELBO's on the same terms.
    """

    elbo_stream = 2
    powers_V: torch.Tensor

    def __init__(
        self,
        mask_id: int,
        pad_id: int,
        powers: Sequence[float] | torch.Tensor,
        *,
        steps: int | None = 1000,
        loss: str = "reweighted_elbo",
        times: str = "low_discrepancy",
        time_input: bool = False,
    ) -> None:
        super().__init__(mask_id, pad_id, steps=steps, loss=loss, times=times, time_input=time_input)
        self.powers_V = torch.as_tensor(powers, dtype=torch.float64)
        if self.powers_V.dim() != 1 or not bool((torch.isfinite(self.powers_V) & (self.powers_V > 0)).all()):
            raise DiffusionError("powers: one number above 0 is needed for each token")
        self._powers = Constant(self.powers_V.to(torch.float32))

    def settings(self) -> dict[str, Any]:
        """Everything that decides the loss and the noise, as JSON can hold it."""
        return super().settings() | {"schedule": MULTI_SCALE, "powers": self.powers_V.tolist()}

    def hidden(self, x0_BL: torch.Tensor, time_B: torch.Tensor) -> torch.Tensor:
        """Probability (B, L) of each token to be MASK at `time_B`; 0 for PAD."""
        hidden_BL = time_B.to(self.powers_V)[:, None] ** self.powers_V[x0_BL.cpu()]
        return hidden_BL.masked_fill((x0_BL == self.pad_id).cpu(), 0.0)

    def loss_of(self, denoise: Denoise, noised: Noised, device: torch.device | str = "cpu") -> DiffusionLoss:
        """This slice's share of the loss; calls `denoise` once, on `device`. `masked_cross_entropy` is -log mu_x."""
        logits_BLV = self.logits_of(denoise, noised, device)
        targets = noised.found_targets()
        index_N, clean_N = (one.to(device, non_blocking=True) for one in (targets.index_N, targets.clean_N))
        row_N = index_N // logits_BLV.shape[1]
        time_B, weight_B, elbo_weight_B = (
            one.to(device, non_blocking=True) for one in (noised.time_B, noised.weight_B, noised.elbo_weight_B)
        )
        terms = self._terms_at(logits_BLV, index_N, clean_N, time_B[row_N].to(torch.float32))
        weight_N = (weight_B / elbo_weight_B / noised.normaliser)[row_N].to(terms.divergence_N)
        tokens = max(noised.token_count, 1)
        return DiffusionLoss(
            loss=(weight_N * terms.divergence_N).sum(),
            elbo_bits_per_token=terms.divergence_N.detach().sum() / (tokens * math.log(2)),
            masked_cross_entropy=terms.nll_N.detach().sum() / max(noised.masked_count, 1),
            masked_count=noised.masked_count,
        )

    def terms(
        self, logits_BLV: torch.Tensor, clean_BL: torch.Tensor, masked_BL: torch.Tensor, time_B: torch.Tensor
    ) -> Terms:
        """What each masked position adds to the bound at `time_B`, in row-major order; see the class."""
        device = logits_BLV.device
        index_N = masked_BL.flatten().nonzero().squeeze(1)
        clean_N = clean_BL.flatten()[index_N].to(device)
        time_N = time_B[masked_BL.nonzero()[:, 0]].to(device, torch.float32)
        return self._terms_at(logits_BLV, index_N.to(device), clean_N, time_N)

    def _terms_at(
        self, logits_BLV: torch.Tensor, index_N: torch.Tensor, clean_N: torch.Tensor, time_N: torch.Tensor
    ) -> Terms:
        """`terms` at known places of the rows laid end to end, everything on one device."""
        device = logits_BLV.device
        logits_NV = logits_BLV.flatten(0, 1).index_select(0, index_N).float()  # B L V -> N V
        logits_NV = logits_NV.index_fill(1, self._never.on(device), float("-inf"))
        power_V = self._powers.on(device)
        power_N, log_t_N = power_V[clean_N], time_N.log()
        tilted_NV = logits_NV + power_V * log_t_N[:, None]
        nll_N = torch.nn.functional.cross_entropy(tilted_NV, clean_N, reduction="none")
        if self.steps is None:
            drift_N = tilted_NV.softmax(dim=1) @ power_V - power_N
            return Terms((power_N * nll_N + drift_N) / time_N, nll_N)
        step_N = torch.round(time_N * self.steps)
        log_share_N = torch.log((step_N - 1).clamp(min=FIRST_STEP_SHARE) / step_N)  # log s/t; s = 0 reveals all
        reveal_NV = -torch.expm1(power_V * log_share_N[:, None])  # 1 - (s/t)^w
        reveal_NV = reveal_NV.masked_fill((step_N == 1)[:, None], 1.0)  # of a power near 0 the share of s = 0 is not
        reveal_N = reveal_NV.gather(1, clean_N[:, None]).squeeze(1)
        model_reveals_N = (tilted_NV.softmax(dim=1) * reveal_NV).sum(dim=1).clamp(max=SURE)
        stays_N = (1 - reveal_N) * (power_N * log_share_N - torch.log1p(-model_reveals_N))
        return Terms(self.steps * (reveal_N * nll_N + stays_N), nll_N)
