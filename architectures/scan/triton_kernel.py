"""The `triton` kernel: the scan on a GPU through the Triton that comes with PyTorch, without a compiler or a package.

State and sums are float32 whatever the inputs. Beside arguments and results exist B D N (L / T) floats of chunk
boundaries, T steps a chunk, and in the backward pass B D N (L / 8) of block boundaries and the partial sums of the
gradients of A, B and C.
"""

from functools import partial
from typing import Any

import torch
from torch import Tensor

from architectures.package_kernels import trial_reason
from architectures.scan.inputs import ScanGradients, ScanInputs
from architectures.scan.kernels import INTERPRETED
from architectures.scan.reference import differentiate, scan_loop

WARPS = 1
"""Warps of a program: with one, a sum over its channels needs neither shared memory nor a barrier."""
LANES = 32 * WARPS
"""Channels of a program, one a lane."""
SHORTEST_CHUNK, LONGEST_CHUNK = 2, 16
"""Blocks of eight steps that a program goes through one after the other; long chunks leave less to join."""
PROGRAMS_WANTED = 4096
"""Where long chunks would give fewer programs, chunks are shorter: 132 multiprocessors with 16 warps each, twice."""
STATES_TOGETHER = (4, 2, 1)
"""States that a lane has in registers at once in the forward pass: the first of these that divides their number."""
CARRY_CELLS, CARRY_AHEAD = 128, 8
COMPILED = {"num_warps": WARPS, "enable_fp_fusion": True}
GRADIENT_REGISTERS, TURNED_REGISTERS = 192, 255
"""Registers of a thread in `gradients`: with fewer it spills, with more there are fewer than ten warps at a time. Tiles
with channels side by side in memory need more while they are turned."""
TYPES = {torch.float32: 1e-4, torch.bfloat16: 2e-2, torch.float16: 4e-3}
"""Types of the inputs that are computed, with the largest relative error of a trial: results are rounded to them."""


def unusable_reason() -> str:
    """Triton must be importable and, unless interpreted, compile and run a tiny scan on the CUDA device, forward and
    backward in every type."""
    if INTERPRETED:
        from architectures.scan import triton_tiles  # noqa: F401

        return ""
    if not torch.cuda.is_available():
        return "torch sees no CUDA device"
    return broken_type(torch.device("cuda"))


def broken_type(device: torch.device) -> str:
    """What goes wrong in a tiny scan on the device, with the type of its inputs; "" if nothing does in any type."""
    for dtype, agreement in TYPES.items():
        reason = trial_reason(partial(_trial, dtype), device, agreement)
        if reason:
            return f"{reason} (in {str(dtype).removeprefix('torch.')})"
    return ""


def _trial(dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """Output and all gradients of a scan against the float64 loop, each over its largest value. Sizes are multiples of
    16, so that the trial compiles what a model runs."""
    batch, channels, length, state = 1, 48, 48, 16
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator).to(dtype)

    tensors = (
        normal(batch, channels, length), normal(batch, channels, length) - 1, -normal(channels, state).float().exp(),
        normal(batch, state, length), normal(batch, state, length), normal(channels).float(),
        normal(batch, channels, length), normal(channels).float(),
    )  # fmt: skip
    grad = normal(batch, channels, length)
    exact = ScanInputs.of([t.double().requires_grad_() for t in tensors], True, False)
    expected = [scan_loop(exact, torch.float64).detach(), *differentiate(exact, grad.double(), torch.float64)]
    given = ScanInputs.of([t.to(device) for t in tensors], True, False)
    found = [forward(given), *backward(given, grad.to(device))]
    pairs = [(one, other) for one, other in zip(found, expected, strict=True) if one is not None and other is not None]
    scaled = [(one.double().cpu() / other.abs().max(), other / other.abs().max()) for one, other in pairs]
    sides = zip(*((one.flatten(), other.flatten()) for one, other in scaled), strict=True)
    joined_found, joined_expected = (torch.cat(side) for side in sides)
    return joined_found, joined_expected


