"""Energy of a call in joules, where the device keeps a counter; NaN with the reason elsewhere, never a silent 0."""

from __future__ import annotations

import ctypes
import math
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch

from metrics.cost.latency import synchronise

POWERCAP = Path("/sys/class/powercap")
SHORTEST_S = 1.0
"""Calls are repeated for at least this long: the counters move in steps of some milliseconds to 100 ms."""


class EnergyCounter(Protocol):
    """Something that counts joules since an arbitrary moment."""

    source: str

    def joules(self) -> float: ...


@dataclass(frozen=True)
class EnergyUse:
    """Joules of one call, averaged over `calls` in `elapsed_s`; NaN with a `reason` where the device has no counter.

    The counter holds everything that ran on that device meanwhile, idle power included.
    """

    joules_per_call: float
    calls: int
    elapsed_s: float
    source: str
    reason: str = ""


class RaplCounter:
    """The processor packages' counters (RAPL), in files that only the administrator may read on many systems."""

    source = "RAPL packages"

    def __init__(self, folder: Path = POWERCAP) -> None:
        packages = [path for path in sorted(folder.glob("intel-rapl:*")) if path.name.count(":") == 1]
        if not packages:
            raise OSError("this processor, or the virtual machine around it, shows no energy counter")
        self.files = [path / "energy_uj" for path in packages]
        self.ranges_uj = [float((path / "max_energy_range_uj").read_text()) for path in packages]
        self._last_uj = self._read_uj()
        self._turned_uj = 0.0

    def _read_uj(self) -> list[float]:
        try:
            return [float(file.read_text()) for file in self.files]
        except PermissionError as error:
            raise OSError(f"{self.files[0]} may be read by the administrator only") from error

    def joules(self) -> float:
        """Joules since this object was made; a counter that has wrapped around since the last reading is unwrapped."""
        now_uj = self._read_uj()
        for last_uj, new_uj, range_uj in zip(self._last_uj, now_uj, self.ranges_uj, strict=True):
            self._turned_uj += new_uj - last_uj + (range_uj if new_uj < last_uj else 0.0)
        self._last_uj = now_uj
        return self._turned_uj / 1e6


class NvmlCounter:
    """The total-energy counter of a GPU, through the driver's own library (Volta and later)."""

    source = "NVML total energy"

    def __init__(self, device: torch.device) -> None:
        try:
            self._nvml = ctypes.CDLL("libnvidia-ml.so.1")
        except OSError as error:
            raise OSError("the driver's library libnvidia-ml.so.1 is not there") from error
        self._handle = ctypes.c_void_p()
        uuid = f"GPU-{torch.cuda.get_device_properties(device).uuid}".encode()
        self._check(self._nvml.nvmlInit_v2(), "nvmlInit")
        self._check(self._nvml.nvmlDeviceGetHandleByUUID(uuid, ctypes.byref(self._handle)), "nvmlDeviceGetHandleByUUID")
        self.joules()

    def _check(self, status: int, call: str) -> None:
        if status != 0:
            raise OSError(f"{call} answers with status {status}: this GPU has no energy counter")

    def joules(self) -> float:
        """Joules since the driver was loaded."""
        total_mj = ctypes.c_ulonglong()
        status = self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._handle, ctypes.byref(total_mj))
        self._check(status, "nvmlDeviceGetTotalEnergyConsumption")
        return total_mj.value / 1e3


def energy_counter(device: torch.device | str) -> EnergyCounter:
    """The counter behind a device. Raises OSError with the reason where there is none."""
    kind = torch.device(device)
    if kind.type == "cuda":
        return NvmlCounter(kind)
    if kind.type == "cpu":
        return RaplCounter()
    raise OSError(f"no energy counter is known for {kind.type}")


def measure_energy(
    function: Callable[[], Any],
    *,
    device: torch.device | str = "cpu",
    counter: EnergyCounter | None = None,
    shortest_s: float = SHORTEST_S,
) -> EnergyUse:
    """Joules that one call of `function` takes, from as many calls as fill `shortest_s` seconds; call it warm.

    Without a counter nothing is run; a counter that did not move gives NaN as well. The `reason` is in the result.
    """
    if counter is None:
        try:
            counter = energy_counter(device)
        except OSError as reason:
            return EnergyUse(math.nan, 0, 0.0, "none", f"energy is not available: {reason}")
    calls, began = 0, time.perf_counter()
    start_joules = counter.joules()
    while calls == 0 or time.perf_counter() - began < shortest_s:
        function()
        synchronise(device if torch.device(device).type == "cuda" else "cpu")
        calls += 1
    used_joules, elapsed_s = counter.joules() - start_joules, time.perf_counter() - began
    if not used_joules > 0:
        return EnergyUse(math.nan, calls, elapsed_s, counter.source, f"{counter.source}: the counter did not move")
    return EnergyUse(used_joules / calls, calls, elapsed_s, counter.source)


def available_energy_source(device: torch.device | str) -> str:
    """The name of the device's energy counter, "" where there is none."""
    with suppress(OSError):
        return energy_counter(device).source
    return ""
