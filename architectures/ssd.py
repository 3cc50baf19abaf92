"""State-space duality: the recurrence of Mamba-2 in chunks of matrix products, and step by step as the reference."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from architectures import package_kernels
from architectures.carry import states_at_starts
from architectures.kernel_choice import HALF, Kernel, KernelDispatcher, constant_when_compiled, record
from architectures.mixer import at_least_float32

CHUNK = 32  # steps; work inside a chunk grows with its square; on a CPU at N = 128 16 and 128 ran slower, 64 alike


def _trial(device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Output and gradients of a short sequence against the loop."""
    x = torch.linspace(-1, 1, 40 * 2 * 16, device=device).reshape(1, 40, 2, 16).requires_grad_()
    delta = torch.linspace(0.1, 0.9, 80, device=device).reshape(1, 40, 2)
    B, C = (torch.linspace(low, 1, 40 * 16, device=device).reshape(1, 40, 16) for low in (-1, 0))
    A, D = -torch.ones(2, device=device), torch.ones(2, device=device)
    y = package_kernels.state_space_duality(x, delta, A, B, C, D)
    expected = ssd_reference(x, delta, A, B, C) + D[:, None] * x
    (found,), (wanted,) = (torch.autograd.grad(one.sum(), x) for one in (y, expected))
    return torch.stack((y.detach(), found)), torch.stack((expected.detach(), wanted))


SSD = KernelDispatcher(
    "ssd",
    {
        "torch": Kernel(),
        "mamba_ssm": package_kernels.package_kernel(
            "mamba_ssm", (torch.float32, *HALF), _trial, automatic_on=("cuda",), automatic_types=HALF
        ),
    },
)
"""mamba-ssm's kernel multiplies float32 in TensorFloat-32 (errors near 1e-3), hence for float32 only if asked for."""


@constant_when_compiled  # settings do not change under a compiled model
def chosen_kernel(device: torch.device, dtype: torch.dtype) -> str:
    """The kernel of an SSD whose x has this type."""
    return SSD.choose(device, dtype)


def ssd(
    x_BLHP: torch.Tensor,
    delta_BLH: torch.Tensor,
    A_H: torch.Tensor,
    B_BLN: torch.Tensor,
    C_BLN: torch.Tensor,
    D_H: torch.Tensor,
) -> torch.Tensor:
    """`ssd_reference` and the skip D x by the chosen kernel; computed and returned in float32 by `torch`, in the type
    of x by mamba-ssm. To be called without autocast. Raises KernelError for a kernel that was asked for and cannot run.
    """
    kernel = chosen_kernel(x_BLHP.device, x_BLHP.dtype)
    if x_BLHP.device.type in SSD.automatic:
        record("ssd", kernel)
    if kernel == "mamba_ssm":
        return package_kernels.state_space_duality(x_BLHP, delta_BLH, A_H, B_BLN, C_BLN, D_H)
    x, B, C = (at_least_float32(one) for one in (x_BLHP, B_BLN, C_BLN))
    return ssd_chunked(x, delta_BLH, A_H, B, C) + D_H[:, None] * x


def ssd_reference(
    x_BLHP: torch.Tensor, delta_BLH: torch.Tensor, A_H: torch.Tensor, B_BLN: torch.Tensor, C_BLN: torch.Tensor
) -> torch.Tensor:
    """h_t = exp(delta_t A) h_(t-1) + delta_t B_t x_t^T;  y_t = C_t h_t, one step after another, in float64.

    Returns (B, L, H, P) in the type of x. Source: Dao and Gu 2024, arXiv 2405.21060, eq. 1 with scalar A a head.
    """
    x, delta, A, B, C = (tensor.double() for tensor in (x_BLHP, delta_BLH, A_H, B_BLN, C_BLN))
    batch, length, heads, width = x.shape
    state = x.new_zeros(batch, heads, B.shape[-1], width)
    outputs = []
    for t in range(length):
        written = B[:, t, None, :, None] * (delta[:, t, :, None] * x[:, t])[:, :, None]  # B H N P
        state = (delta[:, t] * A).exp()[:, :, None, None] * state + written
        outputs.append((C[:, t, None, :, None] * state).sum(dim=2))  # B H N P -> B H P
    return torch.stack(outputs, dim=1).to(x_BLHP.dtype)  # -> B L H P


