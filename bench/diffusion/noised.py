"""What one draw of noise makes of a batch, and the cross-entropy a denoiser has on it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch.nn import functional

from bench.diffusion.errors import DiffusionError


@dataclass(frozen=True)
class Noised:
    """A batch after the forward process. Rows can be sliced; the counts stay those of the whole batch.

    So the losses of slices add up to the loss of the batch: gradient accumulation and several processes give the
    gradient of one process, up to the order of additions.
    """

    tokens_BL: torch.Tensor  # int64, MASK where hidden
    clean_BL: torch.Tensor  # int64
    masked_BL: torch.Tensor  # bool: hidden, so it counts in the loss
    time_B: torch.Tensor  # float64 in (0, 1]
    weight_B: torch.Tensor  # float64, weight of the trained loss
    elbo_weight_B: torch.Tensor  # float64, weight of the ELBO
    normaliser: float  # what the weighted sum is divided by, over the whole batch
    token_count: int  # tokens that are not PAD, over the whole batch
    masked_count: int  # hidden tokens, over the whole batch

    def rows(self, rows: slice) -> Noised:
        """The same draw, these rows only."""
        names = ("tokens_BL", "clean_BL", "masked_BL", "time_B", "weight_B", "elbo_weight_B")
        return replace(self, **{name: getattr(self, name)[rows] for name in names})


def masked_nll(
    logits_BLV: torch.Tensor, clean_BL: torch.Tensor, masked_BL: torch.Tensor, never: torch.Tensor
) -> torch.Tensor:
    """-log p of the clean token at each masked position, in nats, float32, in row-major order (N,).

    Tokens in `never` (MASK, PAD) have probability 0 before the rest is normalised, as in the SUBS parameterisation
    of Sahoo et al. 2024. `clean_BL` and `masked_BL` may stay on the CPU.
    """
    if logits_BLV.shape[:2] != clean_BL.shape:
        raise DiffusionError(
            f"denoiser: logits of shape {tuple(logits_BLV.shape)} for tokens of shape {tuple(clean_BL.shape)}; "
            "allowed: the tokens' shape and one axis of logits"
        )
    index_N = masked_BL.flatten().nonzero().squeeze(1)
    target_N = clean_BL.flatten()[index_N].to(logits_BLV.device, non_blocking=True)
    index_N = index_N.to(logits_BLV.device, non_blocking=True)
    chosen_NV = logits_BLV.flatten(0, 1).index_select(0, index_N).float()  # B L V -> N V
    chosen_NV = chosen_NV.index_fill(1, never.to(logits_BLV.device), float("-inf"))
    return functional.cross_entropy(chosen_NV, target_N, reduction="none")
