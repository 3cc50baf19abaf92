"""The machine of a cell: what of it is part of a timing's id, and the processes and threads that a cell takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.errors import as_user_error
from bench.study.grid import Cell


def timing_identity(
    device: str, threads: int, asked: Mapping[str, str] | None = None, precision: str = "float32"
) -> dict[str, Any]:
    """Device, threads, kernels and torch version: part of the id of a timing cell. `asked`: operator -> kernel.

    Raises UserError where the device is not there, or where a kernel that is asked for cannot run on it.
    """
    import torch

    from architectures.kernels import chosen_kernels
    from metrics.cost.device import device_name, resolve_device

    with as_user_error(ValueError):
        resolved = resolve_device(device)
        kernels = chosen_kernels(resolved, asked or {}, getattr(torch, precision))
    return {
        "device": str(resolved),
        "device_name": device_name(resolved),
        "threads": threads,
        **{f"{operator}_kernel": name for operator, name in kernels.items()},
        "torch": torch.__version__.partition("+")[0],
    }


def processes_of(settings: dict[str, Any]) -> int:
    """Number of processes that train a cell; 1 for cells that do not train."""
    return int(settings.get("train", {}).get("processes", 1))


def threads_of(cell: Cell) -> int:
    """CPU threads that run at once in a cell: those of a process, in each process that trains."""
    return int(cell.labels.get("threads", 1)) * processes_of(cell.settings)
