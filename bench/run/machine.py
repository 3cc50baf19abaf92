"""What of the machine decides a timing, and how much of it a cell takes."""

from __future__ import annotations

from typing import Any

from bench.errors import UserError
from bench.study import Cell


def timing_identity(device: str, threads: int) -> dict[str, Any]:
    """Device, threads, scan kernel and torch version: part of the id of a timing cell.

    Raises UserError where the device is not there.
    """
    import torch

    from architectures.scan import chosen_kernel
    from metrics.device import device_name, resolve_device

    try:
        resolved = resolve_device(device)
    except ValueError as error:
        raise UserError(str(error)) from error
    return {
        "device": str(resolved),
        "device_name": device_name(resolved),
        "threads": threads,
        "scan_kernel": chosen_kernel(resolved),
        "torch": torch.__version__.partition("+")[0],
    }


def processes_of(settings: dict[str, Any]) -> int:
    """In how many processes a cell trains; 1 for cells that do not train."""
    return int(settings.get("train", {}).get("processes", 1))


def threads_of(cell: Cell) -> int:
    """CPU threads that run at once in a cell: those of a process, in each process that trains."""
    return int(cell.labels.get("threads", 1)) * processes_of(cell.settings)
