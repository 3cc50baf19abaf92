"""Progress of a run: its budget, its counters, its learning curve, its live figures and its result."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from bench import child
from bench.diffusion.evaluation import BitsPerToken
from bench.files import to_json, write_atomically
from bench.training.errors import TrainingError
from bench.training.settings import TrainSettings
from metrics.cost.quantities import TRAINING_PASSES

TALLY = ("loss", "elbo_bits_per_token", "masked_cross_entropy", "gradient_norm")


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
    if math.isnan(per_step):
        raise TrainingError(f"train.flops: {getattr(backbone, 'uncounted', '')}; allowed: a budget in steps or seconds")
    return Budget(max(1, int(settings.flops // per_step)), None)


class Clock:
    """Training time in seconds: runs from `start` to `stop`, which waits for what the device still has to do."""

    def __init__(self, wait: Callable[[], None]) -> None:
        self._wait, self._spent_s, self._since = wait, 0.0, 0.0

    def start(self, spent_s: float) -> None:
        """Go on from `spent_s`."""
        self._spent_s, self._since = spent_s, time.perf_counter()

    def read(self) -> float:
        """Time by now; the device may lag behind by the steps that it was given since the clock last stopped."""
        return self._spent_s + time.perf_counter() - self._since

    def stop(self) -> float:
        """Time once the device has done all that it was given."""
        self._wait()
        return self.read()


@dataclass
class Ledger:
    """Counters of a run; `tally` holds sums since the last line of the learning curve."""

    step: int = 0
    tokens: int = 0  # PAD not counted
    elapsed_s: float = 0.0  # training time, validation not counted
    averaged: int = 0  # updates of the averaged weights
    tally: list[float] = field(default_factory=lambda: [0.0] * len(TALLY))
    tallied: int = 0  # steps in the tally
    tally_tokens: int = 0  # tokens when the tally began
    tally_elapsed_s: float = 0.0
    first_cross_entropy: float | None = None  # nats per masked token on the first line of the curve
    best_bits: float | None = None
    best_step: int = 0  # of the best validation
    noted_step: int = 0  # of the latest validation on the curve
    kept_at: int | None = None  # step whose averaged weights are evaluated, known at the end
    worse: int = 0  # validations since the best
    validated: int = 0  # validations of the budget that are done
    latest_bits: float | None = None
    stopped: str = ""  # why the run ended, "" while it goes on
    final: BitsPerToken | None = None
    scaler: dict[str, Any] | None = None  # of the float16 loss

    def note_bits(self, bits: float) -> bool:
        """Take in a validation at the present step; whether it is better than all before, of which a tie is not."""
        self.latest_bits, self.noted_step = bits, self.step
        if self.best_bits is None or math.isnan(self.best_bits) or bits < self.best_bits:
            self.best_bits, self.best_step, self.worse = bits, self.step, 0
            return True
        self.worse += 1
        return False

    def restart_tally(self) -> None:
        """Begin the next line of the learning curve."""
        self.tally, self.tallied = [0.0] * len(TALLY), 0
        self.tally_tokens, self.tally_elapsed_s = self.tokens, self.elapsed_s

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it; an interrupted run is one that goes on."""
        return asdict(self) | {"stopped": "" if self.stopped == "interrupted" else self.stopped}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Ledger:
        """The reverse of `to_dict`; a last validation without its windows (version 0.1) is left out, to be repeated.

        Raises KeyError where something is missing."""
        kept = {one.name: values[one.name] for one in fields(cls)}
        final = kept["final"] if "windows" in (kept["final"] or {}) else None
        return cls(**kept | {"final": None if final is None else BitsPerToken.from_dict(final)})


class LearningCurve:
    """`history.jsonl`: one JSON object a line, in order of steps: training lines (`loss`, ...), validations on one grid
    of windows and masks (`validation_value`, ...), and the larger one at the end (`final_value`, ...)."""

    def __init__(self, path: Path, write: bool) -> None:
        self.path, self.write = path, write
        self.lines: list[dict[str, Any]] = []

    def resume(self, step: int) -> None:
        """Keep what was written up to `step`; later lines belong to work that was lost."""
        if self.path.exists():
            for text in self.path.read_text(encoding="utf-8").splitlines():
                try:
                    line = json.loads(text)
                except json.JSONDecodeError:
                    break
                if line["step"] <= step:
                    self.lines.append(line)
        if self.write:
            write_atomically(self.path, "".join(to_json(line) + "\n" for line in self.lines))

    def add(self, line: dict[str, Any]) -> None:
        """Append a line; a figure that is not finite is written as null."""
        self.lines.append(line)
        if self.write:
            with self.path.open("a", encoding="utf-8") as stream:
                stream.write(to_json(line) + "\n")


def validation_points(lines: Iterable[Mapping[str, Any]]) -> list[tuple[int, float]]:
    """Step and bits/token of each validation on the learning curve's one grid."""
    return [(line["step"], line["validation_value"]) for line in lines if "validation_value" in line]


def last_quarter_fall(lines: Iterable[Mapping[str, Any]]) -> float:
    """Bits/token on the learning curve at 3/4 of its steps, between two points by a straight line, less those at its
    end; below 0 where it rises. NaN where no point lies in the first three quarters.

    >>> last_quarter_fall([{"step": 50, "validation_value": 5.0}, {"step": 100, "validation_value": 4.0}])
    0.5
    """
    points = validation_points(lines)
    if not points or points[0][0] > 0.75 * points[-1][0]:
        return math.nan
    steps, bits = zip(*points, strict=True)
    return float(np.interp(0.75 * steps[-1], steps, bits) - bits[-1])


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
    return child.peak_bytes() or 0


@dataclass(frozen=True)
class TrainResult:
    """Result of a run; the backbone it was given now holds the averaged weights of step `kept_step`."""

    steps: int
    seconds: float  # of training, validation not counted
    tokens: int  # seen, PAD not counted
    history: list[dict[str, Any]]  # lines of the learning curve, see LearningCurve
    checkpoint: Path
    stopped: str  # budget, plateau, diverged, interrupted
    validation: BitsPerToken | None  # after training, of the weights that are kept
    kept_step: int = 0  # of these weights; 0 where there was no training

    @property
    def diverged(self) -> bool:
        """Whether the loss blew up; the weights are of no use then."""
        return self.stopped == "diverged"
