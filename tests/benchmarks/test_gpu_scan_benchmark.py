"""The selective scan on a GPU: Triton against mamba-ssm's compiled scan and plain torch, and the distance to the floor.

B 8, N 16, with D, z, bias and softplus as a Mamba layer calls it; forward and backward; all kernels take turns. Floor:
arguments and results moved once, over the bandwidth of a large copy. Extra memory: peak of torch's allocator over what
was held before, results included. Nothing here fails because a machine is slow.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest
import torch
from scan_against_floor import calls_of, floor_bytes, medians_ms, scan_arguments

from architectures.scan import available_kernels
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


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("channels", [1024, 2048])
def test_forward_and_backward(benchmark, channels: int, dtype: str) -> None:
    reasons = available_kernels()
    usable = [name for name in KERNELS if not reasons[name]]
    print(f"\n## {torch.cuda.get_device_name()}, d_model {channels // 2}, N {STATE}, batch {BATCH}, {dtype} ({AIMS})\n")
    print("".join(f"{name} is left out: {reasons[name]}\n" for name in KERNELS if reasons[name]))
    print(f"| {' | '.join(COLUMNS)} |\n|{' --- |' * len(COLUMNS)}")
    for length in LENGTHS:
        given = scan_arguments(BATCH, channels, length, STATE, TYPES[dtype], "cuda")
        calls = calls_of([name for name in usable if name != "torch" or length <= SLOW_TO], given)
        memory = {name: extra_mib(call) for name, call in calls.items()}  # compiles as well
        memory = {name: extra_mib(call) for name, call in calls.items()}
        floor_ms = 1e3 * floor_bytes(given) / bandwidth_bytes_per_s()
        found = medians_ms(calls, ROUNDS, 5, "cuda")
        for name, median_ms in found.items():
            ratios = [f"{found[peer] / median_ms:.2f}" if peer in found else "n/a" for peer in ("torch", "mamba_ssm")]
            distance = [f"{floor_ms:.3f}", f"{median_ms / floor_ms:.1f}"]
            figures = [f"{median_ms:.3f}", *ratios, f"{memory[name]:.0f}", *distance]
            print(f"| {length} | {name} | {' | '.join(figures)} |")
            benchmark.extra_info[f"{name} L {length} [ms]"] = round(median_ms, 4)
    benchmark.pedantic(next(iter(calls.values())), rounds=3)
