"""Survey of what this machine can measure: the device, the kernels that work (each is tried), and what is missing."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn import functional
from torch.nn.attention import sdpa_kernel

from bench.errors import first_line
from metrics.cost.device import bfloat16_warning, busy_warning, describe_environment, driver_version, resolve_device
from metrics.cost.energy import energy_counter
from metrics.cost.memory import CLEAR_REFS, peak_memory
from metrics.cost.nvml import Gpu

if TYPE_CHECKING:
    from architectures.kernel_choice import Kernel

REBUILD = " --force-reinstall --no-deps --no-cache-dir"
AGREEMENT = 1e-3
"""Largest relative error of a working kernel against the float64 reference, values and gradients."""
ENERGY_ADVICE = {
    "cpu": "energy rows stay n/a; on real Linux hardware let the user read /sys/class/powercap/intel-rapl:0/energy_uj",
    "cuda": "energy rows stay n/a",
}
LOAD_S = 0.5
LOCK = "lock it to time: nvidia-smi --lock-gpu-clocks=MHZ,MHZ as administrator (--reset-gpu-clocks undoes it)"
TORCH_FOR_CUDA = "install the torch build for its CUDA (pytorch.org, 'Get started')"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. `state` is "works", "missing" or "fails"; `advice` says what to do, if anything."""

    subject: str
    state: str
    detail: str
    advice: str = ""


def examine_gpu(device: torch.device) -> Iterator[Finding]:
    """Whether torch can use the GPU, and if not, whether there is one."""
    if torch.cuda.is_available():
        if device.type == "cuda":
            yield _architecture(torch.cuda.get_device_capability(device), torch.cuda.get_arch_list())
        return
    driver = driver_version()
    if not driver:
        yield Finding("GPU", "missing", "no CUDA device", f"on a machine with one, {TORCH_FOR_CUDA}")
    elif torch.version.cuda is None:
        detail = f"an NVIDIA driver ({driver}) is here, but this torch is built without CUDA"
        yield Finding("GPU", "missing", detail, TORCH_FOR_CUDA)
    elif os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        yield Finding("GPU", "missing", f"driver {driver} is here; CUDA_VISIBLE_DEVICES hides every device", "unset it")
    else:
        detail = f"an NVIDIA driver ({driver}) is here, but torch for CUDA {torch.version.cuda} cannot use it"
        advice = "update the driver, or install a torch built for an older CUDA"
        yield Finding("GPU", "fails", f"{detail}: {_refusal_of_cuda()}", advice)


def _architecture(capability: tuple[int, int], built_for: list[str]) -> Finding:
    """Whether torch has code for the device: machine code of its generation, or PTX of it or an older one."""
    major, minor = capability
    found = [re.fullmatch(r"(sm|compute)_(\d+)(\d)[af]?", name) for name in built_for]
    known = [(one[1], int(one[2]), int(one[3])) for one in found if one]
    runs = any(
        (big == major and small <= minor) if kind == "sm" else (big, small) <= capability for kind, big, small in known
    )
    detail = f"sm_{major}{minor}; torch is built for {', '.join(built_for)}"
    advice = "" if runs else "install a torch build that names this architecture"
    return Finding("GPU architecture", "works" if runs else "fails", detail, advice)


def _refusal_of_cuda() -> str:
    """Torch's own words for why it cannot use CUDA."""
    try:
        torch.cuda.init()
    except Exception as problem:
        return first_line(problem)
    return "it sees no device"


def examine_kernels(device: torch.device) -> Iterator[Finding]:
    """The kernels of every operator, each tried on a small input."""
    from architectures.attention_kernels import BACKENDS
    from architectures.kernels import OPERATORS, chosen_kernels

    chosen = chosen_kernels(device, dtype=torch.bfloat16)
    for operator, dispatcher in OPERATORS.items():
        for name, kernel in dispatcher.kernels.items():
            subject = f"{operator} kernel {name}" + (" (chosen)" if chosen.get(operator) == name else "")
            if device.type == "cuda" and kernel.devices == ("cpu",):
                continue
            if operator == "attention" and name in BACKENDS:
                if device.type == "cuda" or not dispatcher.refusal(name, device):
                    yield _attention(subject, name, device)
            elif reason := dispatcher.unusable_reason(name):
                yield _unusable(subject, kernel, reason)
            elif operator == "scan":
                yield _scan(subject, name, device, chosen[operator])
            elif name != dispatcher.fallback:
                yield Finding(subject, "works", "agrees with plain torch in a tiny run, gradients too")


def _unusable(subject: str, kernel: Kernel, reason: str) -> Finding:
    """A kernel that is missing or broken, and how its package is built or installed."""
    from architectures.kernel_choice import BROKEN

    if reason.startswith(BROKEN):
        return Finding(subject, "fails", reason, kernel.build + REBUILD if kernel.build else kernel.advice)
    return Finding(subject, "missing", reason, f"on the GPU machine: {kernel.build}" if kernel.build else kernel.advice)


