"""The `triton` kernel: the scan on a GPU through the Triton that comes with PyTorch, without a compiler or a package.

State and sums are float32 whatever the inputs. Beside arguments and results exist B D N (L / T) floats of chunk
boundaries and, in the backward pass, partial sums of the gradients of B and C.
"""

from typing import Any

import torch
from torch import Tensor

from architectures.kernel_choice import BROKEN
from architectures.scan.inputs import ScanGradients, ScanInputs
from architectures.scan.kernels import INTERPRETED

TILE = 1024
"""States times steps in a program's registers: 8 a thread at 4 warps, several such tiles at once."""
SHORTEST_CHUNK, LONGEST_CHUNK = 16, 256
LARGEST_GROUP = 64
"""Channels a program loops over: more save reads of B and C and partial sums, fewer fill the GPU at small sizes."""
PROGRAMS_WANTED = 2048
CARRY_CELLS = 256
WARPS = 4


def unusable_reason() -> str:
    """Triton must be importable and, unless interpreted, compile and run a tiny scan on the CUDA device: one channel
    against its closed form, y_t = 2 - 2^-t for halving states fed with ones."""
    if INTERPRETED:
        from architectures.scan import triton_tiles  # noqa: F401

        return ""
    if not torch.cuda.is_available():
        return "torch sees no CUDA device"
    ones = torch.ones(1, 1, 40, device="cuda")
    step = torch.full_like(ones, 0.6931471805599453)
    decay = -torch.ones(1, 1, device="cuda")
    y = forward(ScanInputs(ones / step, step, decay, ones, ones, None, None, None, False, False))
    expected = 2 - 2.0 ** -torch.arange(40, device="cuda")
    return "" if torch.allclose(y[0, 0], expected, rtol=1e-5) else f"{BROKEN}wrong results on this device"


