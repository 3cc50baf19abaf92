"""The machine a cell runs on: what its environment file says, and what a timing's identity holds."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from bench.errors import UserError

LIBRARIES = ("torch", "numpy", "numba", "miditok", "symusic", "pandas", "accelerate", "fvcore", "smdim-bench")


def resolve_device(device: str) -> str:
    """`cpu` or `cuda:N` for what a study asks. Raises UserError where there is no such device."""
    import torch

    if device == "auto":
        return "cuda:0" if torch.cuda.is_available() else "cpu"
    kind, _, index = device.partition(":")
    if device == "cpu":
        return device
    if kind != "cuda" or (index and not index.isdecimal()):
        raise UserError(f"no device {device!r}; allowed: auto, cpu, cuda, cuda:N")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if int(index or 0) >= count:
        raise UserError(f"device {device!r} is not there: this machine has {count} CUDA devices; allowed: auto, cpu")
    return f"cuda:{int(index or 0)}"


def device_name(device: str) -> str:
    """Model of the processor or of the GPU behind `cpu` or `cuda:N`."""
    if device.startswith("cuda"):
        import torch

        return str(torch.cuda.get_device_name(device))
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def timing_identity(device: str, threads: int) -> dict[str, Any]:
    """What, beyond the settings, decides a timing: device, threads, scan kernel, torch version."""
    import torch

    from architectures.scan import chosen_kernel

    resolved = resolve_device(device)
    return {
        "device": resolved,
        "device_name": device_name(resolved),
        "threads": threads,
        "scan_kernel": chosen_kernel(torch.device(resolved)),
        "torch": torch.__version__.partition("+")[0],
    }


def describe_environment(device: str) -> dict[str, Any]:
    """Machine, threads and library versions for a cell's environment.json."""
    import torch

    return {
        "device": device_name(device),
        "cores": os.cpu_count(),
        "load_1min": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "threads": torch.get_num_threads(),
        "platform": platform.platform(),
        "python": sys.version.split()[0],
        "libraries": {name: _version(name) for name in LIBRARIES},
        "OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", ""),
    }


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
