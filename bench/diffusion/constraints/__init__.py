"""Constraints on what is drawn: grammar, pitch range, chord limit, scale; each alone or together, over any sampler."""

from __future__ import annotations

from bench.diffusion.constraints.choice import ConstraintChoice
from bench.diffusion.constraints.constraint_set import ConstraintSet, JointConstraintSet
from bench.diffusion.constraints.decoding import TokenNotes, token_notes
from bench.diffusion.constraints.language import TokenLanguage
from bench.diffusion.constraints.masks import AllowedTokens, PitchRange, ScalePrior
from bench.diffusion.constraints.successions import Successions
from bench.diffusion.constraints.voices import SoundingLimit

__all__ = [
    "AllowedTokens",
    "ConstraintChoice",
    "ConstraintSet",
    "JointConstraintSet",
    "PitchRange",
    "ScalePrior",
    "SoundingLimit",
    "Successions",
    "TokenLanguage",
    "TokenNotes",
    "token_notes",
]
