"""The `numba` kernel: the scan on a CPU by compiled loops, without a compiler on the machine, on several threads."""

from collections.abc import Callable
from functools import cache

import numpy as np
import torch
from torch import Tensor

from architectures.numba_code import array_of, compiled
from architectures.scan import numba_gradients, numba_lanes, numba_passes, numba_steps, numba_team
from architectures.scan.inputs import ScanGradients, ScanInputs
from architectures.scan.numba_gradients import GradientArrays, backward_floats
from architectures.scan.numba_passes import ScanArrays, forward_floats
from architectures.scan.numba_steps import LANES
from architectures.scan.workers import run_items

ITEMS_WANTED = 32
"""Groups are made smaller until there are about so many items; a constant, because the order of sums depends on it."""
LARGEST_GROUP = 16
"""Blocks in a group at most: their common sums need no memory of their own; more blocks bring no more speed."""
RUNS_BLOCKS = True
"""Whether `forward` and `backward` take inputs with blocks (see `architectures.scan.blocks`)."""
NOTHING = np.zeros(0, dtype=np.float32)


@cache
def _compiled(which: str, in_blocks: bool, in_half: bool) -> Callable[..., None]:
    """The forward or backward function, with blocks that replace the state or without; on float32 or bfloat16."""
    sources = (numba_passes, numba_gradients, numba_lanes, numba_steps, numba_team)
    if which == "forward":
        return compiled(numba_passes.scan_forward, numba_passes.FORWARD_TYPES[in_blocks, in_half], *sources)
    return compiled(numba_gradients.scan_backward, numba_gradients.BACKWARD_TYPES[in_blocks], *sources)


def _in_scan_order(tensor: Tensor, reverse: bool) -> np.ndarray:
    return array_of(tensor)[..., ::-1] if reverse else array_of(tensor)


def _in_half(inputs: ScanInputs) -> bool:
    """Whether all that has time and channels is in bfloat16, which the forward pass reads and writes as it is."""
    large = (inputs.u, inputs.delta) if inputs.z is None else (inputs.u, inputs.delta, inputs.z)
    return all(tensor.dtype == torch.bfloat16 for tensor in large)


def _read(inputs: ScanInputs, dtype: torch.dtype, grad_BDL: Tensor | None = None) -> ScanArrays:
    def rows(tensor: Tensor) -> np.ndarray:
        return _in_scan_order(tensor.detach().to(dtype), inputs.reverse)

    def columns(tensor: Tensor) -> np.ndarray:
        by_time = tensor.detach().to(torch.float32).transpose(1, 2).contiguous().numpy()  # B N L -> B L N
        return by_time[:, ::-1] if inputs.reverse else by_time

    def vector(tensor: Tensor | None) -> np.ndarray:
        return NOTHING if tensor is None else tensor.detach().to(torch.float32).contiguous().numpy()

    batch, channels, _ = inputs.u.shape
    blocks = -(-channels // LANES)
    u = rows(inputs.u)
    return ScanArrays(
        u=u,
        delta=rows(inputs.delta),
        z=u if inputs.z is None else rows(inputs.z),
        grad_y=u if grad_BDL is None else rows(grad_BDL),
        A=vector(inputs.A),
        B=columns(inputs.B),
        C=columns(inputs.C),
        skip=vector(inputs.D),
        bias=vector(inputs.delta_bias),
        smooth=inputs.delta_softplus,
        gated=inputs.z is not None,
        group_blocks=min(max(1, blocks * batch // ITEMS_WANTED), LARGEST_GROUP, blocks),
        block=inputs.block or None,
        streams=inputs.streams,
    )


def _groups(given: ScanArrays) -> int:
    """Groups of a batch row."""
    blocks = -(-given.u.shape[1] // LANES)
    return -(-blocks // given.group_blocks)


def _run(which: str, given: ScanArrays, results: tuple[np.ndarray, ...]) -> None:
    function = _compiled(which, given.block is not None, given.u.dtype == np.int16)
    scratch_floats = forward_floats if which == "forward" else backward_floats
    items, updates = given.u.shape[0] * _groups(given), given.u.size * given.A.shape[1]
    run_items(function, (*given, *results), items, scratch_floats(given), updates)


def _like(tensor: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Memory for a result, laid out as the tensor where that has time contiguous."""
    contiguous = tensor.stride(2) == 1
    return torch.empty_like(
        tensor, dtype=dtype, memory_format=torch.preserve_format if contiguous else torch.contiguous_format
    )


def forward(inputs: ScanInputs) -> Tensor:
    """y (B, D, L), computed in float32, in the type of u, and laid out in memory as u is."""
    dtype = torch.bfloat16 if _in_half(inputs) else torch.float32
    y = _like(inputs.u, dtype)
    _run("forward", _read(inputs, dtype), (_in_scan_order(y, inputs.reverse),))
    return y.to(inputs.u.dtype)


def backward(inputs: ScanInputs, grad_BDL: Tensor) -> ScanGradients:
    """Gradients of all arguments, each in its argument's type."""
    given = _read(inputs, torch.float32, grad_BDL)
    batch, channels, length = inputs.u.shape
    state = inputs.A.shape[1]
    grad_u, grad_delta = (_like(tensor) for tensor in (inputs.u, inputs.delta))
    grad_z = grad_u if inputs.z is None else _like(inputs.z)
    grad_A = torch.empty(batch, channels, state)
    grad_skip, grad_bias = torch.empty(batch, channels), torch.empty(batch, channels)
    grad_B, grad_C = (torch.empty(batch, _groups(given), length, state) for _ in range(2))
    by_B, by_C = (g.numpy()[:, :, ::-1] if inputs.reverse else g.numpy() for g in (grad_B, grad_C))
    gradients = GradientArrays(
        grad_u=_in_scan_order(grad_u, inputs.reverse),
        grad_delta=_in_scan_order(grad_delta, inputs.reverse),
        grad_z=_in_scan_order(grad_z, inputs.reverse),
        grad_A=grad_A.numpy(),
        grad_B=by_B,
        grad_C=by_C,
        grad_skip=grad_skip.numpy(),
        grad_bias=grad_bias.numpy(),
    )
    _run("backward", given, gradients)
    return ScanGradients(
        u=grad_u.to(inputs.u.dtype),
        delta=grad_delta.to(inputs.delta.dtype),
        A=grad_A.sum(0).to(inputs.A.dtype),  # B D N -> D N
        B=grad_B.sum(1).transpose(1, 2).to(inputs.B.dtype),  # B groups L N -> B N L
        C=grad_C.sum(1).transpose(1, 2).to(inputs.C.dtype),  # B groups L N -> B N L
        D=None if inputs.D is None else grad_skip.sum(0).to(inputs.D.dtype),  # B D -> D
        z=None if inputs.z is None else grad_z.to(inputs.z.dtype),
        delta_bias=None if inputs.delta_bias is None else grad_bias.sum(0).to(inputs.delta_bias.dtype),  # B D -> D
    )
