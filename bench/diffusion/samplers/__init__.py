"""Samplers: functions over any `denoise(tokens) -> logits`; each returns the tokens and the true number of calls."""

from __future__ import annotations

from collections.abc import Callable

from bench.diffusion.samplers.ancestral import ancestral, cached
from bench.diffusion.samplers.sample import Sample

SAMPLERS: dict[str, Callable[..., Sample]] = {"ancestral": ancestral, "cached": cached}

__all__ = ["SAMPLERS", "Sample", "ancestral", "cached"]
