"""The ELBO of the process itself in bits a token: looser than the count form, open to denoisers with time input."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from bench.diffusion.absorbing import CONTINUOUS_TIME_MIN, AbsorbingDiffusion
from bench.diffusion.evaluation import (
    DRAWS_A_STRATUM,
    BitsPerToken,
    check_draws,
    clean_windows,
    scaled_nll,
    spread,
    summarise,
)
from bench.diffusion.losses import elbo_weight


def elbo_bits_per_token(
    denoise: Callable[..., torch.Tensor],
    windows: np.ndarray,
    diffusion: AbsorbingDiffusion,
    *,
    seed: int = 0,
    draws: int = 8,
    batch: int = 8,
    max_windows: int | None = None,
    level: float = 0.95,
    device: torch.device | str = "cpu",
) -> BitsPerToken:
    """The D3PM ELBO (T steps; Austin et al. 2021, 2107.03006) or MDLM's (continuous time) of `windows` (n, L).

    With T steps it is above the count form even for a perfect denoiser, because tokens revealed in one step are
    drawn independently: for two tokens by their mutual information / T. Its draws spread more, since the number of
    masked tokens varies around its mean. The grid of (time, mask) is a function of (seed, index of the window), so
    all arms share it; strata and interval are those of `bits_per_token`.
    """
    check_draws(draws)
    chosen = spread(len(windows), max_windows)
    clean_WL, counts_W = clean_windows(windows, chosen, diffusion.pad_id)
    time_WD = np.empty((len(chosen), draws))
    masked_WDL = np.empty((len(chosen), draws, windows.shape[1]), dtype=bool)
    for row, window in enumerate(chosen):
        random = np.random.default_rng([seed, int(window), 1])
        time_WD[row] = draw_times(random, draws, diffusion.steps)
        hidden_D = 1 - diffusion.schedule.alpha(torch.from_numpy(time_WD[row])).numpy()
        masked_WDL[row] = random.random((draws, windows.shape[1])) < hidden_D[:, None]  # D -> D L
        masked_WDL[row] &= clean_WL[row] != diffusion.pad_id
    weight_WD = elbo_weight(torch.from_numpy(time_WD), diffusion.schedule, diffusion.steps).numpy()
    scores_WD = scaled_nll(
        denoise,
        clean_WL,
        masked_WDL,
        weight_WD,
        mask_id=diffusion.mask_id,
        never=torch.tensor([diffusion.mask_id, diffusion.pad_id]),
        time_WD=time_WD if diffusion.time_input else None,
        batch=batch,
        device=device,
    )
    return summarise(scores_WD, counts_W, level)


def draw_times(random: np.random.Generator, draws: int, steps: int | None) -> np.ndarray:
    """Times of the draws of a window (draws,): two in each of draws / 2 equal strata of (0, 1]."""
    u_D = (np.arange(draws) // DRAWS_A_STRATUM + random.random(draws)) * DRAWS_A_STRATUM / draws
    if steps is None:
        return CONTINUOUS_TIME_MIN + (1 - CONTINUOUS_TIME_MIN) * u_D
    return np.minimum(np.floor(u_D * steps) + 1, steps) / steps
