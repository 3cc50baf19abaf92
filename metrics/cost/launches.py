"""Kernels that one call launches, and times it waits for the device: counted in a profile on CUDA; on any device the
operators that compute or copy, of which a GPU runs a kernel each or more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from metrics.cost.kernels import OperatorWatch, packet_name

TRANSFERS = ("Memcpy", "Memset")
"""How the names of a device's events begin that are no kernels."""
WAITS = ("cudaDeviceSynchronize", "cudaStreamSynchronize", "cudaEventSynchronize")
"""Calls of the CUDA runtime that return when the device is done."""
NO_KERNEL = (
    "aten::empty",
    "aten::new_empty",
    "aten::_unsafe_view",
    "aten::_reshape_alias",
    "aten::lift_fresh",
    "aten::_local_scalar_dense",
)
"""How the names of operators begin that make or name memory without writing to it, or read one value, beside views."""


@dataclass(frozen=True)
class Launches:
    """Kernels, copies and fills of a call, and how often the host waited for the device in it."""

    kernels: int
    transfers: int
    waits: int


def count_launches(call: Callable[[], Any]) -> Launches:
    """Profile one call on CUDA, after an untimed one, and count. Raises ValueError where torch sees no CUDA device, or
    the profiler sees no kernel."""
    if not torch.cuda.is_available():
        raise ValueError("no CUDA device, whose kernels the profiler would count")
    call()
    torch.cuda.synchronize()
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA], acc_events=True) as profiler:
        call()
    found = launches_of(profiler.events())
    if not found.kernels:
        raise ValueError("the profiler saw no kernel: it may not read the device's events here")
    return found


def launches_of(events: Iterable[Any]) -> Launches:
    """The launches and waits among a profiler's events; named ranges that it repeats on the device are none."""
    kernels = transfers = waits = 0
    for event in events:
        if event.device_type == DeviceType.CUDA and not getattr(event, "is_user_annotation", False):
            moved = event.name.startswith(TRANSFERS)
            kernels, transfers = kernels + (not moved), transfers + moved
        elif event.name in WAITS:
            waits += 1
    return Launches(kernels, transfers, waits - 1 if waits else 0)  # the profiler itself waits once at its end


def count_operators(call: Callable[[], Any]) -> Counter[str]:
    """Operator ("mm", "selective_scan") -> how often a call, after an uncounted one, runs it, of those that compute or
    copy: neither views nor memory that is not written to. On CUDA each is a kernel or more."""
    found: Counter[str] = Counter()

    def seen(packet: Any, args: Any, options: Any, result: Any) -> None:
        name = packet_name(packet)
        if not name.startswith(NO_KERNEL) and not _is_view(packet):
            found[name.partition("::")[2]] += 1

    call()  # what happens once, as casts of weights that are kept, is no part of the others
    with OperatorWatch(seen):
        call()
    return found


def _is_view(packet: Any) -> bool:
    """Whether an operator returns its argument's memory and writes nothing."""
    overload = getattr(packet, packet.overloads()[0]) if hasattr(packet, "overloads") else packet
    schema = getattr(overload, "_schema", None)
    results = schema.returns if schema is not None else ()
    return any(one.alias_info is not None and not one.alias_info.is_write for one in results)
