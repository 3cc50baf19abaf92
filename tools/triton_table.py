"""Table of the Triton scan as the compiler makes it, for GPUs that are not at hand.

    python tools/triton_table.py [--write]

Each launch of a forward and a backward pass is recorded on tensors without memory and compiled ahead of time, in every
type, number of states, direction and layout. The table is compared with the committed one of this version of Triton,
results/reference/triton/VERSION.csv: what rises, or misses an aim, is printed and ends with code 1. Needs torch and
triton alone; `make test-triton` runs it.
"""

from __future__ import annotations

import csv
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from functools import cache
from itertools import product
from math import ceil, prod
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import torch

ROOT = Path(__file__).resolve().parents[1]
REFERENCE = ROOT / "results" / "reference" / "triton"
BATCH, CHANNELS, LENGTH = 8, 1024, 2048
STEPS = BATCH * CHANNELS * LENGTH
TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
POINTERS = {torch.float32: "*fp32", torch.bfloat16: "*bf16", torch.float16: "*fp16"}
STATES = (16, 32, 64)
DIRECTIONS = ("forward", "reversed")
LAYOUTS = ("time", "channels")
"""What lies side by side in memory in u, delta, z and the gradient: steps of a channel, or channels of a step; in B and
C: steps of a state, or states of a step."""
CAPABILITIES = (80, 90)
OPTIONS = ("num_warps", "num_stages", "enable_fp_fusion", "maxnreg")
KEY = ("capability", "pass", "kernel", "type", "N", "direction", "layout")
MEASURED = ("registers", "spills", "shared", "instructions")
"""Registers of a thread, instructions that spill or refill one, bytes of shared memory of a program, and instructions
that warps execute for each channel and step, predicated ones included."""
AIMS = {"forward": 25.0, "backward": 80.0}
"""Instructions for each channel and step of a pass at sm_90, bfloat16, N 16, time side by side."""
REVERSED_AIM = 1.3
UNSPILT_TO = 32
"""Largest N at which nothing may spill."""
ROUNDING = 0.005
Row = dict[str, Any]


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
        given = (subprocess.run([tool, flag, file.name], capture_output=True, text=True, check=True)
                 for flag in ("-sass", "-res-usage"))  # fmt: skip
        sass, resources = (run.stdout for run in given)
    return sass, resources


def measured(cubin: bytes, grid: tuple[int, ...], given: dict[str, Any]) -> Row:
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


def rows_of(task: tuple[str, str, str, int]) -> list[Row]:
    """Rows of a type, direction, layout and capability: one for each N and launch, launches of one kernel added up."""
    dtype, direction, layout, capability = task
    rows: dict[tuple[Any, ...], Row] = {}
    for state in STATES:
        for label, kernel, grid, given in launches(Case(dtype, state, direction == "reversed", layout)):
            found = measured(compiled(kernel, given, capability), grid, given)
            key = (capability, label, kernel.__name__, dtype, state, direction, layout)
            if key in rows:  # carry, there and back
                found["instructions"] += rows[key]["instructions"]
            rows[key] = dict(zip(KEY, key, strict=True)) | found
    return list(rows.values())


def table() -> list[Row]:
    """All rows, compiled by as many processes as there are cores, without what an earlier run left."""
    tasks = list(product(TYPES, DIRECTIONS, LAYOUTS, CAPABILITIES))
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        stack.enter_context(patch.dict(os.environ, TRITON_CACHE_DIR=folder, TRITON_INTERPRET="0", PYTHONPATH=str(ROOT)))
        pool = stack.enter_context(ProcessPoolExecutor(len(os.sched_getaffinity(0)), get_context("spawn")))
        return [row for rows in pool.map(rows_of, tasks) for row in rows]


def written(rows: list[Row]) -> list[dict[str, str]]:
    """Rows as they stand in a CSV file."""
    return [{name: f"{one:.2f}" if name == "instructions" else str(one) for name, one in row.items()} for row in rows]


def rises(rows: list[dict[str, str]], committed: list[dict[str, str]]) -> list[str]:
    """A line for each figure above the committed one, and for each row that one table has alone."""
    now, before = ({tuple(row[name] for name in KEY): row for row in side} for side in (rows, committed))
    lines = [f"{' '.join(key)}: in one table alone" for key in now.keys() ^ before.keys()]
    for key in now.keys() & before.keys():
        for name in MEASURED:
            if float(now[key][name]) > float(before[key][name]) + ROUNDING:
                lines.append(f"{' '.join(key)}: {name} {now[key][name]}, committed {before[key][name]}")
    return sorted(lines)


def totals(rows: list[dict[str, str]]) -> dict[tuple[str, ...], float]:
    """(capability, type, N, layout, direction, pass) -> instructions for each channel and step."""
    found: defaultdict[tuple[str, ...], float] = defaultdict(float)
    for row in rows:
        key = tuple(row[name] for name in ("capability", "type", "N", "layout", "direction", "pass"))
        found[key] += float(row["instructions"])
    return found


def missed(rows: list[dict[str, str]]) -> list[str]:
    """A line for each aim that the table misses."""
    found = totals(rows)
    lines = []
    for label, aim in AIMS.items():
        ahead, reverse = (found["90", "bfloat16", "16", "time", direction, label] for direction in DIRECTIONS)
        if ahead > aim:
            lines.append(f"{label}: {ahead:.1f} instructions for each channel and step, aim {aim:g}")
        if reverse > REVERSED_AIM * ahead:
            lines.append(f"{label}, reversed: {reverse / ahead:.2f} times the other direction, aim {REVERSED_AIM:g}")
    spilt = Counter(row["kernel"] for row in rows if int(row["N"]) <= UNSPILT_TO and int(row["spills"]))
    return lines + [f"{kernel}: spills in {count} rows up to N {UNSPILT_TO}" for kernel, count in spilt.items()]


def main() -> int:
    import triton

    path = REFERENCE / f"{triton.__version__}.csv"
    rows = written(table())
    if "--write" in sys.argv[1:]:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, (*KEY, *MEASURED), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    if not path.exists():
        print(f"no table of Triton {triton.__version__} in {REFERENCE}; --write makes one")
        return 2
    with path.open(newline="") as file:
        found = rises(rows, list(csv.DictReader(file))) + missed(rows)
    for key, one in sorted(totals(rows).items()):
        if key[2] == str(STATES[0]):
            print(*key, f"{one:.2f}")
    print(*found, f"Triton {triton.__version__}: {len(rows)} rows, {len(found)} rises or missed aims", sep="\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    sys.exit(main())
