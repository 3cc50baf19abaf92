"""Roofline: the machine's ceilings of compute and of memory traffic, and the traffic of a call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._pytree import tree_leaves

from metrics.cost.kernels import OperatorWatch, does_arithmetic, packet_name
from metrics.cost.latency import time_calls

PRODUCT_SIZE = {"cpu": 2048, "cuda": 8192}
COPY_BYTES = {"cpu": 2**28, "cuda": 2**31}
"""Far over any cache, so that a copy runs at the speed of the memory."""


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
