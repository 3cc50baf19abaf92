"""Samplers: functions over any `denoise(tokens) -> logits`; each returns the tokens and the true number of calls."""

from __future__ import annotations

from collections.abc import Callable

from bench.diffusion.samplers.ancestral import ancestral, cached
from bench.diffusion.samplers.confidence import confidence
from bench.diffusion.samplers.constraint import Constraint, JointConstraint, MaskingConstraint
from bench.diffusion.samplers.first_hitting import first_hitting
from bench.diffusion.samplers.remask import remask
from bench.diffusion.samplers.sample import Sample
from bench.diffusion.samplers.semi_autoregressive import semi_autoregressive

SAMPLERS: dict[str, Callable[..., Sample]] = {
    "ancestral": ancestral,
    "cached": cached,
    "first-hitting": first_hitting,
    "confidence": confidence,
    "remask": remask,
    "semi-autoregressive": semi_autoregressive,
}

__all__ = [
    "SAMPLERS",
    "Constraint",
    "JointConstraint",
    "MaskingConstraint",
    "Sample",
    "ancestral",
    "cached",
    "confidence",
    "first_hitting",
    "remask",
    "semi_autoregressive",
]
