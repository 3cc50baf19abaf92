"""Cores that this process may use."""

from __future__ import annotations

import os


def usable_cores() -> int:
    """Cores this process may run on: of a container's or job's share, not of the whole machine."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
