"""A run's weights, average and optimiser as named tensors, and back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bench.training.averaging import AveragedWeights
from bench.training.checkpoint import module_tensors
from bench.training.errors import TrainingError


def capture(
    module: nn.Module, average: AveragedWeights, optimiser: Any
) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """All tensors the next step depends on, and the aliases of shared ones."""
    state, aliases = module_tensors(module)
    tensors = {f"weights/{name}": value for name, value in state.items()}
    tensors |= {f"ema/{name}": value for name, value in average.average.items()}
    names = {id(value): name for name, value in module.named_parameters()}
    for parameter, entries in optimiser.state.items():
        tensors |= {f"optimiser/{names[id(parameter)]}/{key}": value for key, value in entries.items()}
    return tensors, aliases


def restore(
    path: Path, tensors: Mapping[str, torch.Tensor], module: nn.Module, average: AveragedWeights, optimiser: Any
) -> None:
    """Write captured tensors back; TrainingError, with nothing changed, where they do not fit the module."""
    wanted = {f"weights/{name}": value for name, value in module_tensors(module)[0].items()}
    wanted |= {f"ema/{name}": value for name, value in average.average.items()}
    for name, value in wanted.items():
        if name not in tensors or tensors[name].shape != value.shape:
            found = tuple(tensors[name].shape) if name in tensors else "missing"
            raise TrainingError(f"checkpoint: {path}: {name} is {found}, the backbone needs {tuple(value.shape)}")
    parameters = dict(module.named_parameters())
    with torch.no_grad():
        for name, value in wanted.items():
            value.copy_(tensors[name])
    for name, value in tensors.items():
        if name.startswith("optimiser/"):
            owner, key = name.removeprefix("optimiser/").rsplit("/", 1)
            optimiser.state[parameters[owner]][key] = value.to(parameters[owner].device)
