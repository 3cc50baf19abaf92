"""The Triton scan compiled ahead of time: its launches, the code of each, and what the code needs.

Launches are recorded on tensors without memory, so no GPU is needed; of packages, torch and triton alone.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from functools import cache
from math import ceil, prod
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import torch

BATCH, CHANNELS, LENGTH = 8, 1024, 2048
STEPS = BATCH * CHANNELS * LENGTH
TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
POINTERS = {torch.float32: "*fp32", torch.bfloat16: "*bf16", torch.float16: "*fp16"}
LAYOUTS = ("time", "channels")
"""What lies side by side in memory in u, delta, z and the gradient: steps of a channel, or channels of a step; in B and
C: steps of a state, or states of a step."""
OPTIONS = ("num_warps", "num_stages", "enable_fp_fusion", "maxnreg")
MEASURED = ("registers", "spills", "shared", "instructions")
"""Registers of a thread, instructions that spill or refill one, bytes of shared memory of a program, and instructions
that warps execute for each channel and step, predicated ones included."""


class Case(NamedTuple):
    """One forward and backward pass, up to values that do not change what is compiled."""

    dtype: str
    state: int
    reverse: bool
    layout: str


class _Recorder:
    """In place of a kernel: keeps what it would be launched with."""

    def __init__(self, kernel: Any, launches: list[tuple[Any, tuple[int, ...], tuple[Any, ...], dict[str, Any]]]):
        self.kernel, self.launches = kernel, launches

    def __getitem__(self, grid: tuple[int, ...]) -> Any:
        return lambda *args, **kwargs: self.launches.append((self.kernel, grid, args, kwargs))


def launches(case: Case) -> Iterator[tuple[str, Any, tuple[int, ...], dict[str, Any]]]:
    """(pass, kernel, grid, arguments by name) of each launch of `case`."""
    from architectures.scan import triton_gradients, triton_kernel, triton_tiles
    from architectures.scan.inputs import ScanInputs

    dtype = TYPES[case.dtype]

    def empty(*shape: int) -> torch.Tensor:
        if case.layout == "channels":
            return torch.empty(shape[0], shape[2], shape[1], dtype=dtype, device="meta").transpose(1, 2)
        return torch.empty(shape, dtype=dtype, device="meta")

    def floats(*shape: int) -> torch.Tensor:
        return torch.empty(shape, device="meta")

    big, matrix = (BATCH, CHANNELS, LENGTH), (BATCH, case.state, LENGTH)
    inputs = ScanInputs(
        empty(*big), empty(*big), floats(CHANNELS, case.state), empty(*matrix), empty(*matrix), floats(CHANNELS),
        empty(*big), floats(CHANNELS), True, case.reverse,
    )  # fmt: skip
    kernels = [(triton_tiles, name) for name in ("chunk_ends", "carry", "outputs")]
    kernels += [(triton_gradients, name) for name in ("chunk_gradients", "gradients")]
    for label, run in (
        ("forward", lambda: triton_kernel.forward(inputs)),
        ("backward", lambda: triton_kernel.backward(inputs, empty(*big))),
    ):
        found: list[tuple[Any, tuple[int, ...], tuple[Any, ...], dict[str, Any]]] = []
        with ExitStack() as stack:
            for module, name in kernels:
                stack.enter_context(patch.object(module, name, _Recorder(getattr(module, name), found)))
            run()
        for kernel, grid, args, kwargs in found:
            yield label, kernel, grid, dict(zip(kernel.arg_names, args, strict=False)) | kwargs


def compiled(kernel: Any, given: dict[str, Any], capability: int) -> bytes:
    """The machine code of a launch; arguments specialised as a launch does: ones, and multiples of 16."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    signature, constants, attributes = {}, {}, {}
    aligned = [["tt.divisibility", 16]]
    for i, parameter in enumerate(kernel.params):
        value = given[parameter.name]
        if isinstance(value, torch.Tensor):
            signature[parameter.name] = POINTERS[value.dtype]
            attributes[(i,)] = aligned
        elif parameter.is_constexpr or (value == 1 and not parameter.do_not_specialize):
            signature[parameter.name] = "constexpr"
            constants[(i,)] = value
        else:
            signature[parameter.name] = "i32"
            if value % 16 == 0 and not parameter.do_not_specialize:
                attributes[(i,)] = aligned
    source = ASTSource(kernel, signature, constexprs=constants, attrs=attributes)
    options = {name: given[name] for name in OPTIONS if name in given}
    return triton.compile(source, target=GPUTarget("cuda", capability, 32), options=options).asm["cubin"]


INSTRUCTION = re.compile(r"^\s+/\*([0-9a-f]{4,})\*/\s+(?:@!?U?P\w+\s+)?([A-Z][\w.]*)([^;]*)", re.M)


def executed(sass: str, trips: list[float]) -> float:
    """Instructions a warp executes, from its listing; trips: how often the loop of each depth runs, outermost first. A
    loop is what lies between a branch backward and its target; ValueError where there is not one at each depth."""
    listing = [(int(place, 16), name, rest) for place, name, rest in INSTRUCTION.findall(sass) if name != "NOP"]
    loops = []
    for place, name, rest in listing:
        target = re.search(r"0x([0-9a-f]+)", rest) if name.startswith("BRA") else None
        if target and int(target[1], 16) < place:
            loops.append((int(target[1], 16), place))
    depths = sorted(sum(a <= first and last <= b for a, b in loops) for first, last in loops)
    if depths != list(range(1, len(trips) + 1)):
        raise ValueError(f"loops at depths {depths}, expected one at each of {len(trips)}: unrolled or split")
    return sum(prod(trips[: sum(a <= place <= b for a, b in loops)]) for place, _, _ in listing)


@cache
def _listing(cubin: bytes) -> tuple[str, str]:
    """Disassembly and resources of machine code, by the tool in Triton's wheel."""
    import triton

    tool = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        Path(file.name).write_bytes(cubin)
        given = (subprocess.run([tool, flag, file.name], capture_output=True, encoding="utf-8", check=True)
                 for flag in ("-sass", "-res-usage"))  # fmt: skip
        sass, resources = (run.stdout for run in given)
    return sass, resources


def measured(cubin: bytes, grid: tuple[int, ...], given: dict[str, Any]) -> dict[str, Any]:
    """What MEASURED names of one launch."""
    sass, resources = _listing(cubin)
    registers, shared = (int(re.search(rf"{name}:(\d+)", resources)[1]) for name in ("REG", "SHARED"))  # type: ignore[index]
    if "AHEAD" in given:
        trips = [ceil(given["chunks"] / given["AHEAD"])]
    else:
        trips = [given["blocks"], given["N"] / given.get("GROUP", 1)]
    warps = prod(grid) * given["num_warps"]
    spills = len(re.findall(r"\s(?:LDL|STL)[. ]", sass))
    return dict(zip(MEASURED, (registers, spills, shared, executed(sass, trips) * warps / STEPS), strict=True))
