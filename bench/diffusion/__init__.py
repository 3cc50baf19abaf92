"""The absorbing diffusion process: schedules, losses, samplers, and the bits/token of any denoiser."""

from __future__ import annotations

from bench.diffusion.absorbing import AbsorbingDiffusion
from bench.diffusion.autoregressive import Autoregressive
from bench.diffusion.block import BlockDiffusion
from bench.diffusion.elbo import elbo_bits_per_token
from bench.diffusion.errors import DiffusionError
from bench.diffusion.generators import generator_for
from bench.diffusion.multi_scale import MultiScaleDiffusion
from bench.diffusion.samplers import SAMPLERS, Sample
from bench.diffusion.token_powers import token_powers

__all__ = [
    "SAMPLERS",
    "AbsorbingDiffusion",
    "Autoregressive",
    "BlockDiffusion",
    "DiffusionError",
    "MultiScaleDiffusion",
    "Sample",
    "elbo_bits_per_token",
    "generator_for",
    "token_powers",
]
