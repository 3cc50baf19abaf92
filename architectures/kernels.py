"""All operators that have several kernels, and which one each gets where nothing was asked for.

| operator    | on a CPU               | on CUDA                                       | asked for by name           |
| ----------- | ---------------------- | --------------------------------------------- | --------------------------- |
| scan        | c, numba, torch        | mamba_ssm, triton, torch                      | reference                   |
| attention   | torch (its own choice) | torch (its own choice)                        | flash, efficient, cudnn,    |
|             |                        |                                               | math, flash_attn            |
| convolution | torch                  | causal_conv1d (windows of 2 to 4 steps), torch |                            |
| ssd         | torch                  | mamba_ssm (half precision only), torch        | mamba_ssm in float32 (TF32) |

The first of a line that works is taken. One that is absent or broken is passed over: `doctor` says why, a run names
what is broken, and every row names what ran. A package is preferred only where torch has no fused kernel of its own.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from architectures import attention_kernels, depthwise, ssd
from architectures.kernel_door import BROKEN, KernelError, asked_for
from architectures.scan import door as scan_door

DOORS = {door.operator: door for door in (attention_kernels.DOOR, depthwise.DOOR, ssd.DOOR)}
"""The operators but for the scan, whose door knows more."""


def kernel_names() -> dict[str, tuple[str, ...]]:
    """Operator -> names of its kernels."""
    return {"scan": tuple(scan_door.KERNELS), **{operator: tuple(door.kernels) for operator, door in DOORS.items()}}


def chosen_kernels(
    device: torch.device, asked: Mapping[str, str] | None = None, dtype: torch.dtype | None = None
) -> dict[str, str]:
    """Operator -> the kernel that inputs of `dtype` (None: any) get on `device`, of the operators that have a choice
    there: the scan, those with kernels of their own for the device, and those in `asked`.

    Raises KernelError for a kernel that is asked for and unknown, absent, broken or not made for device or type.
    """
    asked = asked or {}
    for operator, name in asked.items():
        names = kernel_names()
        if operator not in names:
            raise KernelError(f"kernel {operator}={name}: no such operator; choose {', '.join(names)}")
        if name not in ("auto", *names[operator]):
            raise KernelError(f"kernel {operator}={name}: no such kernel; choose auto, {', '.join(names[operator])}")
    found = {"scan": scan_door.chosen_kernel(device, asked.get("scan", "auto"))}
    for operator, door in DOORS.items():
        name = asked.get(operator, "auto")
        if name == "auto":
            name = asked_for(operator)
        if name != "auto":
            if reason := door.refusal(name, device, dtype) if name in door.kernels else "no such kernel":
                raise KernelError(f"kernel {operator}={name}: {name} cannot run: {reason}")
            found[operator] = name
        elif device.type in door.automatic:
            found[operator] = (
                ssd.chosen_kernel(device, dtype or torch.float32) if operator == "ssd" else door.chosen(device, dtype)
            )
    return found


def automatic_candidates(device: torch.device) -> dict[str, tuple[str, ...]]:
    """Operator -> what would be tried on `device`, in this order, where nothing is asked for."""
    tried = {operator: door.automatic.get(device.type, ()) for operator, door in DOORS.items()}
    return {"scan": scan_door.AUTOMATIC.get(device.type, ()), **tried}


def reason_against(operator: str, name: str) -> str:
    """Why a kernel cannot run on this machine; "" if it can."""
    return scan_door.unusable_reason(name) if operator == "scan" else DOORS[operator].unusable_reason(name)


def broken_kernels(device: torch.device) -> list[str]:
    """A line for each kernel that would be tried on `device`, is there, and does not work."""
    lines = []
    for operator, names in automatic_candidates(device).items():
        for name in names:
            reason = reason_against(operator, name)
            if not reason:
                break  # what comes after the one that is taken is not tried: it may take seconds to load
            if reason.startswith(BROKEN):
                lines.append(f"{operator} kernel {name} is {reason}; the next one that works is taken")
    return lines
