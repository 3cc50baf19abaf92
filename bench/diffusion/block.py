"""Block diffusion: blocks from left to right, each drawn by absorbing diffusion given the blocks before it."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from architectures.padding import padded_rows
from bench.diffusion.absorbing import AbsorbingDiffusion
from bench.diffusion.errors import DiffusionError
from bench.diffusion.evaluation import (
    BitsPerToken,
    bits_of_scores,
    check_draws,
    clean_windows,
    scaled_nll,
    spread,
    stratified,
)
from bench.diffusion.noised import Noised
from bench.diffusion.objectives import ABSORBING, BLOCK
from bench.diffusion.samplers.request import Denoise
from bench.errors import first_line
from metrics.cost.quantities import COUNT_FORM

BOUND_LOSS = "mdlm"
PAD_LAST = 2.0  # above every draw from [0, 1): ranks PAD behind all tokens


class TwoStream(nn.Module):
    """A network as block diffusion calls it: `(noisy_BL, clean_BL)` -> logits (B, L, V) of the noisy tokens, each block
    given its own noisy tokens and the clean ones before it; `(tokens_BL)` alone is the network's plain call."""

    def __init__(self, network: nn.Module, block: int) -> None:
        super().__init__()
        self.network, self.block = network, block
        self.training = network.training  # as evaluations leave it

    def forward(self, tokens_BL: torch.Tensor, clean_BL: torch.Tensor | None = None) -> torch.Tensor:
        """Logits (B, L, V)."""
        network: Any = self.network
        return network(tokens_BL) if clean_BL is None else network.two_stream(tokens_BL, clean_BL, self.block)

    def flops(self, length: int) -> Any:
        """FLOPs of one call on a sequence of `length` tokens, both streams counted; a `FlopCount`."""
        network: Any = self.network
        return network.flops(length) if length == self.block else network.two_stream_flops(length, self.block)

    @property
    def uncounted(self) -> str:
        """Why `flops` is NaN; "" where it is not."""
        return str(getattr(self.network, "uncounted", ""))


def check_bound(objective: str, *, steps: int | None, schedule: str, loss: str, time_input: bool) -> None:
    """Raise DiffusionError unless a process is set to what its objective trains: the bound itself, whose weights no
    schedule and no number of steps change."""
    if (loss, steps, schedule) != (BOUND_LOSS, None, "linear"):
        raise DiffusionError(
            f"objective: {objective} trains on its bound, not on loss {loss} of schedule {schedule} with "
            f"steps {steps}; allowed: loss {BOUND_LOSS}, schedule linear, steps null"
        )
    if time_input:
        raise DiffusionError(f"objective: {objective} takes a denoiser without time input; allowed: absorbing")


class BoundDiffusion(AbsorbingDiffusion):
    """A process that trains on its bound itself, and takes no other loss, steps or schedule."""

    def __init__(
        self,
        mask_id: int,
        pad_id: int,
        *,
        steps: int | None = None,
        schedule: str = "linear",
        loss: str = BOUND_LOSS,
        times: str = "low_discrepancy",
        time_input: bool = False,
    ) -> None:
        check_bound(self.objective, steps=steps, schedule=schedule, loss=loss, time_input=time_input)
        super().__init__(mask_id, pad_id, steps=steps, schedule=schedule, loss=loss, times=times)

    def settings(self) -> dict[str, Any]:
        """Everything that decides the loss and the noise, as JSON can hold it."""
        return super().settings() | {"objective": self.objective}


