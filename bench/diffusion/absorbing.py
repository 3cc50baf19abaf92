"""The absorbing-state diffusion process that every backbone shares."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn

from architectures.padding import padded_rows
from bench.diffusion.errors import DiffusionError
from bench.diffusion.evaluation import BitsPerToken, bits_per_token, predict_plain
from bench.diffusion.losses import check_loss, elbo_weight, loss_weight
from bench.diffusion.noised import Constant, Noised, check_logits, masked_nll, nll_at
from bench.diffusion.objectives import ABSORBING
from bench.diffusion.samplers import SAMPLERS, Sample, check_sampler
from bench.diffusion.samplers.request import Denoise, SampleRequest
from bench.diffusion.schedule import Schedule
from bench.errors import quoted
from metrics.cost.quantities import COUNT_FORM

TIMES = ("low_discrepancy", "uniform")
CONTINUOUS_TIME_MIN = 1e-5  # the weight 1/t has no bound at 0; at this time 2,048 tokens lose 0.02 on average


@dataclass(frozen=True)
class DiffusionLoss:
    """Loss of a batch, or this slice's share of it: shares of one batch add up. All tensors of no dimension."""

    loss: torch.Tensor  # nats/token, to backpropagate
    elbo_bits_per_token: torch.Tensor  # one unbiased draw of the ELBO, bits/token; noisy
    masked_cross_entropy: torch.Tensor  # nats per masked token
    masked_count: int  # masked tokens of the whole batch


@dataclass(frozen=True)
class Terms:
    """Of each masked position: its part of the ELBO (T times its KL, or the rate in continuous time), and the negative
    log-likelihood of its token. Nats."""

    divergence_N: torch.Tensor
    nll_N: torch.Tensor


