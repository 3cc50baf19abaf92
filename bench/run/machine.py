"""What of the machine decides a timing."""

from __future__ import annotations

from typing import Any

from bench.errors import UserError


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
