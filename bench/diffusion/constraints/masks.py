"""Constraints on single positions: tokens forbidden everywhere, tokens allowed by place, a prior over scales."""

from __future__ import annotations

import re

import numpy as np
import torch

from bench.diffusion.constraints.language import TokenLanguage
from bench.diffusion.errors import DiffusionError

SCALES = {
    "major": (0, 2, 4, 5, 7, 9, 11),
    "minor": (0, 2, 3, 5, 7, 8, 11),  # harmonic; the natural form has the tones of a major scale
}
TONICS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
SIGNS = {"": 0, "#": 1, "b": -1}
INSIDE_SHARE = 0.95  # notes within the scale; a modulating song has a few more outside


class AllowedTokens:
    """Only the tokens that `allowed` (bool) names: (V,), or at each place of whole rows of length L, (L, V)."""

    def __init__(self, allowed: np.ndarray) -> None:
        self._forbidden = torch.from_numpy(~allowed)

    def __call__(self, logits_BLV: torch.Tensor, tokens_BL: torch.Tensor) -> torch.Tensor:
        """The logits with -inf where a token is not allowed."""
        return logits_BLV.masked_fill(self._forbidden.to(logits_BLV.device), float("-inf"))


class PitchRange(AllowedTokens):
    """No Pitch token below `low` or above `high` (MIDI pitches, both allowed themselves)."""

    def __init__(self, language: TokenLanguage, low: int, high: int) -> None:
        is_pitch = language.pitch >= 0
        outside = is_pitch & ((language.pitch < low) | (language.pitch > high))
        if (is_pitch == outside).all():
            known = language.pitch[is_pitch]
            raise DiffusionError(
                f"constraint pitch={low}:{high}: no pitch of the vocabulary lies there; "
                f"allowed: a range that meets {known.min()}:{known.max()}"
            )
        super().__init__(~outside)


class ScalePrior:
    """A prior over scales, updated by the visible pitches: adds log(12 p(pitch class)) to Pitch logits.

    p(pitch class) = sum over scales s of p(s | visible pitches of the row) p(pitch class | s), where a scale gives 0.95
    to its tones in equal parts and 0.05 to the others. Without `scale` all 12 major and 12 harmonic minor scales are
    equally likely before a pitch is seen, so no pitch is preferred then and the row's own scale later; with a scale
    ("C major", "F# minor") it is that one. A soft constraint: no pitch is forbidden.
    """

    def __init__(self, language: TokenLanguage, scale: str = "") -> None:
        pitch = torch.from_numpy(language.pitch)
        self._class_V = torch.where(pitch >= 0, pitch % 12, 12)  # 12: no pitch
        scales = [_scale(scale)] if scale else [(tonic, kind) for kind in SCALES for tonic in range(12)]
        self._log_S12 = torch.stack([_log_shares(tonic, SCALES[kind]) for tonic, kind in scales])

    @staticmethod
    def check(scale: str) -> None:
        """DiffusionError unless `scale` is empty or names a scale."""
        if scale:
            _scale(scale)

    def __call__(self, logits_BLV: torch.Tensor, tokens_BL: torch.Tensor) -> torch.Tensor:
        """The logits, those of pitches moved."""
        device = logits_BLV.device
        class_BL = self._class_V.to(tokens_BL.device)[tokens_BL]
        counts_B12 = torch.stack([(class_BL == tone).sum(dim=1) for tone in range(12)], dim=1).to(device, torch.float64)
        log_S12 = self._log_S12.to(device)
        log_BS = (counts_B12 @ log_S12.T).log_softmax(dim=1)
        moved_B12 = (log_BS[:, :, None] + log_S12).logsumexp(dim=1) + np.log(12)  # B S 12 -> B 12
        moved_B13 = torch.nn.functional.pad(moved_B12, (0, 1))
        return logits_BLV + moved_B13[:, self._class_V.to(device)][:, None, :].to(logits_BLV.dtype)


def _scale(name: str) -> tuple[int, str]:
    found = re.fullmatch(r"([A-G])([#b]?)[ -](major|minor)", name.strip())
    if not found:
        raise DiffusionError(f"constraint scale={name}: allowed: a name like 'C major', 'F# minor', or scale alone")
    return (TONICS[found[1]] + SIGNS[found[2]]) % 12, found[3]


def _log_shares(tonic: int, steps: tuple[int, ...]) -> torch.Tensor:
    share = torch.full((12,), (1 - INSIDE_SHARE) / (12 - len(steps)), dtype=torch.float64)
    share[[(tonic + step) % 12 for step in steps]] = INSIDE_SHARE / len(steps)
    return share.log()
