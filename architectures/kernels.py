"""The operators that have several kernels, and the kernel that each gets where none was asked for.

| operator    | on a CPU               | on CUDA                                        | asked for by name           |
| ----------- | ---------------------- | ---------------------------------------------- | --------------------------- |
| scan        | numba, torch           | mamba_ssm, triton, torch                       | reference                   |
| attention   | torch (its own choice) | torch (its own choice)                         | flash, efficient, cudnn,    |
|             |                        |                                                | math, flash_attn            |
| convolution | numba, torch           | causal_conv1d (windows of 2 to 4 steps), torch |                             |
| ssd         | torch                  | mamba_ssm (half precision only), torch         | mamba_ssm in float32 (TF32) |

The first of a line that works is taken. One that is absent or broken is passed over: `doctor` shows why, a run names
what is broken, and every row names what ran. A package is preferred only where torch has no fused kernel of its own.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from architectures import attention_kernels, depthwise, ssd
from architectures.kernel_choice import BROKEN, KernelError, asked_for
from architectures.scan.kernels import SCAN

OPERATORS = {one.operator: one for one in (SCAN, attention_kernels.ATTENTION, depthwise.CONVOLUTION, ssd.SSD)}


def chosen_kernels(
    device: torch.device, asked: Mapping[str, str] | None = None, dtype: torch.dtype | None = None
) -> dict[str, str]:
    """Operator -> the kernel that inputs of `dtype` (None: any) get on `device`, of the operators that have candidates
    there or for which a kernel is asked for, in `asked` or in the environment.

    Raises KernelError for a kernel that is asked for and unknown, absent, broken or not made for device or type.
    """
    asked = asked or {}
    for operator, name in asked.items():
        if operator not in OPERATORS:
            raise KernelError(f"kernel {operator}={name}: no such operator; choose {', '.join(OPERATORS)}")
    found = {}
    for operator, dispatcher in OPERATORS.items():
        name = asked.get(operator, "auto")
        if device.type in dispatcher.automatic or name != "auto" or asked_for(operator) != "auto":
            found[operator] = dispatcher.choose(device, dtype, kernel=name, setting=f"kernel {operator}={name}")
    return found


def broken_kernels(device: torch.device) -> list[str]:
    """A line for each kernel that would be tried on `device`, is installed, and does not work."""
    lines = []
    for operator, dispatcher in OPERATORS.items():
        for name in dispatcher.automatic.get(device.type, ()):
            reason = dispatcher.unusable_reason(name)
            if not reason:
                break  # what comes after the one that is taken is not tried: it may take seconds to load
            if reason.startswith(BROKEN):
                lines.append(f"{operator} kernel {name} is {reason}; the next one that works is taken")
    return lines
