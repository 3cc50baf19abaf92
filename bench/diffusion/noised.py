"""A batch after one draw of noise, and the cross-entropy of a denoiser on it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch.nn import functional

from bench.diffusion.errors import DiffusionError


class Constant:
    """A tensor that stays the same, with a copy on each device that has asked for it: one made in every step would wait
    for all that a GPU still has to do."""

    def __init__(self, values: torch.Tensor) -> None:
        self.values = values
        self._copies: dict[torch.device, torch.Tensor] = {}

    def on(self, device: torch.device | str) -> torch.Tensor:
        """The values on a device."""
        place = torch.device(device)
        if place == self.values.device:
            return self.values
        if place not in self._copies:
            self._copies[place] = self.values.to(place)
        return self._copies[place]


@dataclass(frozen=True)
class Targets:
    """Index, token and weights of each masked position, in row-major order (N,)."""

    index_N: torch.Tensor  # int64, place in the batch's rows laid end to end
    clean_N: torch.Tensor  # int64
    weight_N: torch.Tensor  # float32, weight of the trained loss over the normaliser
    elbo_weight_N: torch.Tensor  # float32, weight of the ELBO over the tokens of the batch and ln 2

    def pinned(self) -> Targets:
        """The same in page-locked memory."""
        names = ("index_N", "clean_N", "weight_N", "elbo_weight_N")
        return replace(self, **{name: getattr(self, name).pin_memory() for name in names})


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
    weight_B: torch.Tensor  # float64, weight of the trained loss; (B, n): of each of the n equal blocks of a row
    elbo_weight_B: torch.Tensor  # float64, weight of the ELBO; as above
    normaliser: float  # what the weighted sum is divided by, over the whole batch
    token_count: int  # tokens that are not PAD, over the whole batch
    masked_count: int  # hidden tokens, over the whole batch
    padded: bool = True  # whether the whole batch may hold PAD: known here, where no GPU need be waited for
    targets: Targets | None = None  # made ahead of time by `pinned`; else when the loss is computed

    def rows(self, rows: slice) -> Noised:
        """The same draw, these rows only."""
        names = ("tokens_BL", "clean_BL", "masked_BL", "time_B", "weight_B", "elbo_weight_B")
        return replace(self, targets=None, **{name: getattr(self, name)[rows] for name in names})

    def pinned(self) -> Noised:
        """The same in page-locked memory, from which a GPU copies while this process goes on."""
        names = ("tokens_BL", "time_B", "weight_B", "elbo_weight_B")
        pinned = {name: getattr(self, name).pin_memory() for name in names}
        return replace(self, targets=self.found_targets().pinned(), **pinned)

    def found_targets(self) -> Targets:
        """The masked positions of these rows."""
        if self.targets is not None:
            return self.targets
        index_N = self.masked_BL.flatten().nonzero().squeeze(1)
        blocks = 1 if self.weight_B.dim() == 1 else self.weight_B.shape[1]  # of a row
        block_N = index_N // (self.clean_BL.shape[1] // blocks)
        elbo_B = self.elbo_weight_B / (max(self.token_count, 1) * math.log(2))
        return Targets(
            index_N=index_N,
            clean_N=self.clean_BL.flatten()[index_N],
            weight_N=(self.weight_B / self.normaliser).flatten()[block_N].float(),
            elbo_weight_N=elbo_B.flatten()[block_N].float(),
        )


def masked_nll(
    logits_BLV: torch.Tensor, clean_BL: torch.Tensor, masked_BL: torch.Tensor, never: torch.Tensor
) -> torch.Tensor:
    """-log p of the clean token at each masked position, in nats, float32, in row-major order (N,).

    Tokens in `never` (MASK, PAD) have probability 0 before the rest is normalised, as in the SUBS parameterisation
    of Sahoo et al. 2024. `clean_BL` and `masked_BL` may stay on the CPU.
    """
    check_logits(logits_BLV, clean_BL)
    index_N = masked_BL.flatten().nonzero().squeeze(1)
    return nll_at(logits_BLV, index_N, clean_BL.flatten()[index_N], never)


def nll_at(logits_BLV: torch.Tensor, index_N: torch.Tensor, clean_N: torch.Tensor, never: torch.Tensor) -> torch.Tensor:
    """`masked_nll` at known places of the rows laid end to end."""
    target_N = clean_N.to(logits_BLV.device, non_blocking=True)
    index_N = index_N.to(logits_BLV.device, non_blocking=True)
    chosen_NV = logits_BLV.flatten(0, 1).index_select(0, index_N).float()  # B L V -> N V
    chosen_NV = chosen_NV.index_fill(1, never.to(logits_BLV.device), float("-inf"))
    return functional.cross_entropy(chosen_NV, target_N, reduction="none")


def check_logits(logits_BLV: torch.Tensor, tokens_BL: torch.Tensor) -> None:
    """Raise DiffusionError unless the logits are those of tokens of this shape."""
    if logits_BLV.shape[:2] != tokens_BL.shape:
        raise DiffusionError(
            f"denoiser: logits of shape {tuple(logits_BLV.shape)} for tokens of shape {tuple(tokens_BL.shape)}; "
            "allowed: the tokens' shape and one axis of logits"
        )