def ssd_chunked(
    x_BLHP: torch.Tensor,
    delta_BLH: torch.Tensor,
    A_H: torch.Tensor,
    B_BLN: torch.Tensor,
    C_BLN: torch.Tensor,
    chunk: int = CHUNK,
) -> torch.Tensor:
    """The same as `ssd_reference`, in chunks of Q steps and in the inputs' type (float32 is enough: no exponent is
    above 0). Within a chunk a masked product of Q x Q, between chunks a recurrence over the states.

    Source: Dao and Gu 2024, section 6.
    """
    return ssd_from(x_BLHP, delta_BLH, A_H, B_BLN, C_BLN, None, chunk)[0]


def ssd_from(
    x_BLHP: torch.Tensor,
    delta_BLH: torch.Tensor,
    A_H: torch.Tensor,
    B_BLN: torch.Tensor,
    C_BLN: torch.Tensor,
    start_BNHP: torch.Tensor | None,
    chunk: int = CHUNK,
) -> tuple[torch.Tensor, torch.Tensor]:
    """`ssd_chunked` from a state before the first step (None: 0), and the state (B, N, H, P) after the last."""
    batch, length, heads, width = x_BLHP.shape
    chunk = min(chunk, length)
    missing = -length % chunk
    # Steps of size 0 neither decay nor write, so the added ones change nothing.
    x, B, C = (F.pad(tensor, (0, 0) * (tensor.dim() - 2) + (0, missing)) for tensor in (x_BLHP, B_BLN, C_BLN))
    delta = F.pad(delta_BLH, (0, 0, 0, missing))
    count = x.shape[1] // chunk
    delta = delta.view(batch, count, chunk, heads)  # B L H -> B c Q H
    x = x.view(batch, count, chunk, heads, width) * delta[..., None]  # B L H P -> B c Q H P
    B, C = (tensor.view(batch, count, chunk, -1) for tensor in (B, C))  # B L N -> B c Q N
    log_decay = (delta * A_H).cumsum(dim=2)  # B c Q H

    steps = log_decay.transpose(2, 3)  # B c Q H -> B c H Q
    later = torch.ones(chunk, chunk, dtype=torch.bool, device=x.device).triu(1)
    between = (steps[..., :, None] - steps[..., None, :]).masked_fill(later, -torch.inf).exp()  # B c H Q Q
    scores = (C @ B.transpose(2, 3))[:, :, None] * between  # B c Q Q -> B c H Q Q
    inside = (scores @ x.transpose(2, 3)).transpose(2, 3)  # B c H Q P -> B c Q H P

    to_end = (log_decay[:, :, -1:] - log_decay).exp()  # B c Q H
    written = B.transpose(2, 3) @ (x * to_end[..., None]).flatten(3)  # B c N Q, B c Q HP -> B c N HP
    decay = log_decay[:, :, -1, None, :, None].exp()  # B c 1 H 1
    written = written.view(batch, count, -1, heads, width)
    states = states_at_starts(written, decay, start_BNHP)  # B c N H P
    carried = (C @ states.flatten(3)).view(batch, count, chunk, heads, width) * log_decay.exp()[..., None]
    y = (inside + carried).reshape(batch, count * chunk, heads, width)[:, :length]  # B c Q H P -> B L H P
    return y, decay[:, -1] * states[:, -1] + written[:, -1]


def ssd_starts(
    x_BLHP: torch.Tensor, delta_BLH: torch.Tensor, A_H: torch.Tensor, B_BLN: torch.Tensor, block: int
) -> torch.Tensor:
    """The state of `ssd_reference` before each block of `block` steps: (B L/block, N, H, P)."""
    delta, x, B = (one.unflatten(1, (-1, block)) for one in (delta_BLH, x_BLHP, B_BLN))  # B L * -> B n Q *
    log_decay = (delta * A_H).cumsum(dim=2)  # B n Q H
    to_end = (log_decay[:, :, -1:] - log_decay).exp() * delta
    written = B.transpose(2, 3) @ (x * to_end[..., None]).flatten(3)  # B n N Q, B n Q HP -> B n N HP
    decay = log_decay[:, :, -1, None, :, None].exp()  # B n 1 H 1
    return states_at_starts(written.unflatten(-1, x.shape[-2:]), decay).flatten(0, 1)


def ssd_flops(length: int, heads: int, width: int, state: int, chunk: int = CHUNK) -> float:
    """Operations of the four products of `ssd_chunked`, padded steps included."""
    chunk = min(chunk, length)
    padded = length + -length % chunk
    inside = 2.0 * padded * chunk * (state + heads * width)
    return inside + 4.0 * padded * state * heads * width