class _Launch:
    """One scan cut into programs: sizes, grid, the arguments that all kernels share."""

    def __init__(self, inputs: ScanInputs) -> None:
        self.inputs = inputs
        self.batch, self.channels, self.length = inputs.u.shape
        self.state = inputs.A.shape[1]
        self.A = _floats(inputs.A)
        self.skip, self.bias = (None if t is None else _floats(t) for t in (inputs.D, inputs.delta_bias))
        self.groups = -(-self.channels // LANES)
        blocks = LONGEST_CHUNK
        while blocks > SHORTEST_CHUNK and self.batch * self.groups * -(-self.length // (8 * blocks)) < PROGRAMS_WANTED:
            blocks //= 2
        self.chunks = -(-self.length // (8 * blocks))
        self.grid = (self.chunks, self.groups, self.batch)
        self.sizes = (self.channels, self.state, self.length, self.chunks, blocks)
        self.marks = self.chunks * blocks
        self.together = next(group for group in STATES_TOGETHER if self.state % group == 0)
        self.flags = {
            "SOFTPLUS": inputs.delta_softplus,
            "BIAS": inputs.delta_bias is not None,
            "REVERSE": inputs.reverse,
            "LANES": LANES,
            **COMPILED,
        }

    def floats(self, *shape: int) -> Tensor:
        return torch.empty(shape, dtype=torch.float32, device=self.inputs.u.device)

    def optional(self, tensor: Tensor | None) -> Tensor:
        """The tensor, or A in place of an absent one: a pointer that is never read."""
        return self.A if tensor is None else tensor

    def strides(self, *tensors: Tensor | None) -> list[int]:
        return [stride for tensor in tensors for stride in ((0, 0, 0) if tensor is None else tensor.stride())]

    def starts(self, marks: Tensor | None = None, passed: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """States in which the chunks start (B, chunks, N, D), and the summed step of each chunk (B, chunks, D). Fills
        marks (B, blocks, N, D) and passed (B, blocks, D) where given: both from the chunk's start to the block's."""
        from architectures.scan import triton_tiles

        given = self.inputs
        ends = self.floats(self.batch, self.chunks, self.state, self.channels)
        totals = self.floats(self.batch, self.chunks, self.channels)
        triton_tiles.chunk_ends[self.grid](
            given.u, given.delta, self.A, given.B, self.optional(self.bias), ends, totals, self.optional(marks),
            self.optional(passed), *self.strides(given.u, given.delta, given.B), *self.sizes,
            GROUP=self.together, MARKS=marks is not None, **self.flags,
        )  # fmt: skip
        self.carry(ends, totals, down=given.reverse)
        return ends, totals

    def passed_back(self, grad_BDL: Tensor, totals: Tensor) -> Tensor:
        """Gradient that the state after each chunk receives from the later ones (B, chunks, N, D)."""
        from architectures.scan import triton_gradients

        given = self.inputs
        ends = self.floats(self.batch, self.chunks, self.state, self.channels)
        triton_gradients.chunk_gradients[self.grid](
            grad_BDL, given.delta, self.A, given.C, self.optional(given.z), self.optional(self.bias), ends,
            *self.strides(grad_BDL, given.delta, given.C, given.z), *self.sizes,
            GROUP=self.together, GATE=given.z is not None, **self.flags,
        )  # fmt: skip
        self.carry(ends, totals, down=not given.reverse)
        return ends

    def carry(self, ends: Tensor, totals: Tensor, *, down: bool) -> None:
        from architectures.scan import triton_tiles

        grid = (-(-self.channels * self.state // CARRY_CELLS), self.batch)
        triton_tiles.carry[grid](
            ends, totals, self.A, self.channels, self.state, self.chunks,
            DOWN=down, CELLS=CARRY_CELLS, AHEAD=CARRY_AHEAD, **COMPILED,
        )  # fmt: skip


def _floats(tensor: Tensor) -> Tensor:
    """In float32 and contiguous: a kernel reads it without strides."""
    return tensor.detach().to(torch.float32).contiguous()


def forward(inputs: ScanInputs) -> Tensor:
    """y (B, D, L), state in float32, in the type of u."""
    from architectures.scan import triton_tiles

    launch = _Launch(inputs)
    starts, _ = launch.starts()
    y = torch.empty(inputs.u.shape, dtype=inputs.u.dtype, device=inputs.u.device)
    triton_tiles.outputs[launch.grid](
        inputs.u, inputs.delta, launch.A, inputs.B, inputs.C, launch.optional(launch.skip), launch.optional(inputs.z),
        launch.optional(launch.bias), starts, y,
        *launch.strides(inputs.u, inputs.delta, inputs.B, inputs.C, inputs.z), *launch.sizes,
        GROUP=launch.together, SKIP=inputs.D is not None, GATE=inputs.z is not None, **launch.flags,
    )  # fmt: skip
    return y


def backward(inputs: ScanInputs, grad_BDL: Tensor) -> ScanGradients:
    """Gradients of all arguments, each in its argument's type; replays each block of steps from the state before it."""
    from architectures.scan import triton_gradients

    launch = _Launch(inputs)
    batch, channels, length, state = launch.batch, launch.channels, launch.length, launch.state
    marks, passed = launch.floats(batch, launch.marks, state, channels), launch.floats(batch, launch.marks, channels)
    starts, totals = launch.starts(marks, passed)
    passed_back = launch.passed_back(grad_BDL, totals)
    grad_u, grad_delta, grad_z = (
        None if t is None else torch.empty(t.shape, dtype=t.dtype, device=t.device)
        for t in (inputs.u, inputs.delta, inputs.z)
    )
    grad_A = torch.empty_like(starts)
    grad_B, grad_C = (launch.floats(batch, launch.groups, state, length) for _ in range(2))
    grad_skip, grad_bias = torch.empty_like(totals), torch.empty_like(totals)
    triton_gradients.gradients[launch.grid](
        grad_BDL, inputs.u, inputs.delta, launch.A, inputs.B, inputs.C, launch.optional(launch.skip),
        launch.optional(inputs.z), launch.optional(launch.bias), starts, marks, passed, passed_back,
        grad_u, grad_delta, grad_A, grad_B, grad_C, grad_skip, launch.optional(grad_z), grad_bias,
        *launch.strides(grad_BDL, inputs.u, inputs.delta, inputs.B, inputs.C, inputs.z), *launch.sizes,
        SKIP=inputs.D is not None, GATE=inputs.z is not None, **launch.flags,
        maxnreg=GRADIENT_REGISTERS if inputs.u.stride(2) == 1 else TURNED_REGISTERS,
    )  # fmt: skip

    def summed(partial: Tensor, like: Tensor | None, *over: int) -> Tensor | None:
        return None if like is None else partial.sum(over).to(like.dtype)

    found: tuple[Any, ...] = (
        grad_u,
        grad_delta,
        grad_A.sum((0, 1)).t().to(inputs.A.dtype),  # B chunks N D -> N D -> D N
        summed(grad_B, inputs.B, 1),  # B groups N L -> B N L
        summed(grad_C, inputs.C, 1),
        summed(grad_skip, inputs.D, 0, 1),  # B chunks D -> D
        grad_z,
        summed(grad_bias, inputs.delta_bias, 0, 1),
    )
    return ScanGradients(*found)
