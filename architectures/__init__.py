"""Denoisers: `build("smdim", vocab_size=...)`. Nothing here knows of metrics or of the experiment around it.

What the package exports is imported when it is first named, so that `import architectures` does not import torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOME = {
    "CATALOG": "catalog",
    "Arm": "catalog",
    "Backbone": "backbone",
    "BackboneConfig": "config",
    "BackboneError": "config",
    "BlockPattern": "pattern",
    "Denoiser": "denoiser_network",
    "DenoiserConfig": "denoiser",
    "DenoiserError": "denoiser",
    "FlopCount": "mixer",
    "Inputs": "denoiser",
    "Mixer": "mixer",
    "MixerError": "mixer",
    "PatternError": "pattern",
    "build": "catalog",
    "build_config": "catalog",
    "canonical_pattern": "registry",
    "config_of": "catalog",
    "count_parameters": "building",
    "register_denoiser": "denoiser",
    "register_mixer": "registry",
    "resolve": "catalog",
    "without_weights": "catalog",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'architectures' has no attribute {name!r}")
    return getattr(import_module(f"architectures.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
