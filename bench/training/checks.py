"""Checks before the first step, and the identity that a resume must find unchanged."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from bench.diffusion.absorbing import AbsorbingDiffusion
from bench.diffusion.objectives import ABSORBING
from bench.training.batches import Batches
from bench.training.errors import TrainingError
from bench.training.settings import PartialTrainSettings, TrainSettings

DIVERGED_FACTOR, DIVERGED_NATS = 1.5, 1.0  # the first line of a curve lies near ln(vocabulary): this is far above it


def rows_of_process(settings: TrainSettings, world: int, rank: int) -> list[slice]:
    """Rows of the batch that a process computes, one slice an accumulation part; TrainingError if they do not split."""
    count = world * settings.accumulation
    if settings.batch % count:
        raise TrainingError(
            f"train.batch: {settings.batch} rows cannot be split over {world} processes x "
            f"{settings.accumulation} parts; allowed: a multiple of {count}"
        )
    size, first = settings.batch // count, rank * settings.accumulation
    return [slice(size * part, size * (part + 1)) for part in range(first, first + settings.accumulation)]


def fit_backbone(backbone: nn.Module, batches: Batches, settings: TrainSettings, device: torch.device) -> None:
    """Refuse settings that the data or the backbone would not follow; switch recomputation on where set."""
    try:
        check_device(backbone, device)
    except ValueError as error:
        raise TrainingError(f"train: {error}") from error
    moved, wanted = getattr(batches, "semitones", 0), settings.transpose_semitones
    if moved != wanted:
        raise TrainingError(
            f"train.transpose_semitones: {wanted}, but the batches are moved by up to {moved}; "
            "build them with corpus_batches"
        )
    if settings.activation_checkpointing:
        config: Any = getattr(backbone, "config", None)
        if not hasattr(config, "checkpoint_blocks"):
            raise TrainingError("train.activation_checkpointing: not offered by this backbone; allowed: false")
        backbone.config = replace(config, checkpoint_blocks=True)


def check_device(network: nn.Module, device: torch.device) -> None:
    """Refuse a device on which the network does not run, where it has a check of that. Raises ValueError."""
    if callable(check := getattr(network, "check_device", None)):
        check(device)


def check_validation(windows: np.ndarray, diffusion: AbsorbingDiffusion) -> None:
    """Refuse at the start what would only fail at the first validation."""
    if diffusion.time_input:
        raise TrainingError(
            "validation: the count form of the bits/token needs a denoiser without time input; "
            "train without validation windows and use elbo_bits_per_token"
        )
    if len(windows) == 0:
        raise TrainingError("validation: no windows; allowed: 1 or more (a larger corpus, or a shorter length)")


def check_process(
    diffusion: AbsorbingDiffusion, network: nn.Module, length: int, settings: PartialTrainSettings | None
) -> None:
    """Raise TrainingError or DiffusionError where a process cannot train this network on sequences of `length` tokens
    with these settings."""
    diffusion.check_network(network, length)
    if settings is not None and settings.regularisers != "none" and diffusion.objective != ABSORBING:
        raise TrainingError(
            f"train.regularisers: {settings.regularisers} with objective {diffusion.objective}; allowed: none, or "
            f"objective {ABSORBING}"
        )


def identity(
    backbone: nn.Module, batches: Batches, diffusion: AbsorbingDiffusion, settings: TrainSettings, seed: int
) -> dict[str, Any]:
    """All that decides the trained weights, as JSON holds it."""
    config: Any = getattr(backbone, "config", None)
    return {
        "model": config.to_dict() if hasattr(config, "to_dict") else type(backbone).__name__,
        "train": settings.deciding(),
        "diffusion": diffusion.settings(),
        "data": {"train": batches.fingerprint, "length": batches.length},
        "seed": seed,
    }


def blown_up(mean: Mapping[str, float], first_cross_entropy: float | None, precision: str) -> bool:
    """Whether a run has diverged: something is not finite, or masked tokens cost far more than at the beginning.

    In float16 an infinite gradient is no sign: the loss scaler skips that step and scales down.
    """
    checked = ("loss",) if precision == "float16" else mean
    if not all(math.isfinite(mean[name]) for name in checked):
        return True
    if first_cross_entropy is None:
        return False
    return mean["masked_cross_entropy"] > DIVERGED_FACTOR * first_cross_entropy + DIVERGED_NATS
