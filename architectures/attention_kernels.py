"""softmax(Q K^T / sqrt(K)) V: the implementations of torch's scaled_dot_product_attention and of flash-attn."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from architectures import package_kernels
from architectures.kernel_choice import (
    HALF,
    Kernel,
    KernelDispatcher,
    KernelError,
    constant_when_compiled,
    record,
    variable,
)
from architectures.mixer import without_autocast

BACKENDS = {
    "flash": SDPBackend.FLASH_ATTENTION,
    "efficient": SDPBackend.EFFICIENT_ATTENTION,
    "cudnn": SDPBackend.CUDNN_ATTENTION,
    "math": SDPBackend.MATH,
}
SDPA_NAMES = {0: "math", 1: "flash", 2: "efficient", 3: "cudnn"}  # torch.nn.attention.SDPBackend
MASKLESS = ("flash", "flash_attn")  # kernels that take no mask
PROBE_LENGTH = 64
WIDEST_HEAD = 256  # features of a head, the most that flash-attn computes


def _flash_trial(device: torch.device) -> tuple[Tensor, Tensor]:
    """Output and gradients of two heads, causal, with a window, against the products written out."""
    x = torch.linspace(-1, 1, 2 * 16 * 8, device=device).reshape(1, 2, 16, 8).bfloat16().requires_grad_()
    y = package_kernels.flash_attention(x, x, x, causal=True, window=4)
    place = torch.arange(16, device=device)
    distance = place[:, None] - place
    scores = (x @ x.transpose(-1, -2)).float() / 8**0.5
    expected = scores.masked_fill((distance < 0) | (distance > 4), -torch.inf).softmax(-1) @ x.float()
    (found,), (wanted,) = (torch.autograd.grad(one.float().sum(), x) for one in (y, expected))
    return torch.stack((y.detach(), found)), torch.stack((expected.detach().to(found.dtype), wanted))


ATTENTION = KernelDispatcher(
    "attention",
    {
        "torch": Kernel(),
        "flash": Kernel(("cuda", "cpu"), HALF),
        "efficient": Kernel(("cuda",), (torch.float32, *HALF)),
        "cudnn": Kernel(("cuda",), HALF),
        "math": Kernel(),
        "flash_attn": package_kernels.package_kernel("flash_attn", HALF, _flash_trial),
    },
)
"""`torch` is scaled_dot_product_attention with the implementation that torch itself chooses."""


def attend(
    query_BHLK: Tensor,
    key_BHLK: Tensor,
    value_BHLK: Tensor,
    *,
    causal: bool = False,
    mask: Tensor | None = None,
    padded: bool = False,
    dropout: float = 0.0,
) -> Tensor:
    """(B, H, L, K) -> (B, H, L, K) by the chosen kernel; `mask`: true where a query attends to a key; `dropout`: share
    of the softmax's values zeroed.

    Masks rule out `flash` and flash-attn, dropout flash-attn. A mask because of PAD (`padded`), which only some batches
    have, goes from these two to the implementation that torch itself chooses. A CPU without AMX computes bfloat16 in
    float32.
    Raises KernelError where the kernel that was asked for cannot compute this.
    """
    plain = (mask is None or padded) and not dropout
    kernel = _chosen(query_BHLK.device, query_BHLK.dtype, query_BHLK.shape[-1], not plain)
    if padded and kernel in MASKLESS:
        kernel = "torch"
    if kernel == "flash_attn":
        record("attention", kernel)
        return package_kernels.flash_attention(query_BHLK, key_BHLK, value_BHLK, causal=causal, window=0)
    record("attention", "torch")
    options = {"attn_mask": mask, "is_causal": causal and mask is None, "dropout_p": dropout}
    if kernel == "torch":
        if _faster_in_float32(query_BHLK.device, query_BHLK.dtype):
            widened = (one.float() for one in (query_BHLK, key_BHLK, value_BHLK))
            with without_autocast(query_BHLK.device):
                return F.scaled_dot_product_attention(*widened, **options).bfloat16()  # type: ignore[arg-type]
        return F.scaled_dot_product_attention(query_BHLK, key_BHLK, value_BHLK, **options)  # type: ignore[arg-type]
    try:
        with sdpa_kernel(BACKENDS[kernel]):
            return F.scaled_dot_product_attention(query_BHLK, key_BHLK, value_BHLK, **options)  # type: ignore[arg-type]
    except RuntimeError as problem:
        if "No available kernel" not in str(problem):
            raise
        shape = tuple(query_BHLK.shape)
        given = f"shape {shape}, {query_BHLK.dtype}" + (", with a mask" if mask is not None else "")
        raise KernelError(f"{variable('attention')}={kernel}: torch's {kernel} kernel refuses {given}") from problem


def windowed_by_package(
    query_BHLK: Tensor, key_BHLK: Tensor, value_BHLK: Tensor, window: int, *, causal: bool
) -> Tensor | None:
    """Attention within `window` by flash-attn, which takes windows, where it was asked for; None where it was not."""
    if _chosen(query_BHLK.device, query_BHLK.dtype, query_BHLK.shape[-1], False) != "flash_attn":
        return None
    record("attention", "flash_attn")
    return package_kernels.flash_attention(query_BHLK, key_BHLK, value_BHLK, causal=causal, window=window)


@constant_when_compiled
def _faster_in_float32(device: torch.device, dtype: torch.dtype) -> bool:
    """Torch packs products of bfloat16 inside attention for AMX alone; elsewhere a training step at 128 positions takes
    2.5 times that of float32."""
    return device.type == "cpu" and dtype == torch.bfloat16 and not torch.cpu._is_amx_tile_supported()


@constant_when_compiled  # settings do not change under a compiled model
def _chosen(device: torch.device, dtype: torch.dtype, head_width: int, more: bool) -> str:
    def unfit(name: str) -> str:
        if name == "flash_attn" and more:
            return "takes no mask and no dropout"
        if name == "flash_attn" and head_width > WIDEST_HEAD:
            return f"computes heads of up to {WIDEST_HEAD} features, not {head_width}"
        return ""

    return ATTENTION.choose(device, dtype, unfit)


def implementation(
    device: torch.device, dtype: torch.dtype, heads: int, head_width: int, *, causal: bool, mask: bool
) -> str:
    """The implementation that such attention runs on: "flash_attn", or torch's ("flash_cuda", "math_cpu", ...)."""
    kernel = _chosen(device, dtype, head_width, False)
    if kernel == "torch":
        probe = torch.empty(1, heads, PROBE_LENGTH, head_width, device=device, dtype=dtype)
        seen = torch.ones(PROBE_LENGTH, PROBE_LENGTH, dtype=torch.bool, device=device) if mask else None
        choice = torch._fused_sdp_choice(probe, probe, probe, seen, is_causal=causal and not mask)
        kernel = SDPA_NAMES.get(int(choice), str(choice))
    return kernel if kernel == "flash_attn" else f"{kernel}_{device.type}"
