"""The ELBO of a process itself in bits/token: looser than the count form, open to denoisers with time input."""

from __future__ import annotations

import numpy as np
import torch

from bench.diffusion.absorbing import AbsorbingDiffusion
from bench.diffusion.evaluation import (
    BitsPerToken,
    check_draws,
    clean_windows,
    spread,
    stratified,
    sum_of_rows,
    summarise,
)
from bench.diffusion.samplers.request import Denoise, evaluation_mode


def elbo_bits_per_token(
    denoise: Denoise,
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
    """Upper bound on -log2 p of `windows` (n, L) under the model that `diffusion` samples, bits/token.

    The D3PM ELBO (T steps; Austin et al. 2021, 2107.03006), MDLM's (continuous time), or the state-dependent one of a
    MultiScaleDiffusion. With T steps it is above the count form even for a perfect denoiser, because tokens revealed in
    one step are drawn independently: for two tokens by their mutual information / T. Its draws spread more, since the
    number of masked tokens varies around its mean. Of a multi-scale process it bounds another model than the count
    form does, the one whose masks depend on the tokens: the two figures are not to be compared.

    The grid of (time, mask) is a function of (seed, index of the window), so all arms share it; strata and interval are
    those of `bits_per_token`, and PAD is not counted. Cost: `draws` calls a window. Raises DiffusionError for an odd
    number of draws, or no windows.
    """
    check_draws(draws)
    chosen = spread(len(windows), max_windows)
    clean_WL, counts_W = clean_windows(windows, chosen, diffusion.pad_id)
    scores_WD = np.empty((len(chosen), draws))
    with evaluation_mode(denoise):
        for row, window in enumerate(chosen):
            random = np.random.default_rng([seed, int(window), diffusion.elbo_stream])
            time_D = diffusion.times_of(torch.from_numpy(stratified(random, draws)))
            clean_DL = torch.from_numpy(clean_WL[row]).expand(draws, -1)
            hidden_DL = diffusion.hidden(clean_DL, time_D).numpy()
            masked_DL = torch.from_numpy(random.random(hidden_DL.shape) < hidden_DL)
            for first in range(0, draws, batch):
                part = slice(first, first + batch)
                clean, masked, time = clean_DL[part], masked_DL[part], time_D[part]
                hidden = clean.masked_fill(masked, diffusion.mask_id).to(device)
                logits_DLV = denoise(hidden, *diffusion.time_arguments(time, device))
                terms_N = diffusion.terms(logits_DLV, clean, masked, time).divergence_N
                scores_WD[row, part] = sum_of_rows(terms_N, masked).numpy()
    return summarise(scores_WD, counts_W, chosen, level)
