"""Searches for the largest batches and lengths that stay within a memory budget, by real steps."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from bench.errors import is_out_of_memory
from bench.measure.efficiency.arm import TimedArm
from bench.measure.efficiency.piece import planned_calls
from metrics.cost.latency import time_calls
from metrics.cost.memory import growth_limited, largest_that_fits, memory_baseline, peak_memory, private_bytes

LARGEST_BATCH, LONGEST = 1 << 12, 1 << 17
"""Where a search ends."""
LONGEST_SAMPLE_S = 120.0
"""Seconds that pieces of the largest batch may take together."""


class MemoryBudget:
    """Searches within `budget_bytes` beyond the process without a model; an arm is without one after each."""

    def __init__(self, arm: TimedArm, settings: dict[str, Any], emit: Callable[..., None], budget_bytes: float) -> None:
        self.arm, self.settings, self.emit, self.budget_bytes = arm, settings, emit, budget_bytes
        stride = getattr(getattr(arm.model, "config", None), "stride", 1)
        self._step = math.lcm(stride, settings["block"] or 1)
        """Every length is a multiple of it."""
        arm.drop()
        self.baseline_bytes, self.private = memory_baseline(arm.device), private_bytes()

    def fit_batch(self, length: int) -> None:
        """The largest training batch."""
        found = largest_that_fits(lambda size: self._fits(length, size), limit=LARGEST_BATCH)
        self.emit("fit", kind="batch", length=length, value=found)

    def fit_length(self, _: int) -> None:
        """The longest sequence at the training batch."""
        batch = self.settings["training_batch"]
        found = largest_that_fits(lambda size: self._fits(size, batch), step=self._step, limit=LONGEST)
        self.emit("fit", kind="length", length=None, value=found)

    def fit_pieces(self, length: int) -> None:
        """The largest batch of pieces by its largest call, and the seconds of a piece in it."""
        found = largest_that_fits(lambda size: self._fits(length, size, kind="step"), limit=LARGEST_BATCH)
        self.arm.build()
        self.emit("fit", kind="pieces", length=length, value=found, **self._piece_s(length, int(found)))

    def _piece_s(self, length: int, batch: int) -> dict[str, Any]:
        """Seconds of a piece where `batch` are drawn together, or why none were drawn."""
        if not batch:
            return {"piece_s": math.nan, "reason": "no piece fits"}
        plan, step = planned_calls(self.settings, length), self.arm.step(length, batch)
        step_s = time_calls(step, 1, warmup=1, device=self.arm.device).median_s
        expected_s = step_s * (plan.calls if plan else self.settings["sample_steps"])
        if expected_s > LONGEST_SAMPLE_S:
            return {"piece_s": math.nan, "reason": f"not drawn: {batch} pieces would take about {expected_s:.0f} s"}
        taken = time_calls(self.arm.sample(length, batch), 1, warmup=0, device=self.arm.device)
        return {"piece_s": taken.median_s / batch, "reason": ""}

    def _fits(self, length: int, batch: int, kind: str = "train") -> bool:
        """Whether two training or denoising steps of a new model run and stay within the budget."""
        try:
            with growth_limited(self.private, self.budget_bytes, self.arm.device):
                self.arm.build()
                call = self.arm.train(length, batch) if kind == "train" else self.arm.step(length, batch)
                call()
                peak = peak_memory(call, device=self.arm.device, baseline_bytes=self.baseline_bytes)
        except Exception as problem:
            if not is_out_of_memory(problem):
                raise
            return False
        finally:
            self.arm.drop()
        if math.isnan(peak.peak_bytes):
            raise ValueError(peak.reason)
        self.emit("progress", stage=f"batch {batch} of {length} tokens needs {peak.peak_bytes / 2**30:.2f} GiB")
        return peak.peak_bytes <= self.budget_bytes