class _Launch:
    """One scan cut into programs: sizes, grid, the arguments that all kernels share."""

    def __init__(self, inputs: ScanInputs) -> None:
        self.inputs = inputs
        self.batch, self.channels, self.length = inputs.u.shape
        self.state = inputs.A.shape[1]
        self.A = inputs.A.detach().to(torch.float32).contiguous()
        states = 1 << (self.state - 1).bit_length()
        steps = min(max(TILE // states, SHORTEST_CHUNK), LONGEST_CHUNK)
        self.chunks = -(-self.length // steps)
        group = LARGEST_GROUP
        while group > 1 and self.batch * self.chunks * -(-self.channels // group) < PROGRAMS_WANTED:
            group //= 2
        self.groups = -(-self.channels // group)
        self.grid = (self.chunks, self.groups, self.batch)
        self.sizes = (self.channels, self.state, self.length, self.chunks)
        self.tile = {"T": steps, "STATES": states, "GROUP": group, "num_warps": WARPS}
        self.flags = {
            "SOFTPLUS": inputs.delta_softplus,
            "BIAS": inputs.delta_bias is not None,
            "REVERSE": inputs.reverse,
        }

    def floats(self, *shape: int) -> Tensor:
        return torch.empty(shape, dtype=torch.float32, device=self.inputs.u.device)

    def optional(self, tensor: Tensor | None) -> Tensor:
        """The tensor, or A in place of an absent one: a pointer that is never read."""
        return self.A if tensor is None else tensor

    def strides(self, *tensors: Tensor | None) -> list[int]:
        return [stride for tensor in tensors for stride in ((0, 0, 0) if tensor is None else tensor.stride())]

    def starts(self) -> tuple[Tensor, Tensor]:
        """States in which the chunks start (B, chunks, D, N), and the summed step of each chunk (B, chunks, D)."""
        from architectures.scan import triton_tiles

        given = self.inputs
        ends = self.floats(self.batch, self.chunks, self.channels, self.state)
        totals = self.floats(self.batch, self.chunks, self.channels)
        triton_tiles.chunk_ends[self.grid](
            given.u, given.delta, self.A, given.B, self.optional(given.delta_bias), ends, totals,
            *self.strides(given.u, given.delta, given.B), *self.sizes, **self.tile, **self.flags,
        )  # fmt: skip
        self.carry(ends, totals, backward=False)
        return ends, totals

    def passed_back(self, grad_BDL: Tensor, totals: Tensor) -> Tensor:
        """Gradient that the state after each chunk receives from the later ones (B, chunks, D, N)."""
        from architectures.scan import triton_tiles

        given = self.inputs
        ends = self.floats(self.batch, self.chunks, self.channels, self.state)
        triton_tiles.chunk_gradients[self.grid](
            grad_BDL, given.delta, self.A, given.C, self.optional(given.z), self.optional(given.delta_bias), ends,
            *self.strides(grad_BDL, given.delta, given.C, given.z), *self.sizes,
            **self.tile, **self.flags, GATE=given.z is not None,
        )  # fmt: skip
        self.carry(ends, totals, backward=True)
        return ends

    def carry(self, ends: Tensor, totals: Tensor, *, backward: bool) -> None:
        from architectures.scan import triton_tiles

        grid = (-(-self.channels * self.state // CARRY_CELLS), self.batch)
        triton_tiles.carry[grid](
            ends, totals, self.A, self.channels, self.state, self.chunks, BACKWARD=backward, CELLS=CARRY_CELLS
        )


def forward(inputs: ScanInputs) -> Tensor:
    """y (B, D, L), state in float32, in the type of u."""
    from architectures.scan import triton_tiles

    launch = _Launch(inputs)
    starts, _ = launch.starts()
    y = torch.empty(inputs.u.shape, dtype=inputs.u.dtype, device=inputs.u.device)
    triton_tiles.outputs[launch.grid](
        inputs.u, inputs.delta, launch.A, inputs.B, inputs.C, launch.optional(inputs.D), launch.optional(inputs.z),
        launch.optional(inputs.delta_bias), starts, y,
        *launch.strides(inputs.u, inputs.delta, inputs.B, inputs.C, inputs.z), *launch.sizes,
        **launch.tile, **launch.flags, SKIP=inputs.D is not None, GATE=inputs.z is not None,
    )  # fmt: skip
    return y


def backward(inputs: ScanInputs, grad_BDL: Tensor) -> ScanGradients:
    """Gradients of all arguments, each in its argument's type; replays the forward pass from the chunk boundaries."""
    from architectures.scan import triton_tiles

    launch = _Launch(inputs)
    starts, totals = launch.starts()
    passed_back = launch.passed_back(grad_BDL, totals)
    batch, state, length = launch.batch, launch.state, launch.length
    grad_u, grad_delta, grad_z = (
        None if t is None else torch.empty(t.shape, dtype=t.dtype, device=t.device)
        for t in (inputs.u, inputs.delta, inputs.z)
    )
    grad_A = torch.empty_like(starts)
    grad_B, grad_C = (launch.floats(batch, launch.groups, state, length) for _ in range(2))
    grad_skip, grad_bias = torch.empty_like(totals), torch.empty_like(totals)
    triton_tiles.gradients[launch.grid](
        grad_BDL, inputs.u, inputs.delta, launch.A, inputs.B, inputs.C, launch.optional(inputs.D),
        launch.optional(inputs.z), launch.optional(inputs.delta_bias), starts, passed_back,
        grad_u, grad_delta, grad_A, grad_B, grad_C, grad_skip, launch.optional(grad_z), grad_bias,
        *launch.strides(grad_BDL, inputs.u, inputs.delta, inputs.B, inputs.C, inputs.z), *launch.sizes,
        **launch.tile, **launch.flags, SKIP=inputs.D is not None, GATE=inputs.z is not None,
    )  # fmt: skip

    def summed(partial: Tensor, like: Tensor | None, *over: int) -> Tensor | None:
        return None if like is None else partial.sum(over).to(like.dtype)

    found: tuple[Any, ...] = (
        grad_u,
        grad_delta,
        summed(grad_A, inputs.A, 0, 1),  # B chunks D N -> D N
        summed(grad_B, inputs.B, 1),  # B groups N L -> B N L
        summed(grad_C, inputs.C, 1),
        summed(grad_skip, inputs.D, 0, 1),  # B chunks D -> D
        grad_z,
        summed(grad_bias, inputs.delta_bias, 0, 1),
    )
    return ScanGradients(*found)
