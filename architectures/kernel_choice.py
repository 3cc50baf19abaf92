"""The kernel of an operator: what was asked for, what can run here, and a record of what ran.

One setting per operator, `SMDIM_BENCH_<OPERATOR>_KERNEL` in the environment, so that a child process inherits it;
"auto" or nothing leaves the choice to the operator's dispatcher. A kernel that was asked for and cannot run raises; one
that was only a candidate is passed over.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TypeVar

import torch

from architectures.errors import first_line

Unfit = Callable[[str], str]
"""Kernel -> what rules it out for the sizes of a call, in words; "" if nothing does."""
Function = TypeVar("Function", bound=Callable[..., object])
BROKEN = "installed but broken: "
"""How the reason begins for a kernel that is installed and fails, unlike one that is absent."""
HALF = (torch.float16, torch.bfloat16)

_records: list[dict[str, dict[str, None]]] = []
_counting: list[bool] = []


class KernelError(ValueError):
    """A kernel that was asked for by name does not exist, cannot run here, or cannot do what is asked of it."""


@dataclass(frozen=True)
class Kernel:
    """One kernel of an operator, with the facts by which it is chosen and `doctor` advises."""

    devices: tuple[str, ...] = ()
    """Device types it runs on; empty: every one."""
    cuda_types: tuple[torch.dtype, ...] = ()
    """Input types it computes on CUDA; empty: all."""
    float64: bool = True
    """Whether it computes float64 inputs in float64; one that does not refuses them."""
    automatic_on: tuple[str, ...] = ()
    """Device types on which it is tried where no kernel was asked for, in the order of its operator's table."""
    automatic_types: tuple[torch.dtype, ...] = ()
    """Input types for which it is tried where it was not asked for; empty: all that it computes."""
    probe: Callable[[], str] = lambda: ""
    """Runs it on a tiny input: why it cannot run on this machine, "" if it can. Called on a device of its own only."""
    build: str = ""
    """Command that builds its package from source, on a machine with nvcc; "" where there is none."""
    advice: str = ""
    """What to do where it is missing and there is nothing to build."""

    def unusable_reason(self) -> str:
        """Why it cannot run on this machine; "" if it can."""
        return self.probe()


