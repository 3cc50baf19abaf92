"""Constraints on what is drawn: grammar, pitch range, chord limit, scale; each alone or together, over any sampler."""

from __future__ import annotations

from bench.diffusion.constraints.choice import ConstraintChoice
from bench.diffusion.constraints.constraint_set import ConstraintSet
from bench.diffusion.constraints.decoding import TokenNotes, token_notes
from bench.diffusion.constraints.language import TokenLanguage

__all__ = ["ConstraintChoice", "ConstraintSet", "TokenLanguage", "TokenNotes", "token_notes"]
