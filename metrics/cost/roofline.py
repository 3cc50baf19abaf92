"""Roofline: the machine's ceilings of compute and of memory traffic, its speed at the moment, and the traffic of a
call."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from statistics import median
from typing import Any

import torch
from torch.utils._pytree import tree_leaves

from metrics.cost.kernels import OperatorWatch, does_arithmetic, packet_name
from metrics.cost.latency import time_calls

PRODUCT_SIZE = {"cpu": 2048, "cuda": 8192}
COPY_BYTES = {"cpu": 2**28, "cuda": 2**31}
"""Far over any cache, so that a copy runs at the speed of the memory."""
PROBE_SIZE, PROBE_WARMUP, PROBE_CALLS = 512, 3, 10


@dataclass(frozen=True)
class Ceilings:
    """The best this device reached: operations per second of a large product, bytes per second of a large copy."""

    flops_per_s: float
    bytes_per_s: float
    dtype: str
    threads: int


def measure_ceilings(
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    *,
    product_size: int | None = None,
    copy_bytes: int | None = None,
    calls: int = 5,
) -> Ceilings:
    """Time a large square product and a large copy, each `calls` times, and take the fastest: a ceiling, not a mean.

    With the present number of threads. A copy reads and writes, so it counts both ways. Takes about a second.
    """
    kind = torch.device(device)
    size = product_size or PRODUCT_SIZE.get(kind.type, PRODUCT_SIZE["cpu"])
    left = torch.randn(size, size, device=kind, dtype=dtype)
    right, product = torch.randn_like(left), torch.empty_like(left)
    product_s = min(time_calls(lambda: torch.mm(left, right, out=product), calls, device=kind).samples_s)
    source = torch.ones((copy_bytes or COPY_BYTES.get(kind.type, COPY_BYTES["cpu"])) // 4, device=kind)
    target = torch.empty_like(source)
    copy_s = min(time_calls(lambda: target.copy_(source), calls, device=kind).samples_s)
    moved = 2 * source.numel() * source.element_size()
    return Ceilings(2 * size**3 / product_s, moved / copy_s, str(dtype).removeprefix("torch."), torch.get_num_threads())


def probe_product_s() -> float:
    """Seconds of a small float32 product on the CPU with the present number of threads: the median of ten.

    Three before them wake the threads. It shows how fast the machine is at this moment, which on a shared virtual
    machine changes by a factor of 1.3 to 1.7 for seconds at a time: neighbours use the sibling hardware threads, and no
    steal time shows that.
    """
    left, right, product = _probe_matrices()
    taken_s = []
    for _ in range(PROBE_WARMUP + PROBE_CALLS):
        start_s = time.perf_counter()
        torch.mm(left, right, out=product)
        taken_s.append(time.perf_counter() - start_s)
    return median(taken_s[PROBE_WARMUP:])


@cache
def _probe_matrices() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Two factors and the place of their product; no random numbers, whose state belongs to what is measured."""
    entries = torch.linspace(-1, 1, PROBE_SIZE**2, dtype=torch.float32, device="cpu").view(PROBE_SIZE, PROBE_SIZE)
    return entries, entries.flip(0), torch.empty_like(entries)


def traffic_bytes(call: Callable[[], Any]) -> int:
    """Bytes that the operators of `call` read and write when each fetches its inputs and stores its outputs once.

    What a cache keeps from one operator to the next is not taken off, so it is an upper bound for the memory bus, and a
    share of bandwidth over 1 means that caches helped. Works on the meta device.
    """
    moved = 0

    def add(packet: Any, args: Any, kwargs: Any, result: Any) -> None:
        nonlocal moved
        name = packet_name(packet)
        if does_arithmetic(name) or name in {"aten::copy_", "aten::clone", "aten::_to_copy", "aten::cat"}:
            tensors = [leaf for leaf in tree_leaves((args, kwargs, result)) if isinstance(leaf, torch.Tensor)]
            moved += sum(tensor.numel() * tensor.element_size() for tensor in tensors)

    with torch.no_grad(), OperatorWatch(add):
        call()
    return moved
