"""What a run came to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.diffusion.evaluation import BitsPerToken


@dataclass(frozen=True)
class TrainResult:
    """What a run came to; the backbone it was given now holds the averaged weights."""

    steps: int
    seconds: float  # of training, validation not counted
    tokens: int  # seen, PAD not counted
    history: list[dict[str, Any]]  # the learning curve, see LearningCurve
    checkpoint: Path
    stopped: str  # budget, plateau, diverged, interrupted
    validation: BitsPerToken | None  # at the end, averaged weights

    @property
    def diverged(self) -> bool:
        """Whether the loss blew up; the weights are of no use then."""
        return self.stopped == "diverged"
