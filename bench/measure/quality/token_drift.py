"""Drift of the masked bits/token of an arm's own music, from beginning to end."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.measure.quality.extent import beat_of_token
from bench.measure.rows import metric_row

if TYPE_CHECKING:
    import torch

    from bench.data import TokenCorpus
    from bench.diffusion.evaluation import Predict
    from bench.measure.quality.music import SongWindows

PAIRS = 2  # of complementary masks: every token is masked once in each
BATCH = 8


def token_drift_row(
    denoise: Callable[..., torch.Tensor],
    tokens: TokenCorpus,
    generated: np.ndarray,
    held_out: SongWindows,
    **options: Any,
) -> dict[str, Any]:
    """The row `drift_bits` of an arm: its generated sequences (n, L) beside held-out windows (m, L).

    `options`: those of `masked_bits`.
    """
    from metrics import token_drift

    sides = [
        [
            (beat_of_token(tokens, row), bits)
            for row, bits in zip(rows, masked_bits(denoise, rows, tokens.mask_id, **options), strict=True)
        ]
        for rows in (generated, held_out.tokens)
    ]
    return metric_row(token_drift(sides[0], sides[1], reference_songs=held_out.song_numbers))


def masked_bits(
    denoise: Callable[..., torch.Tensor],
    sequences: np.ndarray,
    mask_id: int,
    *,
    seed: int = 0,
    device: torch.device | str = "cpu",
    time_input: bool = False,
    predict: Predict | None = None,
) -> np.ndarray:
    """Bits that the denoiser needs for each token when it and a random half of the others are masked: (n, L).

    The mean over two pairs of complementary masks, the same for every arm of one seed. Four calls a sequence, with the
    time 1/2 if the denoiser takes one. `predict`: as the network's process calls it, in place of a plain call.
    """
    import torch

    from bench.diffusion.noised import masked_nll
    from bench.diffusion.samplers.request import evaluation_mode

    clean_NL = torch.from_numpy(np.asarray(sequences).astype(np.int64))
    bits_NL = np.zeros(clean_NL.shape)
    generator = np.random.default_rng([seed, 6])
    with evaluation_mode(denoise):
        for first in range(0, len(clean_NL), BATCH):
            clean_BL = clean_NL[first : first + BATCH]
            for _ in range(PAIRS):
                half_BL = torch.from_numpy(generator.random(clean_BL.shape) < 0.5)
                for masked_BL in (half_BL, ~half_BL):
                    noisy_BL = clean_BL.masked_fill(masked_BL, mask_id).to(device)
                    if predict is not None and not time_input:
                        logits_BLV = predict(denoise, noisy_BL, clean_BL.to(device))
                    else:
                        time = (torch.full((len(clean_BL),), 0.5, device=device),) if time_input else ()
                        logits_BLV = denoise(noisy_BL, *time)
                    nll_M = masked_nll(logits_BLV, clean_BL, masked_BL, torch.tensor([mask_id]))
                    bits_NL[first : first + BATCH][masked_BL.numpy()] += nll_M.double().cpu().numpy() / math.log(2)
    return bits_NL / PAIRS
