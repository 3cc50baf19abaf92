"""The bound of the state-dependent process in bits a token: its own figure, beside the uniform-mask one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from bench.diffusion.elbo import draw_times
from bench.diffusion.evaluation import BitsPerToken, check_draws, clean_windows, spread, summarise
from bench.diffusion.multi_scale import MultiScaleDiffusion
from bench.diffusion.samplers.request import evaluation_mode


def state_dependent_bits_per_token(
    denoise: Callable[..., torch.Tensor],
    windows: np.ndarray,
    diffusion: MultiScaleDiffusion,
    *,
    seed: int = 0,
    draws: int = 8,
    batch: int = 8,
    max_windows: int | None = None,
    level: float = 0.95,
    device: torch.device | str = "cpu",
) -> BitsPerToken:
    """Upper bound on -log2 p of `windows` (n, L) under the model that `diffusion` samples, bits a token.

    The state-dependent ELBO of MultiScaleDiffusion with its T steps, or continuous time. `bits_per_token` of the same
    denoiser bounds another model, the one with masks that say nothing of the tokens: two figures, not to be
    compared as if one process gave both. Strata, pairing over arms and interval are those of `bits_per_token`; PAD is
    not counted. Cost: `draws` calls a window. Raises DiffusionError for an odd number of draws, or no windows.
    """
    check_draws(draws)
    chosen = spread(len(windows), max_windows)
    clean_WL, counts_W = clean_windows(windows, chosen, diffusion.pad_id)
    scores_WD = np.empty((len(chosen), draws))
    with evaluation_mode(denoise):
        for row, window in enumerate(chosen):
            random = np.random.default_rng([seed, int(window), 2])
            time_D = torch.from_numpy(draw_times(random, draws, diffusion.steps))
            clean_DL = torch.from_numpy(clean_WL[row]).expand(draws, -1)
            hidden_DL = diffusion.hidden(clean_DL, time_D).numpy()
            masked_DL = torch.from_numpy(random.random(hidden_DL.shape) < hidden_DL)
            for first in range(0, draws, batch):
                part = slice(first, first + batch)
                scores_WD[row, part] = _scores(
                    denoise, diffusion, clean_DL[part], masked_DL[part], time_D[part], device
                )
    return summarise(scores_WD, counts_W, level)


def _scores(
    denoise: Callable[..., torch.Tensor],
    diffusion: MultiScaleDiffusion,
    clean_DL: torch.Tensor,
    masked_DL: torch.Tensor,
    time_D: torch.Tensor,
    device: torch.device | str,
) -> np.ndarray:
    """Nats a window of each draw (D,)."""
    time = (time_D.to(device, torch.float32),) if diffusion.time_input else ()
    logits_DLV = denoise(clean_DL.masked_fill(masked_DL, diffusion.mask_id).to(device), *time)
    terms_N = diffusion.terms(logits_DLV, clean_DL, masked_DL, time_D).divergence_N.double().cpu()
    return torch.zeros(len(clean_DL), dtype=torch.float64).index_add(0, masked_DL.nonzero()[:, 0], terms_N).numpy()
