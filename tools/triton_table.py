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
import sys
import tempfile
from collections import Counter, defaultdict
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from unittest.mock import patch

from triton_compiled import LAYOUTS, MEASURED, TYPES, Case, compiled, launches, measured

ROOT = Path(__file__).resolve().parents[1]
REFERENCE = ROOT / "results" / "reference" / "triton"
STATES = (16, 32, 64)
DIRECTIONS = ("forward", "reversed")
CAPABILITIES = (80, 90)
KEY = ("capability", "pass", "kernel", "type", "N", "direction", "layout")
AIMS = {"forward": 25.0, "backward": 80.0}
"""Instructions for each channel and step of a pass at sm_90, bfloat16, N 16, time side by side."""
REVERSED_AIM = 1.3
UNSPILT_TO = 32
"""Largest N at which nothing may spill."""
ROUNDING = 0.005
Row = dict[str, Any]


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
    paths = os.pathsep.join((str(ROOT), str(ROOT / "tools")))
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        stack.enter_context(patch.dict(os.environ, TRITON_CACHE_DIR=folder, TRITON_INTERPRET="0", PYTHONPATH=paths))
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
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, (*KEY, *MEASURED), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    if not path.exists():
        print(f"no table of Triton {triton.__version__} in {REFERENCE}; --write makes one")
        return 2
    with path.open(newline="", encoding="utf-8") as file:
        found = rises(rows, list(csv.DictReader(file))) + missed(rows)
    for key, one in sorted(totals(rows).items()):
        if key[2] == str(STATES[0]):
            print(*key, f"{one:.2f}")
    print(*found, f"Triton {triton.__version__}: {len(rows)} rows, {len(found)} rises or missed aims", sep="\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    sys.exit(main())
