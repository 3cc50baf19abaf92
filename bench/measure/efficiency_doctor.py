"""What this machine can measure: the device, the kernels that work (each is tried), and what is missing."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from dataclasses import replace

import torch

from bench.errors import first_line
from bench.measure.kernel_doctor import Finding, examine_gpu, examine_kernels, judged
from metrics.device import busy_warning, describe_environment, resolve_device
from metrics.energy import available_energy_source, energy_counter
from metrics.memory import CLEAR_REFS, peak_memory

AGREEMENT = 1e-3
"""Largest relative error of a working kernel against the float64 reference, values and gradients."""
SCAN_ADVICE = {
    "c": "install a C compiler (cc, gcc or clang); until then numba or torch computes the scan",
    "numba": "pip install numba",
    "triton": "comes with torch for CUDA; after another torch was installed: pip install triton",
}
ENERGY_ADVICE = {
    "cpu": "energy rows stay n/a; on real Linux hardware let the user read /sys/class/powercap/intel-rapl:0/energy_uj",
    "cuda": "energy rows stay n/a; install the driver's NVML library (libnvidia-ml.so.1)",
}


def examine(device: str = "auto") -> list[Finding]:
    """Look at the machine and try every kernel once on a small input. Raises ValueError for a device not there."""
    place = resolve_device(device)
    return [*_machine(place), *_scan_kernels(place), *examine_kernels(place), *_instruments(place)]


def _machine(device: torch.device) -> Iterator[Finding]:
    told = describe_environment(device)
    memory = f", {told['memory_bytes'] / 2**30:.0f} GiB" if told["memory_bytes"] else ""
    yield Finding("device", "works", f"{told['device']}{memory}, {told['threads']} threads")
    yield Finding("libraries", "works", ", ".join(f"{name} {version}" for name, version in told["libraries"].items()))
    yield from examine_gpu(device)
    warning = busy_warning(device)
    if warning:
        yield Finding("quiet", "fails", warning, "time on an idle machine, or expect wide intervals")
    if told["governor"] not in (None, "performance"):
        yield Finding("clock", "fails", f"governor {told['governor']}", "set the governor to performance to time")


def _scan_kernels(device: torch.device) -> Iterator[Finding]:
    from architectures.scan import available_kernels, chosen_kernel

    chosen = chosen_kernel(device)
    expected = _try_scan("reference", device)
    for name, reason in available_kernels().items():
        subject = f"scan kernel {name}" + (" (chosen)" if name == chosen else "")
        if reason:
            found = judged(subject, name, reason)
            yield replace(found, advice=found.advice or SCAN_ADVICE.get(name, ""))
            continue
        began = time.perf_counter()
        try:
            results = _try_scan(name, device)
        except Exception as problem:
            yield Finding(subject, "fails", first_line(problem), f"force another: SMDIM_BENCH_SCAN_KERNEL={chosen}")
            continue
        error = max(float((a - b).abs().max() / b.abs().max()) for a, b in zip(results, expected, strict=True))
        detail = f"error {error:.0e} against the reference, first call {time.perf_counter() - began:.2f} s"
        yield Finding(subject, "works" if error <= AGREEMENT else "fails", detail)


def _try_scan(name: str, device: torch.device) -> list[torch.Tensor]:
    """Output and gradients of a small scan by one kernel."""
    from architectures.scan import selective_scan

    generator = torch.Generator().manual_seed(0)

    def random(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=generator).to(device).requires_grad_()

    u, delta, B, C = random(2, 8, 32), random(2, 8, 32), random(2, 4, 32), random(2, 4, 32)
    A = (-torch.rand(8, 4, generator=generator)).to(device).requires_grad_()
    y_BDL = selective_scan(u, delta, A, B, C, kernel=name)
    gradients = torch.autograd.grad(y_BDL.square().sum(), [u, delta, A, B, C])
    return [tensor.detach().double() for tensor in (y_BDL, *gradients)]


def _instruments(device: torch.device) -> Iterator[Finding]:
    """Memory, energy and compilation: what the measurements lean on."""
    peak = peak_memory(lambda: torch.ones(1, device=device), device=device)
    if peak.reason:
        yield Finding("peak memory", "missing", peak.reason, f"measured on Linux through {CLEAR_REFS}, and on CUDA")
    else:
        yield Finding("peak memory", "works", peak.kind)
    source = available_energy_source(device)
    if source:
        yield Finding("energy", "works", source)
    else:
        try:
            energy_counter(device)
        except OSError as problem:
            yield Finding("energy", "missing", str(problem), ENERGY_ADVICE[device.type])
    compiler = next((name for name in ("g++", "clang++", "c++") if shutil.which(name)), "")
    advice = "" if compiler else "only torch.compile needs one"
    yield Finding("C++ compiler", "works" if compiler else "missing", compiler or "none found", advice)