def _attention(subject: str, name: str, device: torch.device) -> Finding:
    from architectures.attention_kernels import BACKENDS

    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    query = torch.randn(1, 4, 64, 32, device=device, dtype=dtype, requires_grad=True)
    try:
        with sdpa_kernel(BACKENDS[name]):
            functional.scaled_dot_product_attention(query, query, query).sum().backward()
    except Exception as problem:  # whatever a driver or a build can do
        words = first_line(problem)
        if "No available kernel" in words:
            return Finding(subject, "missing", f"torch has none for {dtype} on this device")
        return Finding(subject, "fails", words)
    return Finding(subject, "works", "")


def examine(device: str = "auto") -> Iterator[Finding]:
    """Look at the machine and try every kernel once on a small input, a finding as soon as it is known. Raises
    ValueError for a device not there."""
    place = resolve_device(device)
    yield from _machine(place)
    yield from examine_kernels(place)
    yield from _instruments(place)


def _machine(device: torch.device) -> Iterator[Finding]:
    found = describe_environment(device)
    memory_bytes = found["gpu"]["memory_bytes"] if device.type == "cuda" else found["memory_bytes"]
    memory = f", {memory_bytes / 2**30:.0f} GiB" if memory_bytes else ""
    yield Finding("device", "works", f"{found['device']}{memory}, {found['threads']} threads")
    yield Finding("libraries", "works", ", ".join(f"{name} {version}" for name, version in found["libraries"].items()))
    yield from examine_gpu(device)
    if slow := bfloat16_warning(device):
        yield Finding("bfloat16", "missing", slow, "leave train.precision, sample.precision at float32")
    warning = busy_warning(device)
    if warning:
        yield Finding("quiet", "fails", warning, "time on an idle machine, or expect wide intervals")
    if found["governor"] not in (None, "performance"):
        yield Finding("clock", "fails", f"governor {found['governor']}", "set the governor to performance to time")
    if device.type == "cuda":
        yield examine_clock(device)


def examine_clock(device: torch.device, load: Callable[[torch.device], None] | None = None) -> Finding:
    """Whether the SM clock moves with the load: that it is locked NVML shows in no other way. `load` keeps the device
    busy when it returns; by default matrix products."""
    try:
        gpu = Gpu(device)
        idle_mhz = gpu.sm_clock_mhz()
        (load or _load)(device)
        busy_mhz, highest_mhz, throttled = gpu.sm_clock_mhz(), gpu.highest_sm_clock_mhz(), gpu.throttled()
    except OSError as problem:
        return Finding("clock", "missing", str(problem), "timings stand without clocks, and throttling is not noticed")
    words = f"SM clock {idle_mhz:.0f} MHz idle, {busy_mhz:.0f} MHz under load"
    words += f", throttled by {' and '.join(throttled)}" if throttled else ""
    if idle_mhz != busy_mhz:
        return Finding("clock", "fails", f"{words}: not locked", LOCK)
    if busy_mhz == highest_mhz:
        return Finding("clock", "works", f"{words}, its highest: locked there, or not at all")
    return Finding("clock", "works", f"{words}: locked")


def _load(device: torch.device) -> None:
    """Matrix products for half a second, and some that still run."""
    x = torch.randn(4096, 4096, device=device)
    began = time.perf_counter()
    while time.perf_counter() - began < LOAD_S:
        _ = x @ x
        torch.cuda.synchronize(device)
    for _ in range(10):
        _ = x @ x


def _scan(subject: str, name: str, device: torch.device, chosen: str) -> Finding:
    """A kernel of the scan against the reference."""
    expected = _try_scan("reference", device)
    began = time.perf_counter()
    try:
        results = _try_scan(name, device)
    except Exception as problem:
        other = chosen if chosen != name else "torch"
        return Finding(subject, "fails", first_line(problem), f"force another: SMDIM_BENCH_SCAN_KERNEL={other}")
    error = max(float((a - b).abs().max() / b.abs().max()) for a, b in zip(results, expected, strict=True))
    detail = f"error {error:.0e} against the reference, first call {time.perf_counter() - began:.2f} s"
    return Finding(subject, "works" if error <= AGREEMENT else "fails", detail)


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
    """What the measurements need beside the device: memory and energy counters, a compiler."""
    peak = peak_memory(lambda: torch.ones(1, device=device), device=device)
    if peak.reason:
        yield Finding("peak memory", "missing", peak.reason, f"measured on Linux through {CLEAR_REFS}, and on CUDA")
    else:
        yield Finding("peak memory", "works", peak.kind)
    try:
        yield Finding("energy", "works", energy_counter(device).source)
    except OSError as problem:
        yield Finding("energy", "missing", str(problem), ENERGY_ADVICE[device.type])
    compiler = next((name for name in ("g++", "clang++", "c++") if shutil.which(name)), "")
    advice = "" if compiler else "only torch.compile needs one"
    yield Finding("C++ compiler", "works" if compiler else "missing", compiler or "none found", advice)
