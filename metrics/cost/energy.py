"""Energy of a call in joules, where the device keeps a counter; NaN with the reason elsewhere, never a silent 0."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch

from metrics.cost.latency import synchronise
from metrics.cost.nvml import Gpu

POWERCAP = Path("/sys/class/powercap")
SHORTEST_S = 1.0
"""Calls are repeated for at least this long: the counters move in steps of some milliseconds to 100 ms."""
REPEATS = 3
"""Times that this is done: each is one value of the interval."""
SETTLE_S = 1.0
"""Wait before idle power is measured: a device that has just computed is not idle yet."""
IDLE_S = 2.0
UNAVAILABLE = "energy is not available"


class EnergyCounter(Protocol):
    """Something that counts joules since an arbitrary moment."""

    source: str

    def joules(self) -> float: ...


@dataclass(frozen=True)
class EnergyUse:
    """Joules of one call beyond what the idle device takes; NaN with a `reason` where that is not known.

    Parameters
    ----------
    joules_per_call
        Mean over the repeats of (counted joules - `idle_w` x seconds) / calls.
    low, high
        Its 95 % interval by t over the repeats; the error of `idle_w` is not in it.
    calls, repeats
        Calls in all, and the joules of a call in each repeat.
    idle_w
        Watts of the idle device before the calls; what other processes took then is a part of them.
    source
        Name of the counter, which counts everything that runs on the device.
    """

    joules_per_call: float
    calls: int = 0
    source: str = "none"
    reason: str = ""
    low: float = math.nan
    high: float = math.nan
    repeats: tuple[float, ...] = ()
    idle_w: float = math.nan


class RaplCounter:
    """The processor packages' counters (RAPL), in files that only the administrator may read on many systems."""

    source = "RAPL packages"

    def __init__(self, folder: Path = POWERCAP) -> None:
        packages = [path for path in sorted(folder.glob("intel-rapl:*")) if path.name.count(":") == 1]
        if not packages:
            raise OSError("this processor, or the virtual machine around it, shows no energy counter")
        self.files = [path / "energy_uj" for path in packages]
        self.ranges_uj = [float((path / "max_energy_range_uj").read_bytes()) for path in packages]
        self._last_uj = self._read_uj()
        self._turned_uj = 0.0

    def _read_uj(self) -> list[float]:
        try:
            return [float(file.read_bytes()) for file in self.files]
        except PermissionError as error:
            raise OSError(f"{self.files[0]} may be read by the administrator only") from error

    def joules(self) -> float:
        """Joules since this object was made; a counter that has wrapped around since the last reading is unwrapped."""
        now_uj = self._read_uj()
        for last_uj, new_uj, range_uj in zip(self._last_uj, now_uj, self.ranges_uj, strict=True):
            self._turned_uj += new_uj - last_uj + (range_uj if new_uj < last_uj else 0.0)
        self._last_uj = now_uj
        return self._turned_uj / 1e6


def energy_counter(device: torch.device | str) -> EnergyCounter:
    """The counter behind a device. Raises OSError with the reason where there is none."""
    kind = torch.device(device)
    if kind.type == "cuda":
        gpu = Gpu(kind)
        gpu.joules()
        return gpu
    if kind.type == "cpu":
        return RaplCounter()
    raise OSError(f"no energy counter is known for {kind.type}")


def measure_idle_power(
    counter: EnergyCounter,
    *,
    settle_s: float = SETTLE_S,
    idle_s: float = IDLE_S,
    sleep: Callable[[float], Any] = time.sleep,
) -> float:
    """Watts that the device takes while this process waits: over `idle_s` seconds, `settle_s` after what ran before."""
    sleep(settle_s)
    began, start_joules = time.perf_counter(), counter.joules()
    sleep(idle_s)
    return (counter.joules() - start_joules) / (time.perf_counter() - began)


def measure_energy(
    function: Callable[[], Any],
    *,
    device: torch.device | str = "cpu",
    counter: EnergyCounter,
    idle_w: float,
    shortest_s: float = SHORTEST_S,
    repeats: int = REPEATS,
) -> EnergyUse:
    """Joules that one call of `function` takes beyond the idle device; call it warm.

    Each of `repeats` repeats has as many calls as fill `shortest_s` seconds. `idle_w`: watts of the idle device. A
    counter that fails or did not move gives NaN, and so do calls that took no more than the idle device. The `reason`
    is in the result.
    """
    from metrics.statistics.intervals import mean_interval

    try:
        taken = [_one_repeat(function, device, counter, shortest_s) for _ in range(repeats)]
    except OSError as reason:
        return EnergyUse(math.nan, reason=f"{UNAVAILABLE}: {reason}")
    calls, source = sum(count for count, _, _ in taken), counter.source
    if not all(joules > 0 for _, joules, _ in taken):
        return EnergyUse(math.nan, calls, source, f"{source}: the counter did not move", idle_w=idle_w)
    own = tuple((joules - idle_w * elapsed_s) / count for count, joules, elapsed_s in taken)
    mean = mean_interval(own)
    if not mean.value > 0:
        words = f"{source}: no more than the {idle_w:.3g} W of the idle device"
        return EnergyUse(math.nan, calls, source, words, repeats=own, idle_w=idle_w)
    return EnergyUse(mean.value, calls, source, "", mean.low, mean.high, own, idle_w)


def _one_repeat(
    function: Callable[[], Any], device: torch.device | str, counter: EnergyCounter, shortest_s: float
) -> tuple[int, float, float]:
    """Calls, joules and seconds of one repeat."""
    calls, began, start_joules = 0, time.perf_counter(), counter.joules()
    while calls == 0 or time.perf_counter() - began < shortest_s:
        function()
        synchronise(device if torch.device(device).type == "cuda" else "cpu")
        calls += 1
    return calls, counter.joules() - start_joules, time.perf_counter() - began
