"""AdamW's parameter groups and the learning rate along the budget."""

from __future__ import annotations

import math

import torch
from torch import nn

from bench.training.settings import TrainSettings

WARMUP_SHARE = 0.1  # of the budget: a run too short for its warm-up steps would end inside them
NO_DECAY_MODULES = (nn.Embedding, nn.LayerNorm, nn.RMSNorm, nn.GroupNorm)


def parameter_groups(module: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Two groups: matrices and convolution kernels decay; norms, biases, embeddings and SSM parameters do not.

    A parameter is left undecayed if it has fewer than two dimensions, belongs to a norm or an embedding, or carries
    `_no_weight_decay = True` (the mark that state-space code puts on A and D).
    """
    exempt = {
        id(parameter)
        for part in module.modules()
        if isinstance(part, NO_DECAY_MODULES)
        for parameter in part.parameters(recurse=False)
    }
    decayed: list[nn.Parameter] = []
    plain: list[nn.Parameter] = []
    for parameter in module.parameters():
        if parameter.requires_grad:
            marked = getattr(parameter, "_no_weight_decay", False) or id(parameter) in exempt
            (plain if marked or parameter.dim() < 2 else decayed).append(parameter)
    groups: list[dict[str, object]] = [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def build_optimiser(module: nn.Module, settings: TrainSettings) -> torch.optim.AdamW:
    """AdamW (Loshchilov & Hutter 2019) over `parameter_groups`, one fused kernel a group."""
    return torch.optim.AdamW(
        parameter_groups(module, settings.weight_decay), lr=settings.learning_rate, betas=settings.betas, fused=True
    )


def learning_rate(settings: TrainSettings, step: int, fraction: float) -> float:
    """Learning rate of step 0, 1, ... when `fraction` of the budget (0..1) is spent.

    Warm-up is linear over `warmup_steps`, or over the first tenth of the budget where that is shorter.
    """
    rate, spent = settings.learning_rate, min(max(fraction, 0.0), 1.0)
    if settings.schedule == "cosine":
        floor = settings.final_learning_rate
        rate *= floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * spent))
    warm = max((step + 1) / max(settings.warmup_steps, 1), spent / WARMUP_SHARE)
    return rate * min(1.0, warm)