class KernelDispatcher:
    """Chooses among the kernels of one operator, a table by name; the kernel `torch` runs everywhere.

    opaque: whether counters of FLOPs and bytes have a formula for the operator as a whole, so that any of its kernels
    may run while they count. removed: kernels of earlier versions, each with the message of the error for it.
    """

    fallback = "torch"

    def __init__(
        self, operator: str, kernels: Mapping[str, Kernel], *, opaque: bool = False, removed: Mapping[str, str] = {}
    ) -> None:
        self.operator, self.kernels, self.opaque, self.removed = operator, kernels, opaque, removed
        self.automatic: dict[str, tuple[str, ...]] = {}
        for name, kernel in kernels.items():
            for device_type in kernel.automatic_on:
                self.automatic[device_type] = (*self.automatic.get(device_type, ()), name)
        self.unusable_reason = cache(self._unusable_reason)

    def _unusable_reason(self, name: str) -> str:
        """Why a kernel cannot run on this machine; "" if it can. It is imported and tried once, on a tiny input."""
        try:
            return self.kernels[name].unusable_reason()
        except ModuleNotFoundError as error:
            return f"not importable: {error}"
        except Exception as error:  # a library that does not load, a driver that cannot: the next kernel is taken
            return BROKEN + first_line(error)

    def refusal(
        self,
        name: str,
        device: torch.device,
        dtype: torch.dtype | None = None,
        unfit: Unfit | None = None,
    ) -> str:
        """Why `name` cannot compute inputs of `dtype` (None: of some type) on `device`; "" if it can."""
        kernel = self.kernels[name]
        if kernel.devices and device.type not in kernel.devices:
            return f"runs on {' and '.join(kernel.devices)} only, not on {device.type}"
        if dtype == torch.float64 and not kernel.float64:
            return "computes in float32 and refuses float64 inputs"
        if device.type == "cuda" and dtype is not None and kernel.cuda_types and dtype not in kernel.cuda_types:
            wanted = " or ".join(str(one).removeprefix("torch.") for one in kernel.cuda_types)
            return f"computes {wanted}, not {str(dtype).removeprefix('torch.')}"
        return (unfit(name) if unfit else "") or self.unusable_reason(name)

    def _suits(self, name: str, device: torch.device, dtype: torch.dtype | None, unfit: Unfit | None) -> bool:
        """Whether a candidate may run where no kernel was asked for."""
        types = self.kernels[name].automatic_types
        return (not types or dtype in types) and not self.refusal(name, device, dtype, unfit)

    def choose(
        self,
        device: torch.device | str,
        dtype: torch.dtype | None = None,
        unfit: Unfit | None = None,
        *,
        kernel: str = "auto",
        setting: str = "",
    ) -> str:
        """The kernel for inputs of `dtype` on `device`: the one asked for, by `kernel` or else by the environment; else
        the first candidate that nothing rules out, else `torch`. `setting` names in errors where `kernel` was given.

        Raises KernelError for a kernel that is asked for and is unknown or cannot run, with the reason.
        """
        device = torch.device(device)
        setting = setting or f"kernel={kernel!r}"
        if kernel == "auto":
            kernel = asked_for(self.operator)
            setting = f"{variable(self.operator)}={kernel}"
        if kernel == "auto":
            candidates = self.automatic.get(device.type, ())
            kernel = next((name for name in candidates if self._suits(name, device, dtype, unfit)), self.fallback)
        elif kernel in self.removed:
            raise KernelError(f"{setting}: {self.removed[kernel]}")
        elif kernel not in self.kernels:
            raise KernelError(f"{setting}: no such {self.operator} kernel; choose auto, {', '.join(self.kernels)}")
        elif reason := self.refusal(kernel, device, dtype, unfit):
            raise KernelError(f"{setting}: {kernel} cannot run: {reason}")
        return kernel if self.opaque or not counting() else self.fallback


def variable(operator: str) -> str:
    """Name of the environment variable that forces a kernel."""
    return f"SMDIM_BENCH_{operator.upper()}_KERNEL"


def asked_for(operator: str) -> str:
    """The kernel that the environment asks for; "auto" if none."""
    return os.environ.get(variable(operator), "").strip() or "auto"


def record(operator: str, name: str) -> None:
    """Add a kernel that runs to the records that are open."""
    for found in _records:
        found.setdefault(operator, {})[name] = None


@contextmanager
def recorded_kernels() -> Iterator[dict[str, dict[str, None]]]:
    """Operator -> names of the kernels that run inside the block, in the order of their first call."""
    found: dict[str, dict[str, None]] = {}
    _records.append(found)
    try:
        yield found
    finally:
        _records.remove(found)


@contextmanager
def countable() -> Iterator[None]:
    """A block in which operators run as plain torch operations, the only ones that are counted in FLOPs and bytes."""
    _counting.append(True)
    try:
        yield
    finally:
        _counting.pop()


def counting() -> bool:
    """Whether a `countable` block is open."""
    return bool(_counting)


def watched() -> bool:
    """Whether calls are compiled, traced, counted or otherwise seen operator by operator: what computes outside torch
    has to appear there as operators of torch."""
    return (
        torch.compiler.is_compiling()
        or torch.jit.is_tracing()
        or counting()
        or torch._C._len_torch_dispatch_stack() > 0
    )


def around_autograd() -> bool:
    """Whether a kernel may be called without torch's function around it: no gradient is asked for, and no profiler is
    on, which knows the kernel by that function."""
    return not torch.is_grad_enabled() and not torch.autograd._profiler_enabled()


def constant_when_compiled(function: Function) -> Function:
    """As `torch.compiler.assume_constant_result`, which would import the compiler, in a second, to set this mark."""
    function._dynamo_marked_constant = True  # type: ignore[attr-defined]
    return function
