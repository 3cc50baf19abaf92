"""Bits/token: how well a denoiser predicts held-out music, one figure for every arm."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

import numpy as np
import torch

from bench.diffusion.errors import DiffusionError
from bench.diffusion.noised import masked_nll
from bench.diffusion.samplers.request import evaluation_mode

DRAWS_A_STRATUM = 2  # the fewest that show a variance
Predict = Callable[[Callable[..., torch.Tensor], torch.Tensor, torch.Tensor], torch.Tensor]
"""`predict(denoise, noisy_BL, clean_BL)` -> logits (B, L, V) at the noisy tokens; see `AbsorbingDiffusion.predict`."""


def predict_plain(denoise: Callable[..., torch.Tensor], noisy_BL: torch.Tensor, clean_BL: torch.Tensor) -> torch.Tensor:
    """Logits (B, L, V) of a denoiser that sees the noisy tokens alone."""
    return denoise(noisy_BL)


@dataclass(frozen=True)
class BitsPerToken:
    """A figure in bits/token. `low`..`high` covers the Monte-Carlo error of (k, mask) for these windows only; of an
    exact figure, which has one draw, both are the value.

    `value` is sum(nats) / sum(tokens) / ln 2, with one number for each scored window, in order of `windows`.
    """

    value: float
    low: float
    high: float
    n_windows: int
    n_draws: int  # draws of (k, mask) a window
    windows: tuple[int, ...]  # places of the scored windows among those given
    nats: tuple[float, ...]  # of the whole window, mean over draws
    tokens: tuple[int, ...]  # scored in the window: PAD is not

    def summary(self) -> dict[str, float]:
        """The figures over all windows: value, low, high, n_windows, n_draws."""
        return {name: getattr(self, name) for name in ("value", "low", "high", "n_windows", "n_draws")}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> BitsPerToken:
        """The reverse of `dataclasses.asdict`, from JSON. Raises KeyError where something is missing."""
        kept = {one.name: values[one.name] for one in fields(cls)}
        return cls(**kept | {name: tuple(kept[name]) for name in ("windows", "nats", "tokens")})


def bits_per_token(
    denoise: Callable[..., torch.Tensor],
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
    mine: slice = slice(None),
    total: Callable[[np.ndarray], np.ndarray] | None = None,
    each: Callable[[int, int], None] | None = None,
) -> BitsPerToken:
    """Upper bound on the negative log-likelihood of `windows` (n, L) in bits/token, PAD not counted.

    The count form of the continuous-time ELBO (Ou et al. 2024, RADD, 2406.03736, as any-order autoregression; Nie et
    al. 2025, LLaDA, 2502.09992, masking exactly k of L tokens): L times the mean over k uniform on 1..L and over
    masks of k positions of (1/k) sum of -log p(x_i | the rest) over the masked. For a denoiser that is the exact
    posterior it is the exact -log p(x). It needs a denoiser without time input.

    The grid of (k, mask) is a function of (seed, index of the window, its number of tokens), so all arms share it.
    k is stratified: `draws` / 2 strata of equal size with two draws each; the variance within strata gives the
    interval (Student t). `max_windows` takes that many evenly spread windows. Cost: `draws` calls a window.
    Of several processes each computes the windows `mine`, and `total` sums an array over them; `each` as in
    `window_scores`.
    Raises DiffusionError for an odd number of draws, no windows, windows of PAD alone, a denoiser with time input.
    """
    if time_input:
        raise DiffusionError(
            "validation: the count form of the bits/token needs a denoiser without time input; "
            "set time_conditioning to false, or use elbo_bits_per_token"
        )
    check_draws(draws)
    masks: dict[str, Any] = {"mask_id": mask_id, "pad_id": pad_id, "seed": seed, "draws": draws}
    score = partial(window_scores, denoise, windows, **masks, batch=batch, device=device, each=each)
    chosen = spread(len(windows), max_windows)
    return bits_of_scores(score, windows, chosen, pad_id=pad_id, draws=draws, level=level, mine=mine, total=total)


def bits_of_scores(
    score: Callable[[np.ndarray], np.ndarray],
    windows: np.ndarray,
    chosen: np.ndarray,
    *,
    pad_id: int,
    draws: int,
    level: float = 0.95,
    mine: slice = slice(None),
    total: Callable[[np.ndarray], np.ndarray] | None = None,
) -> BitsPerToken:
    """Bits/token of the `chosen` windows from `score(chosen)`, nats a window and draw (W, draws); of several processes
    each scores the windows `mine`, and `total` sums an array over them."""
    scores_WD = np.zeros((len(chosen), draws))
    if len(chosen[mine]):
        scores_WD[mine] = score(chosen[mine])
    if total is not None:
        scores_WD = total(scores_WD)
    return summarise(scores_WD, clean_windows(windows, chosen, pad_id)[1], chosen, level)


def check_draws(draws: int) -> None:
    """Raise DiffusionError unless `draws` masks a window fill strata of two."""
    if draws < DRAWS_A_STRATUM or draws % DRAWS_A_STRATUM:
        raise DiffusionError(f"draws: {draws} draws a window; allowed: an even number, 2 or more")


def spread(count: int, most: int | None) -> np.ndarray:
    """Indices of at most `most` of `count` windows, evenly spread; all of them for None."""
    if count < 1:
        raise DiffusionError("windows: no validation windows; allowed: 1 or more")
    if most is None or most >= count:
        return np.arange(count)
    return np.arange(most) * count // most


def stratified(random: np.random.Generator, draws: int) -> np.ndarray:
    """Draws from [0, 1), two in each of draws / 2 equal strata: (draws,)."""
    return (np.arange(draws) // DRAWS_A_STRATUM + random.random(draws)) / (draws // DRAWS_A_STRATUM)


def evaluation_masks(count: int, *, seed: int, window: int, draws: int) -> np.ndarray:
    """The masks (draws, count) of one window over its `count` tokens that are not PAD; draw d is of stratum d // 2."""
    random = np.random.default_rng([seed, window])
    k_D = np.minimum((stratified(random, draws) * count).astype(np.int64), count - 1) + 1
    order_DL = random.random((draws, count)).argsort(axis=1).argsort(axis=1)
    return order_DL < k_D[:, None]


