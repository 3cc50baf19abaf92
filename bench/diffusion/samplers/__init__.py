"""Samplers: functions over any `denoise(tokens) -> logits`; each returns the tokens and the true number of calls."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from bench.diffusion.errors import DiffusionError
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

SAMPLER_OPTIONS: dict[str, tuple[str, ...]] = {
    "first-hitting": ("per_call",),
    "confidence": ("choice_temperature",),
    "remask": ("remasking", "eta"),
    "semi-autoregressive": ("window", "overlap"),
}
"""Options that one sampler alone has."""


def check_sampler(name: str, options: Iterable[str] = ()) -> None:
    """Raise DiffusionError for a sampler that is not known, or an option that belongs to another one."""
    if name not in SAMPLERS:
        raise DiffusionError(f"sampler: {name!r} is not known; allowed: {', '.join(SAMPLERS)}")
    for owner, own in SAMPLER_OPTIONS.items():
        for option in options:
            if option in own and owner != name:
                raise DiffusionError(f"{option}: the sampler {name!r} has no such setting; allowed: with {owner!r}")


__all__ = [
    "SAMPLERS",
    "SAMPLER_OPTIONS",
    "Constraint",
    "JointConstraint",
    "MaskingConstraint",
    "Sample",
    "ancestral",
    "cached",
    "check_sampler",
    "confidence",
    "first_hitting",
    "remask",
    "semi_autoregressive",
]
