"""Autoregression: each token given those before it, as one more process of the same trainer."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from bench.diffusion.block import BoundDiffusion, check_extends
from bench.diffusion.errors import DiffusionError
from bench.diffusion.evaluation import BitsPerToken, bits_of_scores, clean_windows, scaled_nll, spread
from bench.diffusion.noised import Noised
from bench.diffusion.objectives import AUTOREGRESSIVE
from bench.diffusion.samplers.request import Denoise


class Autoregressive(BoundDiffusion):
    """Tokens one by one from the left: the network reads MASK, x_1, .., x_(L-1) and its logits are those of x_1 .. x_L.

    The loss is -log p itself, the first token counted, PAD not; nothing of it is drawn at random.
    """

    objective = AUTOREGRESSIVE
    estimate = "exact -log2 p by the chain rule"

    def check_network(self, network: nn.Module, length: int) -> None:
        """Raise DiffusionError unless a network has a position a token and reads none to its right, as it says."""
        config, mixers = getattr(network, "config", None), getattr(network, "mixers", None)
        if (stride := getattr(config, "stride", 1)) != 1:
            raise DiffusionError(f"objective: {self.objective} with the stem's stride {stride}; allowed: stride 1")
        for mixer in mixers() if mixers is not None else ():
            if not mixer.causal:
                raise DiffusionError(
                    f"objective: {self.objective} with [{mixer.name}] reading {mixer.direction}; allowed: causal mixers"
                )
        check_extends(network, self.objective)

    def supervised_share(self, length: int) -> float:
        """Targets of a training step over the tokens of its batch: all are."""
        return 1.0

    def shifted(self, clean_BL: torch.Tensor) -> torch.Tensor:
        """MASK, x_1, .., x_(L-1): what the network reads for x_1 .. x_L."""
        return torch.cat([torch.full_like(clean_BL[:, :1], self.mask_id), clean_BL[:, :-1]], dim=1)

    def noise(self, x0_BL: torch.Tensor, generator: torch.Generator) -> Noised:
        """The batch as the network reads it; every token that is not PAD is a target. Nothing is drawn."""
        real_BL, ones_B = x0_BL != self.pad_id, torch.ones(len(x0_BL), dtype=torch.float64)
        token_count = int(real_BL.sum())
        return Noised(
            tokens_BL=self.shifted(x0_BL),
            clean_BL=x0_BL,
            masked_BL=real_BL,
            time_B=ones_B,
            weight_B=ones_B,
            elbo_weight_B=ones_B,
            normaliser=max(token_count, 1),
            token_count=token_count,
            masked_count=token_count,
            padded=token_count < x0_BL.numel(),
        )

    def predict(self, denoise: Denoise, noisy_BL: torch.Tensor, clean_BL: torch.Tensor) -> torch.Tensor:
        """Logits (B, L, V) of each token given the clean ones before it, whatever is noisy."""
        return denoise(self.shifted(clean_BL))

    def bits_per_token(
        self, denoise: Denoise, windows: np.ndarray, *, max_windows: int | None = None, **options: Any
    ) -> BitsPerToken:
        """-log2 p of `windows` (n, L) in bits/token, exactly, PAD not counted; one call a window.

        `options`: those of `bench.diffusion.evaluation.bits_per_token`; `seed` and `draws` decide nothing."""
        chosen = spread(len(windows), max_windows)
        called = {name: options.pop(name) for name in ("batch", "device", "each") if name in options}
        shared = {name: options[name] for name in ("level", "mine", "total") if name in options}
        score = partial(self.window_scores, denoise, windows, **called)
        return bits_of_scores(score, windows, chosen, pad_id=self.pad_id, draws=1, **shared)

    def window_scores(
        self,
        denoise: Denoise,
        windows: np.ndarray,
        chosen: np.ndarray,
        *,
        batch: int = 8,
        device: torch.device | str = "cpu",
        each: Any = None,
    ) -> np.ndarray:
        """-log p of each chosen window in nats (W, 1)."""
        clean_WL, _ = clean_windows(windows, chosen, self.pad_id)
        more: dict[str, Any] = {"batch": batch, "device": device, "each": each, "predict": self.predict}
        real_W1L, ones_W1 = (clean_WL != self.pad_id)[:, None], np.ones((len(chosen), 1))
        never = self._never.values
        return scaled_nll(denoise, clean_WL, real_W1L, ones_W1, mask_id=self.mask_id, never=never, **more)
