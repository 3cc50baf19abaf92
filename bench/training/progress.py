"""What a run reports while it goes on, and the learning curve it leaves."""

from __future__ import annotations

import json
import math
import resource
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from bench.files import write_atomically


@dataclass(frozen=True)
class Progress:
    """State of a run for a person watching; a figure that is not known yet is NaN."""

    step: int
    steps: int | None  # all steps of the budget, None where it is in seconds
    fraction: float  # of the budget, 0..1
    loss: float  # nats/token, mean since the last report
    masked_cross_entropy: float  # nats per masked token
    validation_bits_per_token: float  # the latest validation
    tokens_per_s: float
    peak_bytes: int
    elapsed_s: float  # training time, validation not counted
    remaining_s: float
    stage: str = ""  # what is done beside training steps, in words


def peak_bytes(device: torch.device) -> int:
    """Most memory this process has held: of the GPU if `device` is one, else resident."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


class LearningCurve:
    """`history.jsonl`: one JSON object a line, training lines and validation lines, in order of steps."""

    def __init__(self, path: Path, write: bool) -> None:
        self.path, self.write = path, write
        self.lines: list[dict[str, Any]] = []

    def resume(self, step: int) -> None:
        """Keep what was written up to `step`; later lines belong to work that was lost."""
        if self.path.exists():
            for text in self.path.read_text().splitlines():
                try:
                    line = json.loads(text)
                except json.JSONDecodeError:
                    break
                if line["step"] <= step:
                    self.lines.append(line)
        self._rewrite()

    def add(self, line: dict[str, Any]) -> None:
        """Append a line; a figure that is not finite is written as null."""
        self.lines.append(line)
        if self.write:
            with self.path.open("a") as stream:
                stream.write(_as_text(line))

    def _rewrite(self) -> None:
        if self.write:
            write_atomically(self.path, "".join(map(_as_text, self.lines)))


def _as_text(line: dict[str, Any]) -> str:
    finite = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in line.items()}
    return json.dumps(finite) + "\n"