class AbsorbingDiffusion:
    """Tokens turn into MASK one by one, and a denoiser `tokens -> logits` learns the reverse. Has no parameters.

    Austin et al. 2021 (D3PM, 2107.03006) with an absorbing state. A token is hidden at time t with probability
    1 - alpha(t), independently; PAD is never hidden and never counts; MASK and PAD have probability 0 in the
    losses and are never drawn.

    steps       T of the discrete process, or None for continuous time
    schedule    linear, cosine, geometric (see Schedule)
    loss        one of bench.diffusion.losses.LOSSES
    times       `low_discrepancy`: one time in each of B equal strata of the batch (Kingma et al. 2021, 2107.00630,
                appendix I.1), or `uniform`: each alone. Equal in expectation; the strata spread less
    time_input  call the denoiser as `denoise(tokens_BL, time_B)`, time in (0, 1]; without it `denoise(tokens_BL)`
    """

    elbo_stream: ClassVar[int] = 1  # part of the seed of `elbo_bits_per_token`
    objective: ClassVar[str] = ABSORBING
    block: int | None = None
    """Tokens of a block, for a process that draws rows block by block."""
    estimate: str = COUNT_FORM
    """Words for what `bits_per_token` is; see `metrics.cost.quantities.likelihood_kind`."""

    def __init__(
        self,
        mask_id: int,
        pad_id: int,
        *,
        steps: int | None = 1000,
        schedule: str = "linear",
        loss: str = "reweighted_elbo",
        times: str = "low_discrepancy",
        time_input: bool = False,
    ) -> None:
        if times not in TIMES:
            raise DiffusionError(f"times: {quoted(times)} is not known; allowed: {', '.join(TIMES)}")
        if steps is not None and steps < 1:
            raise DiffusionError(f"steps: {steps} diffusion steps are too few; allowed: 1 or more, or None")
        if mask_id == pad_id:
            raise DiffusionError(f"mask_id: MASK and PAD are both {mask_id}; allowed: two different tokens")
        check_loss(loss, steps)
        self.mask_id, self.pad_id = mask_id, pad_id
        self.steps, self.times, self.time_input = steps, times, time_input
        self.schedule, self.loss_name = Schedule(schedule), loss
        self.powers_V: torch.Tensor | None = None
        self._never = Constant(torch.tensor([mask_id, pad_id]))

    def settings(self) -> dict[str, Any]:
        """Everything that decides the loss and the noise, as JSON can hold it."""
        return {
            "mask_id": self.mask_id,
            "pad_id": self.pad_id,
            "steps": self.steps,
            "schedule": self.schedule.name,
            "loss": self.loss_name,
            "times": self.times,
            "time_input": self.time_input,
        }

    def draw_times(self, count: int, generator: torch.Generator) -> torch.Tensor:
        """`count` times in (0, 1], float64: multiples of 1/T, or continuous."""
        if self.times == "uniform":
            u = torch.rand(count, generator=generator, dtype=torch.float64)
        else:
            offset = torch.rand(1, generator=generator, dtype=torch.float64)
            u = (torch.arange(count, dtype=torch.float64) + offset) / count
        return self.times_of(u)

    def times_of(self, u: torch.Tensor) -> torch.Tensor:
        """Times in (0, 1] of draws from [0, 1), float64: multiples of 1/T, or continuous."""
        if self.steps is None:
            return CONTINUOUS_TIME_MIN + (1 - CONTINUOUS_TIME_MIN) * u
        return (torch.floor(u * self.steps) + 1).clamp(max=self.steps) / self.steps

    def hidden(self, x0_BL: torch.Tensor, time_B: torch.Tensor) -> torch.Tensor:
        """Probability (B, L) of each token to be MASK at `time_B` in (0, 1]; 0 for PAD. Float64, on the CPU."""
        hidden_BL = (1 - self.schedule.alpha(time_B))[:, None].expand(x0_BL.shape)
        return hidden_BL.masked_fill((x0_BL == self.pad_id).cpu(), 0.0)

    def corrupt(self, x0_BL: torch.Tensor, time_B: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """x_t given x_0 at `time_B` in (0, 1]: each token is MASK with the probability `hidden`."""
        u_BL = torch.rand(x0_BL.shape, generator=generator, dtype=torch.float64)
        return x0_BL.masked_fill((u_BL < self.hidden(x0_BL, time_B)).to(x0_BL.device), self.mask_id)

    def terms(
        self, logits_BLV: torch.Tensor, clean_BL: torch.Tensor, masked_BL: torch.Tensor, time_B: torch.Tensor
    ) -> Terms:
        """What each masked position adds to the ELBO at `time_B`, in row-major order."""
        nll_N = masked_nll(logits_BLV, clean_BL, masked_BL, self._never.on(logits_BLV.device))
        weight_N = elbo_weight(time_B, self.schedule, self.steps)[masked_BL.nonzero()[:, 0]]
        return Terms(weight_N.to(nll_N.device) * nll_N, nll_N)

    def noise(self, x0_BL: torch.Tensor, generator: torch.Generator) -> Noised:
        """Draw times and masks for a whole batch on the generator's device; every process draws the same."""
        time_B = self.draw_times(len(x0_BL), generator)
        tokens_BL = self.corrupt(x0_BL, time_B, generator)
        masked_BL = (tokens_BL == self.mask_id) & (x0_BL != self.mask_id)
        token_count, masked_count = int((x0_BL != self.pad_id).sum()), int(masked_BL.sum())
        return Noised(
            tokens_BL=tokens_BL,
            clean_BL=x0_BL,
            masked_BL=masked_BL,
            time_B=time_B,
            weight_B=loss_weight(self.loss_name, time_B, self.schedule, self.steps),
            elbo_weight_B=elbo_weight(time_B, self.schedule, self.steps),
            normaliser=max(masked_count if self.loss_name == "masked_cross_entropy" else token_count, 1),
            token_count=token_count,
            masked_count=masked_count,
            padded=token_count < x0_BL.numel(),
        )

    def logits_of(self, denoise: Denoise, noised: Noised, device: torch.device | str) -> torch.Tensor:
        """Logits (B, L, V) of a draw, on `device`: one call of `denoise`."""
        tokens_BL = noised.tokens_BL.to(device, non_blocking=True)
        with padded_rows(noised.padded):
            return denoise(tokens_BL, *self.time_arguments(noised.time_B, device))

    def as_called(self, network: nn.Module) -> nn.Module:
        """The network as the loss and the likelihood of this process call it, with its weights."""
        return network

    def check_network(self, network: nn.Module, length: int) -> None:
        """Raise DiffusionError where a network cannot be trained with this process on sequences of `length` tokens."""

    def predict(self, denoise: Denoise, noisy_BL: torch.Tensor, clean_BL: torch.Tensor) -> torch.Tensor:
        """Logits (B, L, V) at the noisy tokens, of a denoiser as `as_called` gives it, without time input."""
        return predict_plain(denoise, noisy_BL, clean_BL)

    def bits_per_token(self, denoise: Denoise, windows: np.ndarray, **options: Any) -> BitsPerToken:
        """Negative log-likelihood of `windows` (n, L) in bits/token, or an upper bound on it, as `estimate` says.

        `options`: those of `bench.diffusion.evaluation.bits_per_token`, of which an exact figure needs no draws."""
        options |= {"mask_id": self.mask_id, "pad_id": self.pad_id, "time_input": self.time_input}
        return bits_per_token(denoise, windows, **options)

    def supervised_share(self, length: int) -> float:
        """Targets of a training step over the tokens of its batch, in expectation, in full windows of `length`."""
        if self.steps is None:
            grid = (torch.arange(1000, dtype=torch.float64) + 0.5) / 1000
        else:
            grid = torch.arange(1, self.steps + 1, dtype=torch.float64) / self.steps
        return float((1 - self.schedule.alpha(grid)).mean())

    def loss_of(self, denoise: Denoise, noised: Noised, device: torch.device | str = "cpu") -> DiffusionLoss:
        """This slice's share of the loss; calls `denoise` once, on `device`."""
        logits_BLV = self.logits_of(denoise, noised, device)
        check_logits(logits_BLV, noised.clean_BL)
        targets = noised.found_targets()
        nll_N = nll_at(logits_BLV, targets.index_N, targets.clean_N, self._never.on(logits_BLV.device))
        weight_N = targets.weight_N.to(nll_N.device, non_blocking=True)
        elbo_N = targets.elbo_weight_N.to(nll_N.device, non_blocking=True)
        return DiffusionLoss(
            loss=(weight_N * nll_N).sum(),
            elbo_bits_per_token=(elbo_N * nll_N.detach()).sum(),
            masked_cross_entropy=nll_N.detach().sum() / max(noised.masked_count, 1),
            masked_count=noised.masked_count,
        )

    def loss(self, denoise: Denoise, x0_BL: torch.Tensor, generator: torch.Generator) -> DiffusionLoss:
        """Noise a batch of clean tokens and measure the denoiser on it: nats/token, ready for `.backward()`."""
        noised = self.noise(x0_BL.to(generator.device), generator)
        return self.loss_of(denoise, noised, x0_BL.device)

    def check_sampler(self, sampler: str, options: Iterable[str] = ()) -> None:
        """Raise DiffusionError unless the sampler follows the reverse of this process and has these options."""
        check_sampler(sampler, options, schedule=self.settings()["schedule"], objective=self.objective)

    def sample(
        self,
        denoise: Denoise,
        *,
        length: int,
        count: int,
        generator: torch.Generator,
        steps: int | None = None,
        sampler: str = "ancestral",
        forbidden_ids: Sequence[int] = (),
        device: torch.device | str = "cpu",
        **settings: Any,
    ) -> Sample:
        """`count` sequences of `length` tokens drawn from all-MASK in `steps` steps (default: the process's T).

        MASK, PAD and `forbidden_ids` are never drawn. `settings` are further fields of a SampleRequest (temperature,
        progress, ...) and the sampler's own options (with its own `schedule`, where it has one).
        """
        self.check_sampler(sampler, settings)
        if length < 1 or count < 1:
            raise DiffusionError(f"length, count: {length} tokens and {count} pieces; allowed: 1 or more of each")
        rows_BL = torch.full((count, length), self.mask_id, dtype=torch.int64, device=device)
        more: dict[str, Any] = {"steps": steps, "sampler": sampler, "forbidden_ids": forbidden_ids}
        return self.fill(denoise, rows_BL, generator=generator, **more, **settings)

    def fill(
        self,
        denoise: Denoise,
        tokens_BL: torch.Tensor,
        *,
        generator: torch.Generator,
        steps: int | None = None,
        sampler: str = "ancestral",
        forbidden_ids: Sequence[int] = (),
        **settings: Any,
    ) -> Sample:
        """`tokens_BL` (int64, on any device) with every MASK in it drawn and the other tokens kept; else as
        `sample`."""
        self.check_sampler(sampler, settings)
        draw = SAMPLERS[sampler]
        if steps is None and draw.instead_of_steps not in settings:
            steps = self.steps
        own = draw.own_options(settings)
        request = SampleRequest(
            denoise,
            tokens_BL,
            mask_id=self.mask_id,
            generator=generator,
            steps=steps,
            schedule=self.schedule,
            powers_V=self.powers_V,
            forbidden_ids=(self.pad_id, *forbidden_ids),
            pad_id=self.pad_id,
            time_input=self.time_input,
            objective=self.objective,
            trained_block=self.block,
            **settings,
        )
        return draw.run(request, **own)

    def time_arguments(self, time_B: torch.Tensor, device: torch.device | str) -> tuple[torch.Tensor, ...]:
        """The denoiser's arguments after the tokens: the time where it reads one."""
        if not self.time_input:
            return ()
        return (time_B.to(device, non_blocking=True).to(torch.float32),)  # cast there: a cast copy here is not pinned