class BlockDiffusion(BoundDiffusion):
    """Blocks of `block` tokens, first to last; within each the absorbing process, given the clean blocks before it.

    Arriola et al. 2025 (BD3-LM, 2503.09573). The trained loss is the bound in its count form: of each block's c tokens
    that are not PAD exactly k are masked, k uniform on 1..c, and their cross-entropy has the weight c / k. The draws of
    k are stratified over all blocks of a batch (`times` "uniform": each alone). Masks of a batch are a function of the
    generator alone. A block as long as the sequence is the AbsorbingDiffusion of the same settings, bit for bit.
    """

    objective = BLOCK
    block: int

    def __init__(self, mask_id: int, pad_id: int, *, block: int, **settings: Any) -> None:
        if block < 1:
            raise DiffusionError(f"block: {block} tokens; allowed: 1 or more")
        super().__init__(mask_id, pad_id, **settings)
        self.block = block

    @property
    def estimate(self) -> str:  # type: ignore[override]
        """Words for what `bits_per_token` is."""
        return f"{COUNT_FORM} by blocks of {self.block}"

    def settings(self) -> dict[str, Any]:
        """Everything that decides the loss and the noise, as JSON can hold it."""
        return super().settings() | {"block": self.block}

    def as_called(self, network: nn.Module) -> nn.Module:
        """The network in two streams, with its weights."""
        return TwoStream(network, self.block)

    def check_network(self, network: nn.Module, length: int) -> None:
        """Raise DiffusionError unless blocks divide the sequence and the network can be run block by block."""
        self.check_length(length)
        if length == self.block:
            return
        config: Any = getattr(network, "config", None)
        stride = getattr(config, "stride", 1)
        if self.block % stride:
            raise DiffusionError(
                f"block: {self.block} tokens is not a multiple of the stem's stride {stride}; allowed: a multiple"
            )
        check_extends(network, self.objective)

    def check_length(self, length: int) -> None:
        """Raise DiffusionError unless sequences of `length` tokens are whole blocks."""
        if length % self.block:
            raise DiffusionError(f"block: {self.block} tokens do not divide a length of {length}; allowed: a divisor")

    def supervised_share(self, length: int) -> float:
        """Targets of a training step over its tokens, in full windows: (b + 1) / 2 b."""
        return super().supervised_share(length) if length == self.block else (self.block + 1) / (2 * self.block)

    def noise(self, x0_BL: torch.Tensor, generator: torch.Generator) -> Noised:
        """Draw for each block the number of its masks, and their places, on the generator's device."""
        batch, length = x0_BL.shape
        self.check_length(length)
        if length == self.block:
            return super().noise(x0_BL, generator)
        blocks_Nb = x0_BL.reshape(-1, self.block)  # B L -> N b, N = B L / b
        real_Nb = blocks_Nb != self.pad_id
        count_N = real_Nb.sum(dim=1)
        k_N = masks_of_draw(self.draw_shares(len(blocks_Nb), generator), count_N)
        u_Nb = torch.rand(blocks_Nb.shape, generator=generator, dtype=torch.float64)
        masked_Nb = first_ranks(u_Nb, real_Nb, k_N[:, None])
        weight_BN = (count_N / k_N.clamp(min=1)).view(batch, -1)
        token_count = int(count_N.sum())
        masked_BL = masked_Nb.view(batch, length)
        return Noised(
            tokens_BL=x0_BL.masked_fill(masked_BL, self.mask_id),
            clean_BL=x0_BL,
            masked_BL=masked_BL,
            time_B=torch.ones(batch, dtype=torch.float64),
            weight_B=weight_BN,
            elbo_weight_B=weight_BN,
            normaliser=max(token_count, 1),
            token_count=token_count,
            masked_count=int(k_N.sum()),
            padded=token_count < x0_BL.numel(),
        )

    def draw_shares(self, count: int, generator: torch.Generator) -> torch.Tensor:
        """`count` draws from [0, 1), float64, each uniform: one in each of as many equal strata, in random order, or
        each alone. In the order of the blocks the first of a row would always have few masks."""
        u_N = torch.rand(count if self.times == "uniform" else 1, generator=generator, dtype=torch.float64)
        if self.times == "uniform":
            return u_N
        return (torch.randperm(count, generator=generator) + u_N) / count

    def logits_of(self, denoise: Denoise, noised: Noised, device: torch.device | str) -> torch.Tensor:
        """Logits (B, L, V) of a draw, on `device`: one call of `denoise`."""
        noisy_BL = noised.tokens_BL.to(device, non_blocking=True)
        with padded_rows(noised.padded):
            return self.predict(denoise, noisy_BL, noised.clean_BL.to(device, non_blocking=True))

    def predict(self, denoise: Denoise, noisy_BL: torch.Tensor, clean_BL: torch.Tensor) -> torch.Tensor:
        """Logits (B, L, V) at the noisy tokens, each block given the clean ones before it."""
        return denoise(noisy_BL) if noisy_BL.shape[1] == self.block else denoise(noisy_BL, clean_BL)

    def bits_per_token(
        self,
        denoise: Denoise,
        windows: np.ndarray,
        *,
        seed: int = 0,
        draws: int = 8,
        max_windows: int | None = None,
        **options: Any,
    ) -> BitsPerToken:
        """Upper bound on the negative log-likelihood of `windows` (n, L) in bits/token: the count form by blocks.

        Of each block exactly k tokens are masked and count c / k times. The grid of (k, mask) is a function of (seed,
        index of the window, its tokens); each draw has the k of all its blocks in one stratum. Else as
        `bench.diffusion.evaluation.bits_per_token`, whose `options` it takes."""
        if windows.shape[1] == self.block:
            plain: dict[str, Any] = {"seed": seed, "draws": draws, "max_windows": max_windows}
            return super().bits_per_token(denoise, windows, **plain, **options)
        check_draws(draws)
        self.check_length(windows.shape[1])
        chosen = spread(len(windows), max_windows)
        called = {name: options.pop(name) for name in ("batch", "device", "each") if name in options}
        score = partial(self.window_scores, denoise, windows, seed=seed, draws=draws, **called)
        return bits_of_scores(score, windows, chosen, pad_id=self.pad_id, draws=draws, **options)

    def window_scores(
        self,
        denoise: Denoise,
        windows: np.ndarray,
        chosen: np.ndarray,
        *,
        seed: int = 0,
        draws: int = 8,
        batch: int = 8,
        device: torch.device | str = "cpu",
        each: Any = None,
    ) -> np.ndarray:
        """For each chosen window and draw the sum over blocks of c / k times -log p of the k masked: nats (W, D)."""
        clean_WL, _ = clean_windows(windows, chosen, self.pad_id)
        real_WNb = (clean_WL != self.pad_id).reshape(len(chosen), -1, self.block)  # W L -> W n b
        masked_WDNb = np.stack(
            [
                block_masks(real_Nb, seed=seed, window=int(window), draws=draws)
                for real_Nb, window in zip(real_WNb, chosen, strict=True)
            ]
        )
        scale_WDN = real_WNb.sum(axis=2)[:, None] / masked_WDNb.sum(axis=3).clip(min=1)
        more: dict[str, Any] = {"batch": batch, "device": device, "each": each, "predict": self.predict}
        return scaled_nll(
            denoise,
            clean_WL,
            masked_WDNb.reshape(len(chosen), draws, -1),  # W D n b -> W D L
            scale_WDN,
            mask_id=self.mask_id,
            never=self._never.values,
            **more,
        )


