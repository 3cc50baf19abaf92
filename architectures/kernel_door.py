"""How an operator with several kernels gets one: what was asked for, what can run here, and what truly ran.

One setting an operator, `SMDIM_BENCH_<OPERATOR>_KERNEL` in the environment, so that a child process inherits it; "auto"
or nothing lets the operator's door choose. A kernel that was asked for and cannot run raises; one that would only have
been chosen is passed over.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TypeVar

import torch

Function = TypeVar("Function", bound=Callable[..., object])
BROKEN = "installed but broken: "
"""How the reason begins for a kernel that is there and fails, unlike one that is absent."""

_listeners: list[dict[str, dict[str, None]]] = []
_countable: list[bool] = []


class KernelError(ValueError):
    """A kernel that was asked for by name does not exist, cannot run here, or cannot do what is asked of it."""


@dataclass(frozen=True)
class Kernel:
    """One kernel of an operator."""

    devices: tuple[str, ...] = ()
    """Device types it runs on; empty: every one."""
    cuda_types: tuple[torch.dtype, ...] = ()
    """Input types it computes on CUDA; empty: all."""
    reason: Callable[[], str] = lambda: ""
    """Why it cannot run on this machine, "" if it can; asked only where the device is one of its own."""


HALF = (torch.float16, torch.bfloat16)


class KernelDoor:
    """Chooses among the kernels of one operator. `automatic` names, by device type, what is tried in which order;
    `last` runs everywhere."""

    def __init__(
        self, operator: str, kernels: Mapping[str, Kernel], automatic: Mapping[str, tuple[str, ...]], last: str
    ) -> None:
        self.operator, self.kernels, self.automatic, self.last = operator, dict(kernels), dict(automatic), last
        self.unusable_reason = cache(self._unusable_reason)

    def _unusable_reason(self, name: str) -> str:
        """Why a kernel cannot run on this machine; "" if it can. It is tried once, on a tiny input."""
        return self.kernels[name].reason()

    def refusal(self, name: str, device: torch.device, dtype: torch.dtype | None = None) -> str:
        """Why `name` cannot compute inputs of `dtype` (None: of some type) on `device`; "" if it can."""
        kernel = self.kernels[name]
        if reason := refused_device(kernel.devices, device):
            return reason
        if device.type == "cuda" and dtype is not None and kernel.cuda_types and dtype not in kernel.cuda_types:
            wanted = " or ".join(str(one).removeprefix("torch.") for one in kernel.cuda_types)
            return f"computes {wanted}, not {str(dtype).removeprefix('torch.')}"
        return self.unusable_reason(name)

    def chosen(
        self, device: torch.device | str, dtype: torch.dtype | None = None, unfit: Callable[[str], str] | None = None
    ) -> str:
        """The kernel for inputs of `dtype` on `device`; `unfit(name)` adds what a call's sizes rule out, as words.

        Raises KernelError for a kernel that was asked for and cannot run, with the reason.
        """
        device = torch.device(device)

        def against(name: str) -> str:
            return self.refusal(name, device, dtype) or (unfit(name) if unfit else "")

        candidates = () if _countable else self.automatic.get(device.type, ())
        name = choose(self.operator, self.kernels, candidates, self.last, against)
        return self.last if _countable else name


def choose(
    operator: str,
    kernels: Collection[str],
    candidates: Iterable[str],
    last: str,
    against: Callable[[str], str],
    *,
    kernel: str = "auto",
    error: type[KernelError] = KernelError,
) -> str:
    """The kernel that is asked for, by `kernel` or else by the environment; else the first of `candidates` that nothing
    speaks `against`, else `last`. Raises `error` for one that is asked for and unknown or spoken against.
    """
    setting = f"kernel={kernel!r}"
    if kernel == "auto":
        kernel = asked_for(operator)
        setting = f"{variable(operator)}={kernel}"
    if kernel == "auto":
        return next((name for name in candidates if not against(name)), last)
    if kernel not in kernels:
        raise error(f"{setting}: no such {operator} kernel; choose auto, {', '.join(kernels)}")
    if reason := against(kernel):
        raise error(f"{setting}: {kernel} cannot run: {reason}")
    return kernel


def refused_device(devices: Collection[str], device: torch.device) -> str:
    """Why a kernel made for these device types (none: every one) cannot run on `device`; "" if it can."""
    return (
        "" if not devices or device.type in devices else f"runs on {' and '.join(devices)} only, not on {device.type}"
    )


def variable(operator: str) -> str:
    """Name of the environment variable that forces a kernel."""
    return f"SMDIM_BENCH_{operator.upper()}_KERNEL"


def asked_for(operator: str) -> str:
    """The kernel that was asked for; "auto" if none was."""
    return os.environ.get(variable(operator), "").strip() or "auto"


def note(operator: str, name: str) -> None:
    """Tell whoever listens (`kernels_that_ran`) that a kernel has run."""
    for heard in _listeners:
        heard.setdefault(operator, {})[name] = None


@contextmanager
def kernels_that_ran() -> Iterator[dict[str, dict[str, None]]]:
    """Operator -> names of the kernels that run inside the block, in the order of their first call."""
    heard: dict[str, dict[str, None]] = {}
    _listeners.append(heard)
    try:
        yield heard
    finally:
        _listeners.remove(heard)


@contextmanager
def countable() -> Iterator[None]:
    """A block in which kernels of other packages stand back for plain torch operations: counters of FLOPs and bytes
    see those only."""
    _countable.append(True)
    try:
        yield
    finally:
        _countable.pop()


def counting() -> bool:
    """Whether a `countable` block is open."""
    return bool(_countable)


def first_line(problem: BaseException) -> str:
    """Type and first line of an error."""
    return f"{type(problem).__name__}: {(str(problem).splitlines() or [''])[0]}".removesuffix(": ")


def constant_when_compiled(function: Function) -> Function:
    """As `torch.compiler.assume_constant_result`, which would import the compiler, in a second, to set this mark."""
    function._dynamo_marked_constant = True  # type: ignore[attr-defined]
    return function
