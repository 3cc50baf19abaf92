"""The selective scan of sequences in blocks, each from a state that another block or none has left."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from architectures.carry import states_at_starts
from architectures.kernel_choice import KernelError, record, watched
from architectures.scan.inputs import ScanInputs, step_sizes
from architectures.scan.kernels import KERNELS, chosen_kernel
from architectures.scan.operator import selective_scan
from architectures.scan.states import carried_outputs, written_states


def block_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor,
    z: Tensor,
    delta_bias: Tensor,
    block: int,
    *,
    streams: bool,
    reverse: bool = False,
) -> Tensor:
    """y (B, D, L) of `selective_scan` with softplus, in blocks of `block` steps that divide L.

    Every block starts from a state of 0; with `streams` blocks come in pairs, a noisy one before the clean one of the
    same place, and both start from the state that the clean block of the pair before has left. `reverse` runs time
    backward, and goes with blocks from 0 alone.

    By the chosen kernel where it has a form for blocks, else from its scans of single blocks and the terms by which
    states enter.
    """
    name = chosen_kernel(u.device, dtype=u.dtype)
    if u.is_cpu and not watched() and getattr(KERNELS[name].load(), "RUNS_BLOCKS", False):
        record("scan", name)
        y: Tensor = BlockScan.apply(u, delta, A, B, C, D, z, delta_bias, block, streams, reverse, name)
        return y
    u_rows, delta_rows, B_rows, C_rows, z_rows = (_as_rows(one, block) for one in (u, delta, B, C, z))
    y_rows = selective_scan(u_rows, delta_rows, A, B_rows, C_rows, D, z_rows, delta_bias, True, reverse=reverse)
    if streams:
        given = (u_rows, delta_rows, A, B_rows, C_rows, delta_bias, len(u))
        if torch.is_grad_enabled():  # computed again in the backward pass: its tensors of B I L N are not kept
            carried = checkpoint(_carried_rows, *given, use_reentrant=False, preserve_rng_state=False)
        else:
            carried = _carried_rows(*given)
        y_rows = y_rows + (carried * F.silu(z_rows.to(carried.dtype))).to(y_rows.dtype)
    return y_rows.unflatten(0, (len(u), -1)).transpose(1, 2).flatten(2)  # B m D block -> B D L


def _as_rows(x_BXL: Tensor, block: int) -> Tensor:
    """Blocks as rows: (B, X, L) -> (B L/block, X, block)."""
    return x_BXL.unflatten(-1, (-1, block)).transpose(1, 2).flatten(0, 1)


def _carried_rows(
    u_RDT: Tensor, delta_RDT: Tensor, A: Tensor, B_RNT: Tensor, C_RNT: Tensor, delta_bias: Tensor, batch: int
) -> Tensor:
    """What the states before the blocks add to the outputs of both streams, before the gate: (R, D, block)."""
    dtype = torch.float64 if u_RDT.dtype == torch.float64 else torch.float32
    steps = step_sizes(delta_RDT.to(dtype), delta_bias, True)
    sums = steps.cumsum(-1)
    driven = steps * u_RDT.to(dtype)
    clean = slice(1, None, 2)  # rows are noisy and clean in turn
    written = written_states(sums[clean], driven[clean], A, B_RNT[clean].to(dtype)).unflatten(0, (batch, -1))
    decay = (sums[clean, :, -1:] * A).exp().unflatten(0, (batch, -1))  # B n D N
    starts = states_at_starts(written, decay).flatten(0, 1).repeat_interleave(2, dim=0)
    return carried_outputs(sums, A, starts, C_RNT.to(dtype))


class BlockScan(torch.autograd.Function):
    """A CPU kernel that runs blocks of its own."""

    @staticmethod
    def forward(ctx: Any, u: Tensor, *arguments: Any) -> Tensor:
        *tensors, block, streams, reverse, name = arguments
        ctx.save_for_backward(u, *tensors)
        ctx.flags = (block, streams, reverse, name)
        return KERNELS[name].load().forward(_inputs((u, *tensors), block, streams, reverse))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():
            raise KernelError("a scan in blocks cannot be differentiated twice by this kernel; force torch")
        block, streams, reverse, name = ctx.flags
        gradients = KERNELS[name].load().backward(_inputs(ctx.saved_tensors, block, streams, reverse), grad)
        return *gradients, None, None, None, None


def _inputs(tensors: tuple[Tensor, ...], block: int, streams: bool, reverse: bool) -> ScanInputs:
    u, delta, A, B, C, D, z, delta_bias = tensors
    return ScanInputs(u, delta, A, B, C, D, z, delta_bias, True, reverse, block, streams)
