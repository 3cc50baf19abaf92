"""Bits a token: how well a denoiser predicts held-out music, one figure for every arm."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from bench.diffusion.errors import DiffusionError
from bench.diffusion.noised import masked_nll
from bench.diffusion.samplers.sample import evaluation_mode

DRAWS_A_STRATUM = 2  # the fewest that show a variance


@dataclass(frozen=True)
class BitsPerToken:
    """An estimate in bits/token. `low`..`high` covers the Monte-Carlo error of (k, mask) for these windows only."""

    value: float
    low: float
    high: float
    n_windows: int
    n_draws: int  # draws of (k, mask) a window


def bits_per_token(
    denoise: Callable[[torch.Tensor], torch.Tensor],
    windows: np.ndarray,
    *,
    mask_id: int,
    pad_id: int,
    seed: int = 0,
    draws: int = 8,
    batch: int = 8,
    max_windows: int | None = None,
    level: float = 0.95,
    device: torch.device | str = "cpu",
    time_input: bool = False,
) -> BitsPerToken:
    """Upper bound on the negative log-likelihood of `windows` (n, L) in bits a token, PAD not counted.

    The count form of the continuous-time ELBO (Ou et al. 2024, RADD, 2406.03736, eq. 3.10 ff.; Nie et al. 2025,
    LLaDA, 2502.09992, eq. 14): L times the mean over k uniform on 1..L and over masks of k positions of
    (1/k) sum of -log p(x_i | the rest) over the masked. For a denoiser that is the exact posterior it is the exact
    -log p(x). It needs a denoiser without time input.

    The grid of (k, mask) is a function of (seed, index of the window, its number of tokens), so all arms share it.
    k is stratified: `draws` / 2 strata of equal size with two draws each; the variance within strata gives the
    interval (Student t). `max_windows` takes that many evenly spread windows. Cost: `draws` calls a window.
    Raises DiffusionError for an odd number of draws, no windows, windows of PAD alone, a denoiser with time input.
    """
    if time_input:
        raise DiffusionError(
            "validation: the count form of the bits/token needs a denoiser without time input; "
            "set time_conditioning to false, or use elbo_bits_per_token"
        )
    if draws < DRAWS_A_STRATUM or draws % DRAWS_A_STRATUM:
        raise DiffusionError(f"draws: {draws} draws a window; allowed: an even number, 2 or more")
    chosen = spread(len(windows), max_windows)
    scores_WD = window_scores(
        denoise, windows, chosen, mask_id=mask_id, pad_id=pad_id, seed=seed, draws=draws, batch=batch, device=device
    )
    return summarise(scores_WD, (np.asarray(windows[chosen]) != pad_id).sum(axis=1), level)


def spread(count: int, most: int | None) -> np.ndarray:
    """Indices of at most `most` of `count` windows, evenly spread; all of them for None."""
    if count < 1:
        raise DiffusionError("windows: no validation windows; allowed: 1 or more")
    if most is None or most >= count:
        return np.arange(count)
    return np.arange(most) * count // most


def evaluation_masks(count: int, *, seed: int, window: int, draws: int) -> np.ndarray:
    """The masks (draws, count) of one window over its `count` tokens that are not PAD; draw d is of stratum d // 2."""
    random = np.random.default_rng([seed, window])
    strata = draws // DRAWS_A_STRATUM
    u_D = (np.arange(draws) // DRAWS_A_STRATUM + random.random(draws)) / strata
    k_D = np.minimum((u_D * count).astype(np.int64), count - 1) + 1
    order_DL = random.random((draws, count)).argsort(axis=1).argsort(axis=1)
    return order_DL < k_D[:, None]


def window_scores(
    denoise: Callable[[torch.Tensor], torch.Tensor],
    windows: np.ndarray,
    chosen: np.ndarray,
    *,
    mask_id: int,
    pad_id: int,
    seed: int,
    draws: int,
    batch: int,
    device: torch.device | str,
) -> np.ndarray:
    """For each chosen window and draw (L/k) times the sum of -log p over the k masked tokens: nats a window (W, D)."""
    clean_WL = torch.from_numpy(np.asarray(windows[chosen]).astype(np.int64))
    counts_W = (clean_WL != pad_id).sum(dim=1)
    if bool((counts_W == 0).any()):
        raise DiffusionError("windows: a validation window holds nothing but PAD; allowed: windows with tokens")
    masked_RL = torch.zeros((len(chosen) * draws, clean_WL.shape[1]), dtype=torch.bool)
    for row, window in enumerate(chosen):
        masks = evaluation_masks(int(counts_W[row]), seed=seed, window=int(window), draws=draws)
        part = masked_RL[row * draws : (row + 1) * draws]
        part[:, clean_WL[row] != pad_id] = torch.from_numpy(masks)
    clean_RL = clean_WL.repeat_interleave(draws, dim=0)  # W L -> R L, R = W D
    scale_R = counts_W.repeat_interleave(draws).double() / masked_RL.sum(dim=1)
    never, scores_R = torch.tensor([mask_id, pad_id]), torch.empty(len(clean_RL), dtype=torch.float64)
    with evaluation_mode(denoise):
        for first in range(0, len(clean_RL), batch):
            rows = slice(first, first + batch)
            clean, masked = clean_RL[rows], masked_RL[rows]
            logits_BLV = denoise(clean.masked_fill(masked, mask_id).to(device))
            nll_N = masked_nll(logits_BLV, clean, masked, never).double().cpu()
            sums = torch.zeros(len(clean), dtype=torch.float64).index_add_(0, masked.nonzero()[:, 0], nll_N)
            scores_R[rows] = sums * scale_R[rows]
    return scores_R.view(len(chosen), draws).numpy()


def summarise(scores_WD: np.ndarray, counts_W: np.ndarray, level: float = 0.95) -> BitsPerToken:
    """Mean and interval from nats a window: sum over windows, divided by the number of tokens and ln 2."""
    from scipy.special import stdtrit

    windows, draws = scores_WD.shape
    strata_WHD = scores_WD.reshape(windows, draws // DRAWS_A_STRATUM, DRAWS_A_STRATUM)  # W D -> W H 2
    unit = counts_W.sum() * math.log(2)
    variance = strata_WHD.var(axis=2, ddof=1).sum() / DRAWS_A_STRATUM / strata_WHD.shape[1] ** 2
    freedom = windows * strata_WHD.shape[1]
    half = float(stdtrit(freedom, (1 + level) / 2) * math.sqrt(variance) / unit)
    value = float(scores_WD.mean(axis=1).sum() / unit)
    return BitsPerToken(value, value - half, value + half, windows, draws)
