"""What this machine can measure: the device, the kernels that work (each is tried), and what is missing."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch.nn import functional
from torch.nn.attention import sdpa_kernel

from bench.errors import first_line
from metrics.cost.device import busy_warning, describe_environment, resolve_device
from metrics.cost.energy import available_energy_source, energy_counter
from metrics.cost.memory import CLEAR_REFS, peak_memory

DRIVER_FILE = Path("/proc/driver/nvidia/version")
BUILDS = {
    "mamba_ssm": "MAMBA_FORCE_BUILD=TRUE pip install --no-build-isolation mamba-ssm",
    "causal_conv1d": "CAUSAL_CONV1D_FORCE_BUILD=TRUE pip install --no-build-isolation causal-conv1d",
    "flash_attn": "FLASH_ATTENTION_FORCE_BUILD=TRUE pip install --no-build-isolation flash-attn",
}
"""How each package is built on the machine that has nvcc; the README tells how to build for one architecture only."""
REBUILD = " --force-reinstall --no-deps --no-cache-dir"
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


def driver_version() -> str:
    """Version of the NVIDIA driver of this machine, whether torch can use it or not; "" if there is none."""
    try:
        found = re.search(r"Kernel Module.*?(\d+\.\d+(\.\d+)?)", DRIVER_FILE.read_text())
        return found[1] if found else "unknown version"
    except OSError:
        pass
    if (command := shutil.which("nvidia-smi")) is None:
        return ""
    try:
        asked = [command, "--query-gpu=driver_version", "--format=csv,noheader"]
        told = subprocess.run(asked, capture_output=True, text=True, timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ""
    return (told.splitlines() or [""])[0].strip()


def _refusal_of_cuda() -> str:
    """Torch's own words for why it cannot use CUDA."""
    try:
        torch.cuda.init()
    except Exception as problem:
        return first_line(problem)
    return "it sees no device"


def examine_kernels(device: torch.device) -> Iterator[Finding]:
    """The kernels of attention, of the short convolution and of Mamba-2's SSD; the scan's are examined elsewhere."""
    from architectures.attention_kernels import BACKENDS
    from architectures.kernels import DOORS, chosen_kernels

    chosen = chosen_kernels(device, dtype=torch.bfloat16)
    for operator, door in DOORS.items():
        for name in door.kernels:
            subject = f"{operator} kernel {name}" + (" (chosen)" if chosen.get(operator) == name else "")
            if operator == "attention" and name in BACKENDS:
                if device.type == "cuda" or not door.refusal(name, device):
                    yield _attention(subject, name, device)
            elif name != "torch":
                yield judged(subject, name, door.unusable_reason(name))


def judged(subject: str, name: str, reason: str) -> Finding:
    """What to say of a kernel that its door has tried: works, missing or broken, and how its package is built."""
    from architectures.kernel_door import BROKEN

    if not reason:
        return Finding(subject, "works", "agrees with plain torch in a tiny run, gradients too")
    build = BUILDS.get(name, "")
    if reason.startswith(BROKEN):
        return Finding(subject, "fails", reason, build + REBUILD if build else "")
    return Finding(subject, "missing", reason, f"on the GPU machine: {build}" if build else "")


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
