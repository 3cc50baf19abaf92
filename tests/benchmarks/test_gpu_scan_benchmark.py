"""The selective scan on a GPU: Triton against mamba-ssm's compiled scan and plain torch, and the distance to the floor.

B 8, N 16, with D, z, bias and softplus as a Mamba layer calls it; forward and backward; all kernels take turns. Floor:
arguments and results moved once, over the bandwidth of a large copy. Extra memory: peak of torch's allocator over what
was held before, results included. Nothing here fails because a machine is slow.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from functools import cache, partial

import pytest
import torch

from architectures.scan import available_kernels, selective_scan
from metrics.cost.latency import time_calls
from metrics.cost.roofline import measure_ceilings

pytestmark = pytest.mark.gpu
BATCH, STATE, ROUNDS = 8, 16, 7
LENGTHS = (256, 512, 1024, 2048, 4096, 8192, 16384)
SLOW_TO = 4096
"""Longest sequence that the plain torch scan is asked for: it launches several kernels a step."""
KERNELS = ("triton", "mamba_ssm", "torch")
TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
COLUMNS = ("L", "kernel", "median [ms]", "x torch", "x mamba_ssm", "extra [MiB]", "floor [ms]", "times the floor")
AIMS = "aims: Triton at least as fast as mamba_ssm up to L 2048, within 1.3x beyond; 10x torch, a third of its memory"


def arguments(channels: int, length: int, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """Steps and decays as a Mamba layer has them at the start of training."""
    generator = torch.Generator("cuda").manual_seed(0)

    def normal(*shape: int, dtype: torch.dtype = dtype) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, device="cuda").to(dtype).requires_grad_()

    decay = -torch.arange(1.0, STATE + 1, device="cuda").repeat(channels, 1)
    return {
        "u": normal(BATCH, channels, length), "delta": normal(BATCH, channels, length), "A": decay.requires_grad_(),
        "B": normal(BATCH, STATE, length), "C": normal(BATCH, STATE, length),
        "D": normal(channels, dtype=torch.float32), "z": normal(BATCH, channels, length),
        "delta_bias": normal(channels, dtype=torch.float32),
    }  # fmt: skip


def forward_and_backward(kernel: str, given: dict[str, torch.Tensor], gradient: torch.Tensor) -> None:
    y = selective_scan(**given, delta_softplus=True, kernel=kernel)  # type: ignore[arg-type]
    torch.autograd.grad(y, list(given.values()), gradient)


def extra_mib(call: Callable[[], None]) -> float:
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    call()
    torch.cuda.synchronize()
    return (torch.cuda.max_memory_allocated() - before) / 2**20


@cache
def bandwidth_bytes_per_s() -> float:
    return measure_ceilings("cuda").bytes_per_s


def floor_bytes(given: dict[str, torch.Tensor]) -> int:
    """Forward: arguments in, y out. Backward: arguments and the gradient of y in, a gradient of each argument out."""
    arguments_bytes = sum(tensor.nbytes for tensor in given.values())
    return 3 * arguments_bytes + 2 * given["u"].nbytes


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("channels", [1024, 2048])
def test_forward_and_backward(benchmark, channels: int, dtype: str) -> None:
    reasons = available_kernels()
    usable = [name for name in KERNELS if not reasons[name]]
    print(f"\n## {torch.cuda.get_device_name()}, d_model {channels // 2}, N {STATE}, batch {BATCH}, {dtype} ({AIMS})\n")
    print("".join(f"{name} is left out: {reasons[name]}\n" for name in KERNELS if reasons[name]))
    print(f"| {' | '.join(COLUMNS)} |\n|{' --- |' * len(COLUMNS)}")
    for length in LENGTHS:
        given = arguments(channels, length, TYPES[dtype])
        gradient = torch.randn_like(given["u"])
        names = [name for name in usable if name != "torch" or length <= SLOW_TO]
        calls = {name: partial(forward_and_backward, name, given, gradient) for name in names}
        memory = {name: extra_mib(call) for name, call in calls.items()}  # compiles as well
        memory = {name: extra_mib(call) for name, call in calls.items()}
        samples_s: dict[str, list[float]] = {name: [] for name in calls}
        for _ in range(ROUNDS):
            for name, call in calls.items():
                samples_s[name] += time_calls(call, 1 if name == "torch" else 5, device="cuda").samples_s
        floor_ms = 1e3 * floor_bytes(given) / bandwidth_bytes_per_s()
        found = {name: 1e3 * statistics.median(one) for name, one in samples_s.items()}
        for name, median_ms in found.items():
            ratios = [f"{found[peer] / median_ms:.2f}" if peer in found else "n/a" for peer in ("torch", "mamba_ssm")]
            distance = [f"{floor_ms:.3f}", f"{median_ms / floor_ms:.1f}"]
            figures = [f"{median_ms:.3f}", *ratios, f"{memory[name]:.0f}", *distance]
            print(f"| {length} | {name} | {' | '.join(figures)} |")
            benchmark.extra_info[f"{name} L {length} [ms]"] = round(median_ms, 4)
    benchmark.pedantic(calls[names[0]], rounds=3)
