"""Description of a machine: device, processor, clock governor, load, threads, library versions, commit."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import time
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from metrics.cost.cores import usable_cores
from metrics.cost.nvml import Gpu, GpuWatch

if TYPE_CHECKING:
    import psutil

LIBRARIES = (
    "torch",
    "numpy",
    "scipy",
    "numba",
    "fvcore",
    "mamba-ssm",
    "causal-conv1d",
    "flash-attn",
    "triton",
    "flash-linear-attention",
    "nvidia-ml-py",
)
DRIVER_FILE = "/proc/driver/nvidia/version"
BUSY_SHARE = 0.2
"""Share of one core from which another process counts as computing."""
BUSY_INTERVAL_S = 0.3
NAMED = 3
"""Busy processes that are named; the rest is counted."""


def resolve_device(name: str) -> torch.device:
    """The device that "auto", "cpu", "cuda" or "cuda:N" means here; "auto" takes a GPU where there is one.

    Raises ValueError naming the devices there are when it is not one of them.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    there = ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
    if name not in there and not (name == "cuda" and len(there) > 1):
        raise ValueError(f"device = {name!r}: not on this machine; there are auto, {', '.join(there)}{hidden_gpus()}")
    return torch.device(name)


def hidden_gpus() -> str:
    """The variable that may hide GPUs, in brackets, where torch sees none and it is set; "" otherwise."""
    shown = os.environ.get("CUDA_VISIBLE_DEVICES")
    return "" if shown is None or torch.cuda.device_count() else f" (CUDA_VISIBLE_DEVICES is {shown!r})"


def work_on(device: torch.device | str) -> None:
    """Make a GPU named with its number the present one of this process: events, streams and Triton's kernels are of
    the present one, wherever the tensors lie. Nothing to do for other devices."""
    kind = torch.device(device)
    if kind.type == "cuda" and kind.index is not None:
        torch.cuda.set_device(kind)


def device_name(device: torch.device | str) -> str:
    """The words for a device in a table: the GPU's name, or the CPU's model and the number of cores."""
    kind = torch.device(device)
    if kind.type == "cuda":
        return torch.cuda.get_device_name(kind)
    return f"{cpu_model()}, {usable_cores()} cores"


def cpu_model() -> str:
    """The processor's model name, with family and model numbers where the name is generic."""
    fields: dict[str, str] = {}
    for line in _read("/proc/cpuinfo").splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), value.strip())
    name = fields.get("model name") or platform.processor() or platform.machine() or "unknown CPU"
    numbers = [fields[key] for key in ("cpu family", "model", "stepping") if key in fields]
    return f"{name} ({'/'.join(numbers)})" if numbers else name


BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}
"""Names that Linux has for instructions of products in bfloat16: of AVX-512, of AMX, of ARM."""


def bfloat16_warning(device: torch.device | str = "cpu") -> str:
    """Warning for a CPU without instructions for products in bfloat16; "" where it has some, or that is unknown."""
    lines = [line.partition(":") for line in _read("/proc/cpuinfo").splitlines()]
    flags = next((value.split() for name, _, value in lines if name.strip() in ("flags", "Features")), [])
    if torch.device(device).type != "cpu" or not flags or BFLOAT16_FLAGS & set(flags):
        return ""
    return "bfloat16 is no faster than float32 here: this CPU has neither AVX512_BF16 nor AMX"


def describe_environment(device: torch.device | str = "cpu") -> dict[str, Any]:
    """Everything about this machine, process and code that a timing may depend on, as JSON can hold it.

    Keys: device (its name), device_type, cpu, cores, threads, governor, load_1_min, memory_bytes, platform, python,
    libraries (installed ones), commit, and on CUDA gpu (driver, memory, and what NVML shows: clocks, throttling). None
    where a system has no such figure.
    """
    import psutil

    kind = torch.device(device)
    described: dict[str, Any] = {
        "device": device_name(kind),
        "device_type": kind.type,
        "cpu": cpu_model(),
        "cores": usable_cores(),
        "threads": torch.get_num_threads(),
        "governor": _read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor").strip() or None,
        "load_1_min": load_average(),
        "memory_bytes": psutil.virtual_memory().total,
        "platform": platform.platform(),
        "python": platform.python_version(),
        "libraries": library_versions(),
        "commit": git_commit(),
    }
    if kind.type == "cuda":
        described["gpu"] = describe_gpu(kind)
    return described


def load_average() -> float | None:
    """Runnable processes, averaged over the last minute; None where the system has no such figure."""
    with suppress(OSError, AttributeError):
        return os.getloadavg()[0]
    return None


