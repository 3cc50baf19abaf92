"""How long a run goes on: steps, seconds or FLOPs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from torch import nn

from bench.training.errors import TrainingError
from bench.training.settings import TrainSettings

TRAINING_PASSES = 3  # a backward pass costs two forward ones; recomputation is not counted


@dataclass(frozen=True)
class Budget:
    """Either a number of steps, or seconds of training time."""

    steps: int | None
    seconds: float | None

    def fraction(self, step: int, elapsed_s: float) -> float:
        """Share of the budget spent after `step` steps and `elapsed_s` seconds, 0..1."""
        if self.steps is not None:
            return min(step / self.steps, 1.0)
        return min(elapsed_s / (self.seconds or math.inf), 1.0)


def budget_of(settings: TrainSettings, backbone: nn.Module, length: int) -> Budget:
    """The budget of `settings`; FLOPs become the number of steps they pay for (at least one)."""
    if settings.flops is None:
        return Budget(settings.steps, settings.seconds)
    count: Any = getattr(backbone, "flops", None)
    if not callable(count):
        raise TrainingError(
            "train.flops: this backbone does not count its FLOPs; allowed: a budget in steps or seconds"
        )
    per_step = TRAINING_PASSES * settings.batch * count(length).total
    return Budget(max(1, int(settings.flops // per_step)), None)
