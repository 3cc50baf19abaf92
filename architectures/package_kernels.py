"""Kernels of the optional packages mamba-ssm, causal-conv1d and flash-attn, imported here and nowhere else.

Each is called in its package's own layout and types. A tiny run on the device shows whether it works: a package can be
installed and yet built for another torch, another CUDA or another GPU.

Not offered: mamba-ssm's fused path (`mamba_inner_fn`, a whole Mamba layer in one function). It has one direction for
all channels, so the bidirectional arms could not use it; and it launches the same convolution and scan as the two
kernels here, but computes the convolution again in the backward pass instead of keeping it, which saves memory alone.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import _disable_current_modes

from architectures.errors import first_line
from architectures.kernel_choice import BROKEN, Kernel

Trial = Callable[[torch.device], tuple[Tensor, Tensor]]
"""Runs a kernel on a tiny input on a device; gives (found, expected)."""
BUILDS = {
    "mamba_ssm": "MAMBA_KEEP_CUDA_BUILD=TRUE MAMBA_FORCE_BUILD=TRUE pip install --no-build-isolation mamba-ssm",
    "causal_conv1d": "CAUSAL_CONV1D_FORCE_BUILD=TRUE pip install --no-build-isolation causal-conv1d",
    "flash_attn": "FLASH_ATTENTION_FORCE_BUILD=TRUE pip install --no-build-isolation flash-attn",
}
"""Module of a package -> the command that builds it on a machine with nvcc, for all architectures."""
SSD_CHUNK = 256  # steps; the default of mamba-ssm's own layer
CONVOLUTION_WIDTHS = (2, 3, 4)  # what causal-conv1d is compiled for
AGREEMENT = 2e-2
"""Largest relative error of a trial: products may run in TensorFloat-32 or bfloat16; a wrong layout is off by 1."""


def selective_scan_class() -> Any:
    """mamba-ssm's autograd function of the compiled scan."""
    from mamba_ssm.ops.selective_scan_interface import SelectiveScanFn

    return SelectiveScanFn


def selective_scan(*arguments: Any) -> Tensor:
    """mamba-ssm's compiled scan, with its own backward pass; arguments in its order, see `scan.mamba_ssm_kernel`."""
    from mamba_ssm.ops.selective_scan_interface import selective_scan_fn

    return selective_scan_fn(*arguments)


def state_space_duality(
    x_BLHP: Tensor, delta_BLH: Tensor, A_H: Tensor, B_BLN: Tensor, C_BLN: Tensor, D_H: Tensor
) -> Tensor:
    """mamba-ssm's Triton SSD with the D skip, in the type of x; x, B and C share a type, the rest is float32."""
    from mamba_ssm.ops.triton.ssd_combined import mamba_chunk_scan_combined

    B, C = (tensor.to(x_BLHP.dtype).unsqueeze(2) for tensor in (B_BLN, C_BLN))  # B L N -> B L 1 N: one group
    return mamba_chunk_scan_combined(x_BLHP, delta_BLH.float(), A_H.float(), B, C, SSD_CHUNK, D=D_H.float())


def causal_convolution(x_BIL: Tensor, weight_IK: Tensor, bias_I: Tensor | None, *, backward: bool) -> Tensor:
    """causal-conv1d with silu, in the type of x. It looks back only: to look ahead, time is reversed twice, at the cost
    of two copies."""
    from causal_conv1d import causal_conv1d_fn

    x = x_BIL.flip(-1) if backward else x_BIL
    aligned = x.shape[1] % 8 == 0 and x.stride(0) % 8 == 0 and x.stride(2) % 8 == 0
    if x.stride(2) != 1 and not (x.stride(1) == 1 and aligned):  # channels last are read in groups of 8
        x = x.contiguous()
    weight = weight_IK.to(x.dtype).contiguous()
    bias = None if bias_I is None else bias_I.to(x.dtype).contiguous()
    y = causal_conv1d_fn(x, weight, bias, activation="silu")
    return y.flip(-1) if backward else y


def flash_attention(query: Tensor, key: Tensor, value: Tensor, *, causal: bool, window: int) -> Tensor:
    """flash-attn on (B, H, L, K): `window` positions on either side (on the left only when causal), 0 for all."""
    from flash_attn import flash_attn_func

    near = (window, 0 if causal else window) if window else (-1, -1)
    given = (tensor.transpose(1, 2) for tensor in (query, key, value))  # B H L K -> B L H K
    return flash_attn_func(*given, causal=causal, window_size=near).transpose(1, 2)  # B L H K -> B H L K


def package_kernel(module: str, types: tuple[torch.dtype, ...], trial: Trial, **options: Any) -> Kernel:
    """The kernel of a package, for CUDA and inputs of `types`; options: further fields of Kernel."""
    return Kernel(("cuda",), types, probe=partial(unusable_reason, module, trial), build=BUILDS[module], **options)


def unusable_reason(module: str, trial: Trial) -> str:
    """Why a kernel of `module` cannot run here; "" if it can."""
    missing = "" if _installed(module) else f"{module.replace('_', '-')} is not installed"
    if not torch.cuda.is_available():
        return "torch sees no CUDA device" + (f", and {missing}" if missing else "")
    return missing or trial_reason(trial, torch.device("cuda"))


def trial_reason(trial: Trial, device: torch.device, agreement: float = AGREEMENT) -> str:
    """What goes wrong when a kernel is tried, in words; "" if nothing does. Gradients are tried too, whatever mode the
    caller is in, and counters do not count it. agreement: largest relative error."""
    plain = torch.inference_mode(False), torch.enable_grad(), torch.autocast(device.type, enabled=False)
    try:
        with _disable_current_modes(), plain[0], plain[1], plain[2]:
            found, expected = trial(device)
            error = float((found.double() - expected.double()).abs().max() / expected.double().abs().max())
    except Exception as problem:  # a shared library, an architecture, a version: whatever a foreign build can do
        return BROKEN + first_line(problem)
    return "" if error <= agreement else f"{BROKEN}wrong results, relative error {error:.1e} in a tiny run"


def _installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):  # a half-removed package, or a stand-in without a specification
        return True