def busy_warning(device: torch.device | str = "cpu") -> str:
    """A warning that names other processes computing on a device right now; "" without one.

    Takes a third of a second on a CPU.
    """
    watch = BusyWatch(device)
    if watch.device.type == "cpu":
        time.sleep(BUSY_INTERVAL_S)
    return watch.warning()


class BusyWatch:
    """Other processes that compute on a device from now on; this one and its descendants do not count."""

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        self.began_s = time.monotonic()
        self.before = _processor_s() if self.device.type == "cpu" else {}

    def warning(self) -> str:
        """A warning that names who computed since; "" without one."""
        if self.device.type == "cuda":
            others = _gpu_processes(self.device)
            return f"the GPU is shared with {', '.join(others)}; timings may be too slow" if others else ""
        busy = [f"{name} (process {pid}, {share:.0%} of a core)" for pid, name, share in self.busy()[:NAMED]]
        more = f" and {len(self.busy()) - NAMED} more" if len(self.busy()) > NAMED else ""
        return f"the machine is busy: {', '.join(busy)}{more}; timings may be too slow" if busy else ""

    def busy(self) -> list[tuple[int, str, float]]:
        """(process id, name, share of one core) of other processes that computed since, busiest first."""
        import psutil

        elapsed_s, own = time.monotonic() - self.began_s, _own_processes()
        found = []
        for process, now_s in _processor_s().items():
            share = (now_s - self.before.get(process, 0.0)) / elapsed_s
            if share >= BUSY_SHARE and process.pid not in own:
                with suppress(psutil.Error):  # it ended just now
                    found.append((process.pid, process.name(), share))
        return sorted(found, key=lambda one: -one[2])


def _processor_s() -> dict[psutil.Process, float]:
    """Process -> seconds of processor time so far."""
    import psutil

    found = {}
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            times = process.cpu_times()
            found[process] = times.user + times.system
    return found


def _own_processes() -> set[int]:
    """Ids of this process and all that descend from it."""
    import psutil

    me = psutil.Process()
    return {me.pid, *(child.pid for child in me.children(recursive=True))}


def _gpu_processes(device: torch.device) -> list[str]:
    """Names and ids of other processes that compute on a GPU, as far as NVML shows them to this one."""
    import psutil

    own, found = _own_processes(), []
    with suppress(OSError):
        for pid in Gpu(device).processes():
            with suppress(psutil.Error):  # it ended just now, or is outside this container
                found += [] if pid in own else [f"{psutil.Process(pid).name()} (process {pid})"]
    return found


def library_versions() -> dict[str, str]:
    """Installed version of each library that has a part in a measurement."""
    found = {}
    for name in LIBRARIES:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def git_commit(folder: Path | None = None) -> str | None:
    """Commit of the checkout that this code runs from, with "+changes" when files differ from it; None outside one.

    An installed copy that only lies inside another checkout is not part of it, so this file must be tracked.
    """
    place = folder or Path(__file__).resolve().parent
    git = ("git", "-C", str(place))
    if folder is None and _output_of(*git, "ls-files", "--error-unmatch", Path(__file__).name) is None:
        return None
    return _output_of(*git, "describe", "--always", "--abbrev=12", "--dirty=+changes", "--exclude=*") or None


def _output_of(*command: str) -> str | None:
    """Output of a command; None where it fails, takes over ten seconds or is not installed."""
    try:
        done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def describe_gpu(device: torch.device) -> dict[str, Any]:
    """Driver, memory, compute capability and what NVML shows: clocks, temperature, power, and why it is throttled."""
    properties, refusals = torch.cuda.get_device_properties(device), list[str]()
    described: dict[str, Any] = {
        "name": properties.name,
        "memory_bytes": properties.total_memory,
        "capability": f"{properties.major}.{properties.minor}",
        "cuda": torch.version.cuda,
        "driver": driver_version(),
        **GpuWatch(device, refusals.append).read(),
    }
    return described | ({"not_known": "; ".join(refusals)} if refusals else {})


def driver_version() -> str:
    """Version of the NVIDIA driver of this machine, whether torch can use it or not; "" if there is none."""
    if text := _read(DRIVER_FILE):
        found = re.search(r"Kernel Module.*?(\d+\.\d+(\.\d+)?)", text)
        return found[1] if found else "unknown version"
    answer = _output_of("nvidia-smi", "--query-gpu=driver_version", "--format=csv") or ""  # a heading, then each GPU's
    return next(iter(answer.splitlines()[1:]), "").strip()


def _read(path: str) -> str:
    """Content of a file of the system; "" where there is none."""
    with suppress(OSError):
        return Path(path).read_text(encoding="utf-8", errors="replace")
    return ""
