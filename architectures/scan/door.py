"""The one door to the scan kernels: which exist, which can run here, and which one a call gets."""

import os
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Protocol, cast

import torch
from torch import Tensor

from architectures.kernel_door import BROKEN, KernelError, choose, first_line, refused_device, variable
from architectures.scan.inputs import ScanGradients, ScanInputs

KERNEL_VARIABLE = variable("scan")


class ScanKernelError(KernelError):
    """A kernel that was asked for by name does not exist, cannot run here, or cannot do what is asked of it."""


class KernelModule(Protocol):
    """What the module of a kernel offers. Inputs are checked, non-empty and on one device."""

    def unusable_reason(self) -> str:
        """ "" where it can run; begins with `BROKEN` where it is there and fails."""

    def forward(self, inputs: ScanInputs) -> Tensor: ...

    def backward(self, inputs: ScanInputs, grad_BDL: Tensor) -> ScanGradients: ...


@dataclass(frozen=True)
class _Kernel:
    """One line of the table below."""

    module: str
    devices: tuple[str, ...] = ()
    """Device types it runs on; empty: every one."""
    float64: bool = False
    """Whether it computes float64 inputs in float64; one that does not refuses them."""
    differentiable_twice: bool = False
    slow_start: str = ""
    """What the first use on a machine waits for, as words for the user; "" if nothing worth mentioning."""


KERNELS: dict[str, _Kernel] = {
    "reference": _Kernel("architectures.scan.reference", float64=True, differentiable_twice=True),
    "torch": _Kernel("architectures.scan.chunked", float64=True, differentiable_twice=True),
    "c": _Kernel("architectures.scan.c_kernel", devices=("cpu",)),
    "numba": _Kernel(
        "architectures.scan.numba_kernel", devices=("cpu",), slow_start="compiling it (about 10 s the first time)"
    ),
    "mamba_ssm": _Kernel("architectures.scan.mamba_ssm_kernel", devices=("cuda",)),
    "triton": _Kernel(
        "architectures.scan.triton_kernel",
        devices=("cuda", "cpu") if os.environ.get("TRITON_INTERPRET") == "1" else ("cuda",),  # the interpreter: tests
        slow_start="compiling it (some seconds the first time)",
    ),
}
"""Every kernel by name. A new one is a module with the functions of `KernelModule`, a line here and a place below."""

AUTOMATIC: dict[str, tuple[str, ...]] = {"cpu": ("c", "numba"), "cuda": ("mamba_ssm", "triton")}
"""Names tried in this order on a device type before `torch`."""


def load(name: str) -> KernelModule:
    """The module of a kernel, imported when it is first asked for."""
    return cast(KernelModule, import_module(KERNELS[name].module))


@cache
def unusable_reason(name: str) -> str:
    """Why a kernel cannot run on this machine; "" if it can. Building or importing it happens here, once."""
    try:
        return load(name).unusable_reason()
    except ModuleNotFoundError as error:
        return f"not importable: {error}"
    except Exception as error:  # a library that does not load, a compiler that fails: the next kernel is taken
        return BROKEN + first_line(error)


def available_kernels() -> dict[str, str]:
    """Every kernel's name with "" if it can run on this machine, otherwise the reason why not."""
    return {name: unusable_reason(name) for name in KERNELS}


def _refusal(name: str, device: torch.device, dtype: torch.dtype) -> str:
    """Why `name` cannot compute inputs of `dtype` on `device`; "" if it can."""
    kernel = KERNELS[name]
    if reason := refused_device(kernel.devices, device):
        return reason
    if dtype == torch.float64 and not kernel.float64:
        return "computes in float32 and refuses float64 inputs"
    return unusable_reason(name)


def chosen_kernel(device: torch.device | str, kernel: str = "auto", dtype: torch.dtype = torch.float32) -> str:
    """The name of the kernel that a scan of `dtype` inputs on `device` runs on.

    `kernel` other than "auto" forces one; with "auto" the environment variable SMDIM_BENCH_SCAN_KERNEL may. Otherwise
    the first usable of `AUTOMATIC[device type]`, and `torch` last. Kernels agree within float32 rounding, not bit for
    bit: note the choice beside a result that must be reproduced exactly.

    Raises ScanKernelError for a forced kernel that is unknown or cannot run, with the reason.
    """
    device = torch.device(device)
    candidates = AUTOMATIC.get(device.type, ())
    return choose(
        "scan",
        KERNELS,
        candidates,
        "torch",
        lambda name: _refusal(name, device, dtype),
        kernel=kernel,
        error=ScanKernelError,
    )
