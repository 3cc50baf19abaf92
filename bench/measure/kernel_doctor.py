"""What the doctor says of the GPU itself and of the kernels of attention, convolution and Mamba-2."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.nn import functional
from torch.nn.attention import sdpa_kernel

from bench.errors import first_line

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
