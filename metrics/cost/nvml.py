"""State of an NVIDIA GPU as NVML shows it: clocks, temperature, power, causes of lower clocks, energy, processes.

The package nvidia-ml-py (module `pynvml`) is imported in this file alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

INSTALL = "pip install nvidia-ml-py, or 'smdim-bench[nvml]'"
SLOWDOWNS = {
    "SwPowerCap": "power cap",
    "HwSlowdown": "hardware slowdown",
    "SyncBoost": "a slower GPU of the same sync boost group",
    "SwThermalSlowdown": "thermal slowdown by the driver",
    "HwThermalSlowdown": "thermal slowdown by the hardware",
    "HwPowerBrakeSlowdown": "power brake",
}
"""`nvmlClocksEventReason...` -> words. The others, an idle GPU and clocks that a user has set, are no throttling."""


class NvmlError(OSError):
    """NVML cannot be used, or does not show a figure; the message is the reason."""


class Gpu:
    """One GPU through NVML. Every method raises NvmlError where NVML shows no figure."""

    source = "NVML total energy"

    def __init__(self, device: torch.device) -> None:
        try:
            import pynvml
        except ImportError:
            raise NvmlError(f"nvidia-ml-py is not installed ({INSTALL})") from None
        self._nvml = pynvml
        self._ask("nvmlInit")
        uuid = f"GPU-{torch.cuda.get_device_properties(device).uuid}"  # torch leaves out the prefix of NVML's names
        self._handle = self._ask("nvmlDeviceGetHandleByUUID", uuid)

    def _ask(self, function: str, *arguments: Any) -> Any:
        """The answer of a function of NVML."""
        try:
            return getattr(self._nvml, function)(*arguments)
        except self._nvml.NVMLError as error:
            raise NvmlError(f"NVML: {error}") from error
        except AttributeError as error:
            raise NvmlError(f"nvidia-ml-py is too old ({INSTALL})") from error

    def joules(self) -> float:
        """Energy since the driver was loaded (Volta and later)."""
        return self._ask("nvmlDeviceGetTotalEnergyConsumption", self._handle) / 1e3  # mJ

    def sm_clock_mhz(self) -> float:
        """Present clock of the multiprocessors."""
        return float(self._ask("nvmlDeviceGetClockInfo", self._handle, self._nvml.NVML_CLOCK_SM))

    def highest_sm_clock_mhz(self) -> float:
        """Highest clock of the multiprocessors that the device has."""
        return float(self._ask("nvmlDeviceGetMaxClockInfo", self._handle, self._nvml.NVML_CLOCK_SM))

    def memory_clock_mhz(self) -> float:
        """Present clock of the memory."""
        return float(self._ask("nvmlDeviceGetClockInfo", self._handle, self._nvml.NVML_CLOCK_MEM))

    def temperature_c(self) -> float:
        """Temperature of the chip."""
        return float(self._ask("nvmlDeviceGetTemperature", self._handle, self._nvml.NVML_TEMPERATURE_GPU))

    def power_w(self) -> float:
        """Power of the board, which many devices average over a second."""
        return self._ask("nvmlDeviceGetPowerUsage", self._handle) / 1e3  # mW

    def throttled(self) -> list[str]:
        """Why the clocks are lower than asked for now, in words; [] where they are not."""
        active = self._ask("nvmlDeviceGetCurrentClocksEventReasons", self._handle)
        bits = {name: getattr(self._nvml, f"nvmlClocksEventReason{name}") for name in SLOWDOWNS}
        return [words for name, words in SLOWDOWNS.items() if active & bits[name]]

    def processes(self) -> list[int]:
        """Ids of the processes that compute on it."""
        return [one.pid for one in self._ask("nvmlDeviceGetComputeRunningProcesses", self._handle)]


FIGURES: dict[str, tuple[str, Callable[[Gpu], Any]]] = {
    "sm_clock_mhz": ("SM clock", Gpu.sm_clock_mhz),
    "memory_clock_mhz": ("memory clock", Gpu.memory_clock_mhz),
    "temperature_c": ("temperature", Gpu.temperature_c),
    "power_w": ("power", Gpu.power_w),
    "throttled": ("throttling", Gpu.throttled),
}
"""What is read beside timed calls: key -> label, figure."""


class GpuWatch:
    """Readings of a device between timed calls; none of a CPU.

    A figure that NVML does not show is left out from then on; `on_refusal` is called once, with the reason and all
    figures that it concerns.
    """

    def __init__(self, device: torch.device, on_refusal: Callable[[str], None]) -> None:
        self._left, self._on_refusal = list(FIGURES), on_refusal
        self._gpu: Gpu | None = None
        if device.type == "cuda":
            try:
                self._gpu = Gpu(device)
            except NvmlError as reason:
                self._refuse(str(reason), list(FIGURES))

    def read(self) -> dict[str, Any]:
        """The figures of `FIGURES` that NVML shows now."""
        found, refused = dict[str, Any](), dict[str, list[str]]()
        if self._gpu is None:
            return found
        for name in self._left:
            try:
                found[name] = FIGURES[name][1](self._gpu)
            except NvmlError as reason:
                refused.setdefault(str(reason), []).append(name)
        for words, names in refused.items():
            self._refuse(words, names)
        return found

    def _refuse(self, reason: str, names: list[str]) -> None:
        self._left = [name for name in self._left if name not in names]
        self._on_refusal(f"{', '.join(FIGURES[name][0] for name in names)} of the GPU not known: {reason}")