def masks_of_draw(u_N: torch.Tensor, count_N: torch.Tensor) -> torch.Tensor:
    """Numbers of masks, uniform on 1..count, of draws from [0, 1); 0 where there is nothing to mask."""
    return torch.minimum((u_N * count_N).long() + 1, count_N)


def first_ranks(u_Nb: torch.Tensor, real_Nb: torch.Tensor, k_N1: torch.Tensor) -> torch.Tensor:
    """The k tokens of each row with the lowest draws among those that are real: bool (N, b)."""
    return (u_Nb.masked_fill(~real_Nb, PAD_LAST).argsort(dim=-1).argsort(dim=-1) < k_N1) & real_Nb


def block_masks(real_Nb: np.ndarray, *, seed: int, window: int, draws: int) -> np.ndarray:
    """Masks (draws, n, b) of one window of n blocks over its tokens that are not PAD; draw d is of stratum d // 2."""
    random = np.random.default_rng([seed, window])
    u_DN = np.stack([stratified(random, draws) for _ in real_Nb], axis=1)
    u_DNb = torch.from_numpy(random.random((draws, *real_Nb.shape)))
    real = torch.from_numpy(real_Nb)
    k_DN = masks_of_draw(torch.from_numpy(u_DN), real.sum(dim=1))
    return first_ranks(u_DNb, real.expand(draws, -1, -1), k_DN[..., None]).numpy()


def check_extends(network: nn.Module, objective: str) -> None:
    """Raise DiffusionError for a backbone whose tokens are not read one block after the other, and for a denoiser that
    does not say how."""
    check: Any = getattr(network, "check_extends", None)
    if check is None and not hasattr(network, "two_stream"):
        name = getattr(network, "name", type(network).__name__)
        raise DiffusionError(
            f"objective: {objective} with the denoiser {name}, which has no `two_stream`; allowed: a pattern of "
            f"mixers, or objective {ABSORBING}"
        )
    if check is not None:
        try:
            check()
        except ValueError as error:
            raise DiffusionError(f"objective: {objective}: {first_line(error)}") from error
