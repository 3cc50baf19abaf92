"""The short depthwise convolution of the Mamba mixers with silu after it, an operator of three kernels."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from architectures import package_kernels
from architectures.kernel_choice import HALF, Kernel, KernelDispatcher, constant_when_compiled, record, watched

Convolution = Callable[..., Tensor]


def _trial(device: torch.device, kernel: Convolution = package_kernels.causal_convolution) -> tuple[Tensor, Tensor]:
    """Output and gradients on ones: with weights 1 each value is silu of the number of steps in its window."""
    x = torch.ones(1, 8, 16, device=device, requires_grad=True)
    weight = torch.ones(8, 4, device=device, requires_grad=True)
    y = kernel(x, weight, None, backward=False)
    found = torch.autograd.grad(y.sum(), (x, weight))
    expected = plain_convolution(x, weight, None, backward=False)
    wanted = torch.autograd.grad(expected.sum(), (x, weight))
    return _flat(y, *found), _flat(expected, *wanted)


def _flat(*tensors: Tensor) -> Tensor:
    return torch.cat([tensor.detach().flatten() for tensor in tensors])


def _numba_reason() -> str:
    """Why the kernel `numba` cannot run here; "" if it can."""
    from architectures import numba_convolution  # imports numba: half a second

    return package_kernels.trial_reason(
        partial(_trial, kernel=numba_convolution.causal_convolution), torch.device("cpu")
    )


CONVOLUTION = KernelDispatcher(
    "convolution",
    {
        "torch": Kernel(),
        "numba": Kernel(
            ("cpu",), float64=False, automatic_on=("cpu",), probe=_numba_reason, advice="pip install numba"
        ),
        "causal_conv1d": package_kernels.package_kernel(
            "causal_conv1d", (torch.float32, *HALF), _trial, automatic_on=("cuda",)
        ),
    },
)


def causal_convolution(x_BIL: Tensor, weight_I1K: Tensor, bias_I: Tensor | None, *, backward: bool = False) -> Tensor:
    """silu of the depthwise convolution that looks back K - 1 steps, or ahead when `backward`: (B, I, L) -> (B, I, L).

    weight: (I, 1, K), its last value for the step itself. Raises KernelError for a kernel that was asked for and
    cannot run; causal_conv1d is compiled for K = 2, 3 and 4.
    """
    weight_IK = weight_I1K[:, 0]
    kernel = chosen_kernel(x_BIL.device, x_BIL.dtype, weight_IK.shape[1])
    if x_BIL.device.type in CONVOLUTION.automatic:
        record("convolution", kernel)  # the one that runs where nothing watches
    if kernel == "numba" and not watched():
        from architectures import numba_convolution

        return numba_convolution.causal_convolution(x_BIL, weight_IK, bias_I, backward=backward)
    if kernel == "causal_conv1d":
        return package_kernels.causal_convolution(x_BIL, weight_IK, bias_I, backward=backward)
    return plain_convolution(x_BIL, weight_IK, bias_I, backward=backward)


@constant_when_compiled  # settings do not change under a compiled model
def chosen_kernel(device: torch.device, dtype: torch.dtype, width: int) -> str:
    """The kernel of a convolution over `width` steps."""

    def unfit(name: str) -> str:
        fits = name != "causal_conv1d" or width in package_kernels.CONVOLUTION_WIDTHS
        return "" if fits else f"is compiled for windows of 2 to 4 steps, not {width}"

    return CONVOLUTION.choose(device, dtype, unfit)


def plain_convolution(x_BIL: Tensor, weight_IK: Tensor, bias_I: Tensor | None, *, backward: bool) -> Tensor:
    """The same in plain torch operations."""
    reach = weight_IK.shape[1] - 1
    padded = F.pad(x_BIL, (0, reach) if backward else (reach, 0))  # B I L -> B I L+K-1
    return within(padded, (weight_IK.flip(-1) if backward else weight_IK)[:, None], bias_I)  # B I L+K-1 -> B I L


def within(x_BIL: Tensor, weight_I1K: Tensor, bias_I: Tensor | None) -> Tensor:
    """silu of the convolution where its window lies inside: (B, I, L + K - 1) -> (B, I, L)."""
    return F.silu(F.conv1d(x_BIL, weight_I1K, bias_I, groups=weight_I1K.shape[0]))


def in_streams(x_BIL: Tensor, weight_I1K: Tensor, bias_I: Tensor | None, *, block: int) -> Tensor:
    """`causal_convolution` of a noisy stream's rows, then of the clean one's, each noisy block behind the clean inputs
    before it: (2B, I, L) -> (2B, I, L). Noisy blocks stand in one row, each with its K - 1 clean inputs."""
    noisy, clean = x_BIL.chunk(2)
    reach = weight_I1K.shape[-1] - 1
    blocks = noisy.unflatten(-1, (-1, block))  # B I L -> B I n b
    tails = F.pad(clean, (reach, 0)).unfold(-1, max(reach, 1), block)[:, :, : blocks.shape[2], :reach]
    beside = torch.cat((tails, blocks), dim=-1).flatten(2)  # B I n K-1+b
    found = causal_convolution(beside, weight_I1K, bias_I).unflatten(-1, (-1, reach + block))[..., reach:].flatten(2)
    return torch.cat((found, causal_convolution(clean, weight_I1K, bias_I)))


def in_rows(x_RIL: Tensor, weight_I1K: Tensor, bias_I: Tensor | None) -> Tensor:
    """`causal_convolution` of many short rows, which stand in one with K - 1 zeros before each."""
    reach = weight_I1K.shape[-1] - 1
    joined = F.pad(x_RIL.transpose(0, 1), (reach, 0)).flatten(1)[None]  # R I L -> 1 I R(K-1+L)
    found = causal_convolution(joined, weight_I1K, bias_I)[0].unflatten(1, (len(x_RIL), -1))
    return found[..., reach:].transpose(0, 1)  # I R L -> R I L
