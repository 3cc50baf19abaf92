"""State-space duality: the recurrence of Mamba-2 in chunks of matrix products, and step by step as the reference."""

from __future__ import annotations

import math

import torch
from torch.nn import functional as F

from architectures import package_kernels
from architectures.carry import (
    behind_earlier,
    decay_between,
    later_steps,
    not_earlier,
    states_at_starts,
    whole_blocks,
)
from architectures.kernel_choice import HALF, Kernel, KernelDispatcher, constant_when_compiled, record
from architectures.mixer import at_least_float32
from architectures.state import in_blocks

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


def ssd_in_rows(
    x_RLHP: torch.Tensor,
    delta_RLH: torch.Tensor,
    A_H: torch.Tensor,
    B_RLN: torch.Tensor,
    C_RLN: torch.Tensor,
    D_H: torch.Tensor,
) -> torch.Tensor:
    """`ssd` of many short rows: no longer than a chunk they make no state."""
    length = x_RLHP.shape[1]
    if length > CHUNK:
        return ssd(x_RLHP, delta_RLH, A_H, B_RLN, C_RLN, D_H)
    x, B, C = (at_least_float32(one) for one in (x_RLHP, B_RLN, C_RLN))
    written, B, C, log_decay = _in_chunks(x, delta_RLH, A_H, B, C, length)
    steps = log_decay.mT
    return _inside(written, B, steps, C, steps, later_steps(length, x.device)).flatten(1, 2) + D_H[:, None] * x


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
    x, B, C, log_decay = _in_chunks(x_BLHP, delta_BLH, A_H, B_BLN, C_BLN, chunk)
    steps = log_decay.mT
    inside = _inside(x, B, steps, C, steps, later_steps(chunk, x.device))
    carried, end = _carried(x, B, log_decay, C, log_decay, start_BNHP)
    y = (inside + carried).reshape(batch, -1, heads, width)[:, :length]  # B c Q H P -> B L H P
    return y, end


def _in_chunks(
    x_BLHP: torch.Tensor,
    delta_BLH: torch.Tensor,
    A_H: torch.Tensor,
    B_BLN: torch.Tensor,
    C_BLN: torch.Tensor,
    *sizes: int,
) -> tuple[torch.Tensor, ...]:
    """delta x, B, C and the sum of log decays up to each step: B L * -> B c Q *, by two sizes B c n b *, summed within
    a block."""
    # Steps of size 0 neither decay nor write, so the added ones change nothing.
    missing = -x_BLHP.shape[1] % math.prod(sizes)
    x, delta, B, C = (
        F.pad(one, (0, 0) * (one.dim() - 2) + (0, missing)).unflatten(1, (-1, *sizes))
        for one in (x_BLHP, delta_BLH, B_BLN, C_BLN)
    )
    return x * delta[..., None], B, C, (delta * A_H).cumsum(dim=-2)


def _inside(
    x_QHP: torch.Tensor,
    B_QN: torch.Tensor,
    steps_HQ: torch.Tensor,
    C_RN: torch.Tensor,
    at_HR: torch.Tensor,
    hidden_RQ: torch.Tensor,
) -> torch.Tensor:
    """What R reads find of Q steps, some of which are hidden from them, chunks before both: (..., R, H, P)."""
    scores = (C_RN @ B_QN.mT)[..., None, :, :] * decay_between(at_HR, steps_HQ, hidden_RQ)  # R Q -> H R Q
    return (scores @ x_QHP.transpose(-3, -2)).transpose(-3, -2)  # H R P -> R H P