def window_scores(
    denoise: Callable[..., torch.Tensor],
    windows: np.ndarray,
    chosen: np.ndarray,
    *,
    mask_id: int,
    pad_id: int,
    seed: int = 0,
    draws: int = 8,
    batch: int = 8,
    device: torch.device | str = "cpu",
    each: Callable[[int, int], None] | None = None,
) -> np.ndarray:
    """For each chosen window and draw (L/k) times the sum of -log p over the k masked tokens: nats a window (W, D).

    `each(done, of)` is called after every call of the denoiser, with counts of masked windows.
    """
    clean_WL, counts_W = clean_windows(windows, chosen, pad_id)
    masked_WDL = np.zeros((len(chosen), draws, windows.shape[1]), dtype=bool)
    for row, window in enumerate(chosen):
        masks = evaluation_masks(int(counts_W[row]), seed=seed, window=int(window), draws=draws)
        masked_WDL[row][:, clean_WL[row] != pad_id] = masks
    scale_WD = counts_W[:, None] / masked_WDL.sum(axis=2)
    never = torch.tensor([mask_id, pad_id])
    return scaled_nll(
        denoise, clean_WL, masked_WDL, scale_WD, mask_id=mask_id, never=never, batch=batch, device=device, each=each
    )


def clean_windows(windows: np.ndarray, chosen: np.ndarray, pad_id: int) -> tuple[np.ndarray, np.ndarray]:
    """The chosen windows as int64 (W, L) and their numbers of tokens that are not PAD (W,)."""
    clean_WL = np.asarray(windows[chosen]).astype(np.int64)
    counts_W = (clean_WL != pad_id).sum(axis=1)
    if (counts_W == 0).any():
        raise DiffusionError("windows: a validation window holds nothing but PAD; allowed: windows with tokens")
    return clean_WL, counts_W


def scaled_nll(
    denoise: Callable[..., torch.Tensor],
    clean_WL: np.ndarray,
    masked_WDL: np.ndarray,
    scale_WD: np.ndarray,
    *,
    mask_id: int,
    never: torch.Tensor,
    batch: int,
    device: torch.device | str,
    each: Callable[[int, int], None] | None = None,
    predict: Predict = predict_plain,
) -> np.ndarray:
    """`scale` times the sum of -log p over the masked tokens of each window and draw: nats (W, D); a scale (W, D, n) is
    that of each of the n equal blocks of a window."""
    windows, draws, length = masked_WDL.shape
    scale_WDN = scale_WD.reshape(windows, draws, -1)
    parts = scale_WDN.shape[2]
    clean_RL = torch.from_numpy(np.repeat(clean_WL, draws, axis=0))  # W L -> R L, R = W D
    masked_RL = torch.from_numpy(masked_WDL.reshape(-1, length))  # W D L -> R L
    scores_RN = torch.zeros(len(clean_RL), parts, dtype=torch.float64)
    with evaluation_mode(denoise):
        for first in range(0, len(clean_RL), batch):
            rows = slice(first, first + batch)
            clean, masked = clean_RL[rows], masked_RL[rows]
            logits_BLV = predict(denoise, clean.masked_fill(masked, mask_id).to(device), clean.to(device))
            nll_M = masked_nll(logits_BLV, clean, masked, never)
            scores_RN[rows] = sum_of_rows(nll_M, masked.reshape(-1, length // parts)).view(-1, parts)
            if each is not None:
                each(min(first + batch, len(clean_RL)), len(clean_RL))
    return (scores_RN.view(windows, draws, parts).numpy() * scale_WDN).sum(axis=2)


def sum_of_rows(values_N: torch.Tensor, masked_BL: torch.Tensor) -> torch.Tensor:
    """The sum over each row's masked positions of a value at each of them: float64 (B,), on the CPU."""
    rows_B = torch.zeros(len(masked_BL), dtype=torch.float64)
    return rows_B.index_add(0, masked_BL.nonzero()[:, 0], values_N.double().cpu())


def summarise(scores_WD: np.ndarray, counts_W: np.ndarray, chosen: np.ndarray, level: float = 0.95) -> BitsPerToken:
    """Mean and interval from nats a window: sum over windows, divided by the number of tokens and ln 2. A single column
    is exact: its interval is the value."""
    from scipy.special import stdtrit

    windows, draws = scores_WD.shape
    unit, half = counts_W.sum() * math.log(2), 0.0
    if draws > 1:
        strata_WHD = scores_WD.reshape(windows, draws // DRAWS_A_STRATUM, DRAWS_A_STRATUM)  # W D -> W H 2
        variance = strata_WHD.var(axis=2, ddof=1).sum() / DRAWS_A_STRATUM / strata_WHD.shape[1] ** 2
        freedom = windows * strata_WHD.shape[1]
        half = float(stdtrit(freedom, (1 + level) / 2) * math.sqrt(variance) / unit)
    nats_W = scores_WD.mean(axis=1)
    value = float(nats_W.sum() / unit)
    each = {"windows": tuple(chosen.tolist()), "nats": tuple(nats_W.tolist()), "tokens": tuple(counts_W.tolist())}
    return BitsPerToken(value, value - half, value + half, windows, draws, **each)
