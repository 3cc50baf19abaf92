"""Latency of one call: cold apart from warm, every sample kept, two clocks where the system has two."""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

CLOCK_AGREEMENT = 0.05
"""Two clocks may differ by this share of the median before a row is flagged."""
CLOCK_STEP_S = 2e-6
"""Two readings of host clocks lie this far apart even when both are right."""


@dataclass(frozen=True)
class CallTimes:
    """Seconds of every timed call, in the order they ran, with the first call of the warm-up.

    `cold_s` is the first call of the warm-up (compilation, allocation, page faults), NaN without warm-up.
    `second_samples_s` are the same calls by another clock: on CUDA events beside the synchronised host clock, on a CPU
    the raw hardware clock, which no time server adjusts, beside the monotonic one (Linux; elsewhere empty).
    """

    samples_s: list[float]
    device: str
    cold_s: float = math.nan
    second_samples_s: list[float] = field(default_factory=list)

    @property
    def median_s(self) -> float:
        """Median of the timed calls in seconds; NaN when none was timed."""
        return float(np.median(self.samples_s)) if self.samples_s else math.nan

    @property
    def clocks_agree(self) -> bool:
        """Whether both clocks give the same median, within 5 %; true where there is only one clock."""
        if not self.second_samples_s:
            return True
        difference = abs(float(np.median(self.second_samples_s)) - self.median_s)
        return difference <= max(CLOCK_AGREEMENT * self.median_s, CLOCK_STEP_S)


def synchronise(device: torch.device | str) -> None:
    """Wait until everything queued on an accelerator has run; nothing to do on a CPU."""
    kind = torch.device(device)
    if kind.type == "cuda":
        torch.cuda.synchronize(kind)


def time_calls(
    function: Callable[[], Any], calls: int, *, warmup: int = 1, device: torch.device | str = "cpu"
) -> CallTimes:
    """Run `function` `warmup` + `calls` times and time each of the last `calls`; its result is dropped at once.

    The clock is monotonic (a change of the system time cannot bend it) and is read when the device is idle.
    Garbage collection is off meanwhile, so that no call pays for another's litter.
    Raises ValueError for fewer than one call or a negative warm-up, and whatever `function` raises.
    """
    if calls < 1 or warmup < 0:
        raise ValueError(f"calls = {calls}, warmup = {warmup}: at least one call and no negative warm-up")
    kind = torch.device(device)
    was_enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        before = [_timed(function, kind)[0] for _ in range(warmup)]
        timed = [_timed(function, kind) for _ in range(calls)]
    finally:
        if was_enabled:
            gc.enable()
    return CallTimes(
        samples_s=[host_s for host_s, _ in timed],
        device=str(kind),
        cold_s=before[0] if before else math.nan,
        second_samples_s=[second_s for _, second_s in timed if second_s is not None],
    )


def _raw_clock_s() -> float | None:
    """The hardware clock as it is; None where the system does not show it."""
    return time.clock_gettime(time.CLOCK_MONOTONIC_RAW) if hasattr(time, "CLOCK_MONOTONIC_RAW") else None


def _timed(function: Callable[[], Any], device: torch.device) -> tuple[float, float | None]:
    """Seconds of one call by the host clock and by a second one, None where there is none."""
    if device.type != "cuda":
        start, raw_start = time.perf_counter(), _raw_clock_s()
        function()
        raw_s = None if raw_start is None else (_raw_clock_s() or math.nan) - raw_start
        return time.perf_counter() - start, raw_s
    first, last = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    torch.cuda.synchronize(device)
    start = time.perf_counter()
    first.record()
    function()
    last.record()
    torch.cuda.synchronize(device)
    return time.perf_counter() - start, first.elapsed_time(last) / 1e3
