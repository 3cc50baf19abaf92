"""Denoiser backbones: `build("smdim", vocab_size=...)`. Knows nothing of metrics or of the experiment around it."""

from __future__ import annotations

# Importing a mixer's module registers its letter.
from architectures import (  # noqa: F401
    attention,
    convolution,
    feed_forward,
    linear_attention,
    long_convolution,
    mamba,
    mamba2,
)
from architectures.backbone import Backbone, BackboneConfig, BackboneError, count_parameters
from architectures.catalog import CATALOG, Arm, build, build_config, resolve
from architectures.mixer import FlopCount, Mixer, MixerError, canonical_pattern, register_mixer
from architectures.pattern import BlockPattern, PatternError

__all__ = [
    "CATALOG",
    "Arm",
    "Backbone",
    "BackboneConfig",
    "BackboneError",
    "BlockPattern",
    "FlopCount",
    "Mixer",
    "MixerError",
    "PatternError",
    "build",
    "build_config",
    "canonical_pattern",
    "count_parameters",
    "register_mixer",
    "resolve",
]
