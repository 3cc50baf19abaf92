"""Averaged weights: what is evaluated and sampled from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


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
