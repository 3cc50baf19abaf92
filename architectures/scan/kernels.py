"""The kernels of the selective scan, their modules imported when they are first needed."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib import import_module
from typing import Protocol, cast

import torch
from torch import Tensor

from architectures.kernel_choice import Kernel, KernelDispatcher
from architectures.package_kernels import BUILDS
from architectures.scan.inputs import ScanGradients, ScanInputs


class KernelModule(Protocol):
    """What the module of a kernel offers. Inputs are checked, non-empty and on one device.

    It may also have unusable_reason(), which runs the kernel on a tiny input (see `Kernel.probe`), and
    differentiable(inputs), which computes y with a backward pass of its own.
    """

    def forward(self, inputs: ScanInputs) -> Tensor: ...

    def backward(self, inputs: ScanInputs, grad_BDL: Tensor) -> ScanGradients: ...


@dataclass(frozen=True)
class ScanKernel(Kernel):
    """A kernel of the scan, in a module of this package."""

    float64: bool = False
    module: str = ""
    differentiable_twice: bool = False

    def load(self) -> KernelModule:
        """Its module, imported now if it was not."""
        return cast(KernelModule, import_module(f"architectures.scan.{self.module}"))

    def unusable_reason(self) -> str:
        """Why it cannot run on this machine, found by importing and where needed by trying it; "" if it can."""
        return getattr(self.load(), "unusable_reason", self.probe)()


INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
"""Whether Triton's interpreter runs its kernel, on tensors of any device and very slowly, for tests."""

KERNELS: dict[str, ScanKernel] = {
    "reference": ScanKernel(module="reference", float64=True, differentiable_twice=True),
    "torch": ScanKernel(module="chunked", float64=True, differentiable_twice=True),
    "numba": ScanKernel(("cpu",), automatic_on=("cpu",), module="numba_kernel", advice="pip install numba"),
    "mamba_ssm": ScanKernel(("cuda",), automatic_on=("cuda",), module="mamba_ssm_kernel", build=BUILDS["mamba_ssm"]),
    "triton": ScanKernel(
        ("cuda", "cpu") if INTERPRETED else ("cuda",),
        automatic_on=("cuda",),
        module="triton_kernel",
        advice="comes with torch for CUDA; after another torch was installed: pip install triton",
    ),
}
"""Every kernel by name. A new one is a module with the functions of `KernelModule` and an entry here."""

SCAN = KernelDispatcher(
    "scan",
    KERNELS,
    opaque=True,
    removed={"c": "the scan kernel c was removed; choose numba, which is as fast and needs no compiler, or auto"},
)


def available_kernels() -> dict[str, str]:
    """Every kernel's name with "" if it can run on this machine, otherwise the reason why not."""
    return {name: SCAN.unusable_reason(name) for name in KERNELS}


def chosen_kernel(device: torch.device | str, kernel: str = "auto", dtype: torch.dtype = torch.float32) -> str:
    """The name of the kernel that a scan of `dtype` inputs on `device` runs on.

    `kernel` other than "auto" forces one; with "auto" the environment variable SMDIM_BENCH_SCAN_KERNEL may. Kernels
    agree within float32 rounding, not bit for bit: note the choice beside a result that must be reproduced exactly.

    Raises KernelError for a forced kernel that is unknown or cannot run, with the reason.
    """
    return SCAN.choose(device, dtype, kernel=kernel)
