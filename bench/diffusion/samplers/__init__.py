"""Samplers: functions over any `denoise(tokens) -> logits`; each returns the tokens and the true number of calls."""

from __future__ import annotations

from bench.diffusion.samplers.ancestral import ancestral, cached
from bench.diffusion.samplers.block import autoregressive, block, block_approximate
from bench.diffusion.samplers.confidence import confidence
from bench.diffusion.samplers.first_hitting import first_hitting
from bench.diffusion.samplers.registry import SAMPLERS, Sampler, call_plan, check_sampler, samplers_for
from bench.diffusion.samplers.remask import remask
from bench.diffusion.samplers.request import Sample, SampleRequest
from bench.diffusion.samplers.semi_autoregressive import in_windows, semi_autoregressive

__all__ = [
    "SAMPLERS",
    "Sample",
    "SampleRequest",
    "Sampler",
    "ancestral",
    "autoregressive",
    "block",
    "block_approximate",
    "cached",
    "call_plan",
    "check_sampler",
    "confidence",
    "first_hitting",
    "in_windows",
    "remask",
    "samplers_for",
    "semi_autoregressive",
]
