"""A process and those it started, as Linux shows them."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def tree(pid: int) -> list[int]:
    """`pid` and all that descend from it; `pid` alone on other systems."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError, ValueError, IndexError):  # it ended just now
            parent = int(path.read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(path.parent.name))
    found = [pid]
    for one in found:
        found += children.get(one, [])
    return found


def resident_bytes(pid: int) -> float:
    """Main memory that `pid` and its descendants hold; of the descendants, what they do not share with others (the
    libraries that all have mapped count once). 0 where there is none, or it is not Linux."""
    total = 0.0
    for one in tree(pid):
        try:
            resident, shared = (int(word) for word in Path(f"/proc/{one}/statm").read_text().split()[1:3])
        except (OSError, ValueError):
            continue
        total += (resident if one == pid else resident - shared) * os.sysconf("SC_PAGE_SIZE")
    return total
