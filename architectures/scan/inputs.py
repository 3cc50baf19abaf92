"""The arguments of a selective scan and their checks, its gradients and its FLOPs: shared by all kernels."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

REAL_TYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


@dataclass(frozen=True)
class ScanInputs:
    """The arguments of one selective scan, checked. Shapes: B batch, D channels, L time, N state.

    u, delta, z: (B, D, L); A: (D, N); B, C: (B, N, L); D, delta_bias: (D,).
    """

    u: Tensor
    delta: Tensor
    A: Tensor
    B: Tensor
    C: Tensor
    D: Tensor | None
    z: Tensor | None
    delta_bias: Tensor | None
    delta_softplus: bool
    reverse: bool
    block: int = 0
    streams: bool = False
    """Blocks as in `block_scan`, for a kernel that runs them; 0: none."""

    @property
    def tensors(self) -> tuple[Tensor | None, ...]:
        """The eight tensor arguments in the order of the signature; an absent one is None."""
        return (self.u, self.delta, self.A, self.B, self.C, self.D, self.z, self.delta_bias)

    def with_tensors(self, tensors: tuple[Tensor | None, ...]) -> "ScanInputs":
        """The same scan on other tensors (cast copies, or leaves to differentiate)."""
        return ScanInputs.of(tensors, self.delta_softplus, self.reverse)

    @staticmethod
    def of(tensors: Sequence[Tensor | None], delta_softplus: bool, reverse: bool) -> "ScanInputs":
        """From the eight tensors in the order of the signature."""
        u, delta, A, B, C, D, z, delta_bias = tensors
        assert u is not None and delta is not None and A is not None and B is not None and C is not None
        return ScanInputs(u, delta, A, B, C, D, z, delta_bias, delta_softplus, reverse)

    def compute_type(self) -> torch.dtype:
        """float64 for float64 inputs, float32 for everything narrower: the state is never kept in half precision."""
        return torch.float64 if self.u.dtype == torch.float64 else torch.float32


class ScanGradients(NamedTuple):
    """Gradients of the eight tensor arguments, in their order; None where the argument was absent."""

    u: Tensor
    delta: Tensor
    A: Tensor
    B: Tensor
    C: Tensor
    D: Tensor | None
    z: Tensor | None
    delta_bias: Tensor | None


def step_sizes(delta_BDL: Tensor, delta_bias: Tensor | None, delta_softplus: bool) -> Tensor:
    """The step the recurrence takes: softplus(delta + bias), or delta + bias. Differentiable; keeps the type."""
    if delta_bias is not None:
        delta_BDL = delta_BDL + delta_bias.to(delta_BDL.dtype)[:, None]
    return F.softplus(delta_BDL) if delta_softplus else delta_BDL


def check_inputs(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, *optional: Tensor | None) -> None:
    """Raise ValueError, naming the argument, for a shape, type or device that no kernel computes."""
    if u.dim() != 3:
        raise ValueError(f"selective_scan: u must be (batch, channels, length), not of shape {tuple(u.shape)}")
    if A.dim() != 2 or A.shape[0] != u.shape[1] or A.shape[1] < 1:
        raise ValueError(f"selective_scan: A must be ({u.shape[1]}, state), not of shape {tuple(A.shape)}")
    (batch, channels, length), state = u.shape, A.shape[1]
    D, z, delta_bias = optional
    wanted = f"give ({batch}, {state}, {length})"
    for name, matrix in (("B", B), ("C", C)):
        if matrix.dim() == 2:
            raise ValueError(f"selective_scan: {name} is constant in time, which is not supported; {wanted}")
        if matrix.dim() == 4:
            raise ValueError(f"selective_scan: {name} has groups, which are not supported; {wanted}")
    expected = {
        "delta": (delta, (batch, channels, length)),
        "B": (B, (batch, state, length)),
        "C": (C, (batch, state, length)),
        "D": (D, (channels,)),
        "z": (z, (batch, channels, length)),
        "delta_bias": (delta_bias, (channels,)),
    }
    for name, (tensor, shape) in expected.items():
        if tensor is not None and tuple(tensor.shape) != shape:
            raise ValueError(f"selective_scan: {name} must be {shape}, not of shape {tuple(tensor.shape)}")
    present = {"u": u, "A": A} | {name: tensor for name, (tensor, _) in expected.items() if tensor is not None}
    for name, tensor in present.items():
        if tensor.dtype not in REAL_TYPES:
            raise ValueError(f"selective_scan: {name} is {tensor.dtype}; only real floating-point types are supported")
        if tensor.device != u.device:
            raise ValueError(f"selective_scan: {name} is on {tensor.device} but u is on {u.device}")


FLOPS_PER_ELEMENT = 9
"""Per (batch, time, channel, state): the Mamba authors' figure (mamba issue 110); it describes the associative scan."""


def scan_flops(batch: int, length: int, channels: int, state: int) -> int:
    """FLOPs of one forward scan, a multiply-add being two: 9 B L D N, the number that papers report.

    A sequential kernel executes about 7 (step A, exp, decay h + input, input B, C . h; exp taken as one). What is
    linear in B L D alone (skip, gate, softplus) is left out.
    """
    return FLOPS_PER_ELEMENT * batch * length * channels * state
