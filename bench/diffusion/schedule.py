"""Masking schedules: the share of a sequence that is still visible at time t."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from bench.diffusion.errors import DiffusionError
from bench.errors import quoted

GEOMETRIC_RATE_MIN = 1e-5  # Shi et al. 2024 (MD4, 2406.04329), table 1
GEOMETRIC_RATE_MAX = 20.0
GEOMETRIC_START, GEOMETRIC_END = math.exp(-GEOMETRIC_RATE_MIN), math.exp(-GEOMETRIC_RATE_MAX)
GEOMETRIC_GROWTH = math.log(GEOMETRIC_RATE_MAX / GEOMETRIC_RATE_MIN)
SCHEDULES = ("linear", "cosine", "geometric")
MULTI_SCALE = "multi-scale"  # of MultiScaleDiffusion, which has a schedule of its own for each token


@dataclass(frozen=True)
class Schedule:
    """alpha(t), the probability that a token is still visible at time t in [0, 1]; alpha(0) = 1 and alpha(1) = 0.

    linear     1 - t (Austin et al. 2021, the absorbing process with beta_t = 1 / (T - t + 1))
    cosine     1 - cos(pi/2 (1 - t)) (Shi et al. 2024, table 1)
    geometric  exp(-r(t)) with r(t) = 1e-5^(1-t) 20^t (same table), moved and stretched so that it meets 1 and 0
               exactly: the published form leaves 2e-9 visible at t = 1, and a sampler that starts from MASK alone
               would not be the reverse of it.
    """

    name: str = "linear"

    def __post_init__(self) -> None:
        if self.name not in SCHEDULES:
            raise DiffusionError(f"schedule: {quoted(self.name)} is not known; allowed: {', '.join(SCHEDULES)}")

    def alpha(self, time: torch.Tensor) -> torch.Tensor:
        """Probability in 0..1 of being visible at `time` (any shape, float64 advised)."""
        if self.name == "linear":
            return 1 - time
        if self.name == "cosine":
            return (1 - torch.cos(math.pi / 2 * (1 - time))).clamp(0, 1)
        return ((torch.exp(-self._rate(time)) - GEOMETRIC_END) / (GEOMETRIC_START - GEOMETRIC_END)).clamp(0, 1)

    def time_of(self, hidden: torch.Tensor) -> torch.Tensor:
        """The time at which a share `hidden` = 1 - alpha (any shape) is masked: the inverse of `alpha`."""
        if self.name == "linear":
            return hidden
        if self.name == "cosine":
            return 1 - 2 / math.pi * torch.arccos(hidden.clamp(0, 1))
        rate = -torch.log((1 - hidden) * (GEOMETRIC_START - GEOMETRIC_END) + GEOMETRIC_END)
        return ((rate.log() - math.log(GEOMETRIC_RATE_MIN)) / GEOMETRIC_GROWTH).clamp(0, 1)

    def slope(self, time: torch.Tensor) -> torch.Tensor:
        """d alpha / d t at `time`: never positive."""
        if self.name == "linear":
            return torch.full_like(time, -1.0)
        if self.name == "cosine":
            return -math.pi / 2 * torch.sin(math.pi / 2 * (1 - time))
        rate = self._rate(time)
        return -GEOMETRIC_GROWTH * rate * torch.exp(-rate) / (GEOMETRIC_START - GEOMETRIC_END)

    def grid(self, steps: int) -> torch.Tensor:
        """alpha at t = 0, 1/T, ..., 1 in float64, T + 1 values, exactly 1 at the start and 0 at the end."""
        if steps < 1:
            raise DiffusionError(f"steps: {steps} diffusion steps are too few; allowed: 1 or more")
        alpha = self.alpha(torch.arange(steps + 1, dtype=torch.float64) / steps)
        alpha[0], alpha[-1] = 1.0, 0.0
        return alpha

    def _rate(self, time: torch.Tensor) -> torch.Tensor:
        return torch.exp((1 - time) * math.log(GEOMETRIC_RATE_MIN) + time * math.log(GEOMETRIC_RATE_MAX))
