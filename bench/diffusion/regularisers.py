"""Soft constraints in training: penalties on the network's distributions at masked positions, added to the loss.

With M masked positions in the batch, p_i the network's distribution at position i (special tokens left out) and a
weight:

pitch=WEIGHT    weight / M * sum over masked i of  sum over pitches v outside the range of  p_i(v)
chord=K:WEIGHT  weight / M * sum over masked i of  p_i(Pitch) * max(c_i - K, 0)

where c_i is the expected number of notes begun since the last onset, i included: c_i = (1 - p_i(onset)) c_(i-1) +
p_i(Pitch), onset meaning Position or Bar, with probabilities 0 and 1 where a token is visible. If positions are drawn
independently, c_i is that expectation exactly. The range is that of the training notes, 0.5 to 99.5 %.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch

from bench.data.settings import SPECIAL_TYPES
from bench.diffusion.absorbing import AbsorbingDiffusion, Denoise, DiffusionLoss
from bench.diffusion.constraints.language import TokenLanguage
from bench.diffusion.errors import DiffusionError
from bench.diffusion.noised import Noised
from bench.errors import quoted

NONE = "none"
FORMS = "pitch=WEIGHT, chord=K:WEIGHT, joined by +"
LIMIT = "[1-9][0-9]{0,5}"
NUMBER = r"[0-9]{1,9}(?:\.[0-9]+)?(?:e-?[0-9]{1,2})?"


@dataclass(frozen=True)
class RegulariserChoice:
    """The penalties chosen; None is no such penalty."""

    pitch_weight: float | None = None
    chord_limit: int = 0
    chord_weight: float | None = None

    @classmethod
    def parse(cls, words: str) -> RegulariserChoice:
        """From "pitch=1+chord=4:0.5" or "none". Raises DiffusionError."""
        chosen: dict[str, float] = {}
        for part in (part.strip() for part in words.split("+")):
            if part == NONE and words.strip() == NONE:
                continue
            if (found := re.fullmatch(rf"pitch=({NUMBER})", part)) and "pitch_weight" not in chosen:
                chosen["pitch_weight"] = float(found[1])
            elif (found := re.fullmatch(rf"chord=({LIMIT}):({NUMBER})", part)) and "chord_weight" not in chosen:
                chosen |= {"chord_limit": int(found[1]), "chord_weight": float(found[2])}
            else:
                raise DiffusionError(
                    f"regularisers: {quoted(part)} cannot be used; allowed: {NONE}, or {FORMS}, each once"
                )
        return cls(**chosen)  # type: ignore[arg-type]

    def build(self, words: Sequence[str], pitch_limits: Callable[[], tuple[int, int]]) -> Regulariser | None:
        """The penalty over a vocabulary; `pitch_limits` is called only where it is needed. None for no penalty."""
        if self == RegulariserChoice():
            return None
        return Regulariser(self, words, pitch_limits() if self.pitch_weight is not None else None)


class Regulariser:
    """Weighted penalties, summed over the masked positions of a slice: divide by the batch's masked tokens."""

    def __init__(self, choice: RegulariserChoice, words: Sequence[str], limits: tuple[int, int] | None) -> None:
        self.choice = choice
        language = TokenLanguage(words, {})
        low, high = limits or (0, 127)
        self._special_V = torch.tensor([kind in SPECIAL_TYPES for kind in language.types])
        self._onset_V = torch.tensor([kind in ("Position", "Bar") for kind in language.types])
        pitch_V = torch.from_numpy(language.pitch)
        self._pitch_V = pitch_V >= 0
        self._outside_V = self._pitch_V & ((pitch_V < low) | (pitch_V > high))

    def __call__(self, logits_BLV: torch.Tensor, tokens_BL: torch.Tensor, masked_BL: torch.Tensor) -> torch.Tensor:
        """The sum for these rows, a tensor of no dimension. `tokens_BL` as the network saw them, `masked_BL` bool."""
        device = logits_BLV.device
        tokens_BL, masked_BL = tokens_BL.to(device), masked_BL.to(device)
        share_BLV = logits_BLV.float().masked_fill(self._special_V.to(device), float("-inf")).softmax(dim=-1)
        total = share_BLV.new_zeros(())
        if self.choice.pitch_weight is not None:
            outside_BL = share_BLV[..., self._outside_V.to(device)].sum(dim=-1)
            total = total + self.choice.pitch_weight * outside_BL[masked_BL].sum()
        if self.choice.chord_weight is not None:
            pitch_BL = self._probability(share_BLV, self._pitch_V.to(device), tokens_BL, masked_BL)
            onset_BL = self._probability(share_BLV, self._onset_V.to(device), tokens_BL, masked_BL)
            above_BL = (notes_since_onset(pitch_BL, onset_BL) - self.choice.chord_limit).clamp(min=0)
            total = total + self.choice.chord_weight * (pitch_BL * above_BL)[masked_BL].sum()
        return total

    @staticmethod
    def _probability(
        share_BLV: torch.Tensor, kind_V: torch.Tensor, tokens_BL: torch.Tensor, masked_BL: torch.Tensor
    ) -> torch.Tensor:
        """Probability that each position holds a token of a kind: 0 or 1 where it is visible. (B, L)"""
        return torch.where(masked_BL, share_BLV[..., kind_V].sum(dim=-1), kind_V[tokens_BL].to(share_BLV.dtype))


def regularised_loss(
    diffusion: AbsorbingDiffusion,
    regulariser: Regulariser,
    denoise: Denoise,
    noised: Noised,
    device: torch.device | str = "cpu",
) -> DiffusionLoss:
    """`diffusion.loss_of` with the penalty a masked token of the batch added to the trained loss, to nothing else."""
    seen: list[torch.Tensor] = []

    def watched(tokens_BL: torch.Tensor, *time: torch.Tensor) -> torch.Tensor:
        logits_BLV = denoise(tokens_BL, *time)
        seen[:] = [logits_BLV, tokens_BL]
        return logits_BLV

    share = diffusion.loss_of(watched, noised, device)
    logits_BLV, tokens_BL = seen
    penalty = regulariser(logits_BLV, tokens_BL, noised.masked_BL) / max(noised.masked_count, 1)
    return replace(share, loss=share.loss + penalty)


def notes_since_onset(pitch_BL: torch.Tensor, onset_BL: torch.Tensor) -> torch.Tensor:
    """c_i = (1 - onset_i) c_(i-1) + pitch_i along the rows, by doubling: log2(L) steps."""
    keep_BL, count_BL = 1 - onset_BL, pitch_BL
    shift, length = 1, pitch_BL.shape[1]
    while shift < length:
        before = torch.nn.functional.pad(count_BL, (shift, 0))[:, :length]
        count_BL = count_BL + keep_BL * before
        keep_BL = keep_BL * torch.nn.functional.pad(keep_BL, (shift, 0), value=1.0)[:, :length]
        shift *= 2
    return count_BL
