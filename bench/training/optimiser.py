"""The optimiser: AdamW's parameter groups, the learning rate over the budget, the averaged weights."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import nn

from bench.training.settings import TrainSettings

WARMUP_SHARE = 0.1  # of the budget: a run too short for its warm-up steps would end inside them
NO_DECAY_MODULES = (nn.Embedding, nn.LayerNorm, nn.RMSNorm, nn.GroupNorm)


def parameter_groups(module: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Two groups: matrices and convolution kernels decay; norms, biases, embeddings, learned positions and SSM
    parameters do not.

    A parameter is left undecayed if it has fewer than two dimensions, belongs to a norm or an embedding, or carries
    `_no_weight_decay = True` (the mark that state-space code puts on A and D; learned positions carry it too).
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


class AveragedWeights:
    """Exponential moving average of a module's parameters, with warm-up.

    After n updates the decay is min(decay, (1 + n) / (10 + n)), so that a run shorter than the average's memory is
    not held back by its first weights. Buffers are not averaged.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay, self.updates = decay, 0
        self.parameters = dict(module.named_parameters())
        self.average = {name: value.detach().clone() for name, value in self.parameters.items()}
        self._source = [value.detach() for value in self.parameters.values()]

    @torch.no_grad()
    def update(self) -> None:
        """Move the average towards the present weights by one step."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        torch._foreach_lerp_(list(self.average.values()), self._source, 1 - decay)
        self.updates += 1

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The module computes with the averaged weights until the block ends."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def copy(self) -> dict[str, torch.Tensor]:
        """The average as it is now."""
        return {name: value.clone() for name, value in self.average.items()}

    def replace(self, kept: Mapping[str, torch.Tensor]) -> None:
        """Take a copy of an earlier average in place of the present one."""
        for name, value in self.average.items():
            value.copy_(kept[name])

    @torch.no_grad()
    def copy_to_module(self) -> None:
        """Overwrite the module's weights with the average, for good."""
        torch._foreach_copy_(self._source, list(self.average.values()))

    @torch.no_grad()
    def _swap(self) -> None:
        for source, average in zip(self._source, self.average.values(), strict=True):
            kept = source.clone()
            source.copy_(average)
            average.copy_(kept)
