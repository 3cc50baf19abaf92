"""What the CPU kernels `c` and `numba` have in common: the scan as numpy arrays, its division into items, the results.

Sixteen channels run side by side in the lanes of a vector. A block is sixteen channels of one batch row, a group a few
blocks in turn, an item one group: the unit of work for a thread. Every item writes its own part of the output and its
own partial sums, which are added up here, so results do not depend on how many threads ran.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from architectures.scan.inputs import ScanGradients, ScanInputs
from architectures.scan.workers import Task, run_items

LANES = 16
CHUNK_STEPS = 16
"""Time steps replayed at once in the backward pass: with 16 states the working set stays near the level-1 cache."""
ITEMS_WANTED = 32
"""Groups are made smaller until there are about so many items; a constant, because the order of sums depends on it."""
LARGEST_GROUP = 16
"""Blocks in a group at most: what they add up together needs no memory of its own, but more bring no more speed."""


@dataclass
class HostScan:
    """A scan in float32 numpy arrays; time already runs in scan order (a reversed scan has negative strides).

    u, delta, z, y, grad_*: (B, D, L); B, C: (B, L, N), contiguous in N; A: (D, N); skip (the argument D), bias: (D,).
    Absent arguments are None. The partial sums are grad_B, grad_C: (B, groups, L, N), grad_A: (B, D, N), grad_skip and
    grad_bias: (B, D).
    """

    group_blocks: int
    groups: int
    softplus: bool
    u: np.ndarray
    delta: np.ndarray
    A: np.ndarray
    B: np.ndarray
    C: np.ndarray
    skip: np.ndarray | None
    z: np.ndarray | None
    bias: np.ndarray | None
    y: np.ndarray | None = None
    grad_y: np.ndarray | None = None
    grad_u: np.ndarray | None = None
    grad_delta: np.ndarray | None = None
    grad_z: np.ndarray | None = None
    grad_A: np.ndarray | None = None
    grad_B: np.ndarray | None = None
    grad_C: np.ndarray | None = None
    grad_skip: np.ndarray | None = None
    grad_bias: np.ndarray | None = None

    @property
    def items(self) -> int:
        return int(self.u.shape[0]) * self.groups

    @property
    def updates(self) -> int:
        return int(self.u.size) * int(self.A.shape[1])


Bind = Callable[[HostScan], tuple[Task, int]]
"""A kernel's half of the work: the task over items, and the floats of scratch memory one running task needs."""


def _wide(tensor: Tensor) -> Tensor:
    return tensor.detach().to(torch.float32)


def _host_scan(inputs: ScanInputs) -> HostScan:
    def rows(tensor: Tensor | None) -> np.ndarray | None:
        return None if tensor is None else _in_scan_order(_wide(tensor), inputs.reverse)

    def columns(tensor: Tensor) -> np.ndarray:
        by_time = _wide(tensor).transpose(1, 2).contiguous().numpy()  # B N L -> B L N
        return by_time[:, ::-1] if inputs.reverse else by_time

    def vector(tensor: Tensor | None) -> np.ndarray | None:
        return None if tensor is None else _wide(tensor).contiguous().numpy()

    batch, channels, _ = inputs.u.shape
    blocks = -(-channels // LANES)
    group_blocks = min(max(1, blocks * batch // ITEMS_WANTED), LARGEST_GROUP, blocks)
    u, delta, A = rows(inputs.u), rows(inputs.delta), vector(inputs.A)
    assert u is not None and delta is not None and A is not None
    return HostScan(
        group_blocks=group_blocks,
        groups=-(-blocks // group_blocks),
        softplus=inputs.delta_softplus,
        u=u,
        delta=delta,
        A=A,
        B=columns(inputs.B),
        C=columns(inputs.C),
        skip=vector(inputs.D),
        z=rows(inputs.z),
        bias=vector(inputs.delta_bias),
    )


def _in_scan_order(tensor: Tensor, reverse: bool) -> np.ndarray:
    return tensor.numpy()[..., ::-1] if reverse else tensor.numpy()


def forward(inputs: ScanInputs, bind: Bind) -> Tensor:
    """y (B, D, L) in the type of u."""
    scan = _host_scan(inputs)
    y = torch.empty(inputs.u.shape, dtype=torch.float32)
    scan.y = _in_scan_order(y, inputs.reverse)
    task, scratch_floats = bind(scan)
    run_items(task, scan.items, scratch_floats, scan.updates)
    return y.to(inputs.u.dtype)


def backward(inputs: ScanInputs, grad_BDL: Tensor, bind: Bind) -> ScanGradients:
    """Gradients of all arguments, each in its argument's type."""
    scan = _host_scan(inputs)
    batch, channels, length = inputs.u.shape
    state = inputs.A.shape[1]
    grad_u, grad_delta = (torch.empty(inputs.u.shape, dtype=torch.float32) for _ in range(2))
    grad_z = None if inputs.z is None else torch.empty(inputs.u.shape, dtype=torch.float32)
    grad_A = torch.empty(batch, channels, state)
    grad_skip, grad_bias = torch.empty(batch, channels), torch.empty(batch, channels)
    grad_B, grad_C = (torch.empty(batch, scan.groups, length, state) for _ in range(2))
    scan.grad_y = _in_scan_order(_wide(grad_BDL), inputs.reverse)
    scan.grad_u, scan.grad_delta = _in_scan_order(grad_u, inputs.reverse), _in_scan_order(grad_delta, inputs.reverse)
    scan.grad_z = None if grad_z is None else _in_scan_order(grad_z, inputs.reverse)
    scan.grad_A, scan.grad_skip, scan.grad_bias = grad_A.numpy(), grad_skip.numpy(), grad_bias.numpy()
    scan.grad_B, scan.grad_C = (g.numpy()[:, :, ::-1] if inputs.reverse else g.numpy() for g in (grad_B, grad_C))
    task, scratch_floats = bind(scan)
    run_items(task, scan.items, scratch_floats, scan.updates)
    return ScanGradients(
        u=grad_u.to(inputs.u.dtype),
        delta=grad_delta.to(inputs.delta.dtype),
        A=grad_A.sum(0).to(inputs.A.dtype),  # B D N -> D N
        B=grad_B.sum(1).transpose(1, 2).to(inputs.B.dtype),  # B groups L N -> B N L
        C=grad_C.sum(1).transpose(1, 2).to(inputs.C.dtype),  # B groups L N -> B N L
        D=None if inputs.D is None else grad_skip.sum(0).to(inputs.D.dtype),  # B D -> D
        z=None if grad_z is None or inputs.z is None else grad_z.to(inputs.z.dtype),
        delta_bias=None if inputs.delta_bias is None else grad_bias.sum(0).to(inputs.delta_bias.dtype),  # B D -> D
    )
