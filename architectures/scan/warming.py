"""Getting a kernel ready before anything is timed: building, compiling or importing it, and starting its threads."""

import logging
from collections.abc import Callable

import torch

from architectures.scan.door import KERNELS, chosen_kernel
from architectures.scan.operator import selective_scan

_warm: set[tuple[str, str]] = set()


def warm(kernel: str = "auto", device: torch.device | str = "cpu", *, tell: Callable[[str], None] | None = None) -> str:
    """Run a tiny scan forward and backward, so that later calls pay for no compilation. Returns the kernel's name.

    `tell` hears one line before a start that can take seconds (default: an INFO record of this module's logger); a
    kernel that is warm already costs nothing and says nothing. Raises ScanKernelError as `chosen_kernel` does.
    """
    device = torch.device(device)
    name = chosen_kernel(device, kernel)
    if (name, device.type) in _warm:
        return name
    if KERNELS[name].slow_start:
        (tell or logging.getLogger(__name__).info)(f"scan kernel {name}: {KERNELS[name].slow_start}")
    with torch.enable_grad():
        u = torch.ones(1, 2, 20, device=device, requires_grad=True)
        B = torch.ones(1, 4, 20, device=device)
        selective_scan(u, u, -torch.ones(2, 4, device=device), B, B, kernel=name).sum().backward()
    _warm.add((name, device.type))
    return name