def _carried(
    x_BcQHP: torch.Tensor,
    B_BcQN: torch.Tensor,
    log_decay_BcQH: torch.Tensor,
    C_BcRN: torch.Tensor,
    at_BcRH: torch.Tensor,
    start_BNHP: torch.Tensor | None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """What R reads of each chunk find of the state before it (B, c, R, H, P), and the state after the last chunk."""
    heads = x_BcQHP.shape[-2:]
    to_end = (log_decay_BcQH[:, :, -1:] - log_decay_BcQH).exp()  # B c Q H
    written = B_BcQN.mT @ (x_BcQHP * to_end[..., None]).flatten(3)  # B c N Q, B c Q HP -> B c N HP
    decay = log_decay_BcQH[:, :, -1, None, :, None].exp()  # B c 1 H 1
    written = written.unflatten(-1, heads)
    states = states_at_starts(written, decay, start_BNHP)  # B c N H P
    carried = (C_BcRN @ states.flatten(3)).unflatten(-1, heads) * at_BcRH.exp()[..., None]
    return carried, decay[:, -1] * states[:, -1] + written[:, -1]


Inputs = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]
"""x (B, L, H, P), delta (B, L, H), B and C (B, L, N) of a stream."""


def ssd_streams(noisy: Inputs, clean: Inputs, A_H: torch.Tensor, block: int) -> tuple[torch.Tensor, torch.Tensor]:
    """`ssd_chunked` of a noisy stream in blocks, each from the state of the clean stream before it, and of the clean
    one: (B, L, H, P) each.

    A chunk is whole blocks, and states are made at the starts of chunks alone: a noisy step reads the clean steps of
    its chunk before its block, and the noisy ones of its block, by scores. A block longer than a chunk starts from a
    state of its own.
    """
    batch, length, heads, width = clean[0].shape
    chunk = whole_blocks(CHUNK, block, length)
    if not chunk:
        starts = ssd_starts(clean[0], clean[1], A_H, clean[2], block)
        x, delta, B, C = (in_blocks(one, block) for one in noisy)
        of_noisy, _ = ssd_from(x, delta, A_H, B, C, starts)
        return of_noisy.reshape(clean[0].shape), ssd_chunked(*clean[:2], A_H, *clean[2:])
    x, B, C, log_decay = _in_chunks(*clean[:2], A_H, *clean[2:], chunk)
    noisy_x, noisy_B, noisy_C, own = _in_chunks(*noisy[:2], A_H, *noisy[2:], chunk // block, block)
    steps, of_block = log_decay.mT, own.mT  # B c H Q, B c n H b
    at = torch.cat((behind_earlier(steps, of_block.transpose(2, 3)), steps), dim=-1)  # B c H 2Q
    reads = torch.cat((noisy_C.flatten(2, 3), C), dim=2)  # B c 2Q N
    hidden = torch.cat((not_earlier(chunk, block, x.device), later_steps(chunk, x.device)))
    y = _inside(x, B, steps, reads, at, hidden) + _carried(x, B, log_decay, reads, at.mT, None)[0]
    of_noisy, of_clean = y.split(chunk, dim=2)
    of_own = _inside(noisy_x, noisy_B, of_block, noisy_C, of_block, later_steps(block, x.device))  # B c n b H P
    of_noisy = of_noisy + of_own.flatten(2, 3)
    noisy_y, clean_y = (one.reshape(batch, -1, heads, width)[:, :length] for one in (of_noisy, of_clean))
    return noisy_y, clean_y


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


def ssd_rows_flops(rows: int, length: int, heads: int, width: int, state: int) -> float:
    """Operations of the products of `ssd_in_rows`."""
    if length > CHUNK:
        return rows * ssd_flops(length, heads, width, state)
    return 2.0 * rows * length**2 * (state + heads * width)


def ssd_streams_flops(length: int, heads: int, width: int, state: int, block: int) -> float:
    """Operations of the products of `ssd_streams`, padded steps included."""
    features = heads * width
    chunk = whole_blocks(CHUNK, block, length)
    if not chunk:
        runs = length // block * ssd_flops(block, heads, width, state) + ssd_flops(length, heads, width, state)
        return runs + 2.0 * length * state * features
    padded = length + -length % chunk
    inside = 2.0 * padded * (2 * chunk + block) * (state + features)
    return inside + 6.0 * padded * state * features
