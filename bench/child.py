"""Measuring child processes: their environment, their end with the parent, their memory, and why one died."""

from __future__ import annotations

import errno
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

from bench.files import to_json

WAITING = {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "20000"}
"""Environment variables; they must be set before torch is imported."""
THREAD_COUNTS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")


def measuring_environment(threads: int) -> dict[str, str]:
    """This process's environment for a child that measures: a fixed number of threads, that wait as above, and output
    that is passed on at once."""
    return os.environ | dict.fromkeys(THREAD_COUNTS, str(threads)) | WAITING | {"PYTHONUNBUFFERED": "1"}


PARENT_VARIABLE = "SMDIM_BENCH_PARENT"
PR_SET_PDEATHSIG = 1  # prctl(2): the signal this process gets when its parent ends


class Events:
    """Writes events to the runner; ends the process when the runner is gone, so that no orphan goes on computing."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def __call__(self, **event: Any) -> None:
        try:
            self.stream.write(to_json(event) + "\n")
            self.stream.flush()
        except (BrokenPipeError, ValueError):
            os._exit(1)


def end_with_parent() -> None:
    """Ask the system to end this process when its parent ends, so that a killed runner leaves no orphan at work.

    Linux only; elsewhere an orphan ends at its next event, when nobody reads it.
    """
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if str(os.getppid()) != os.environ.get(PARENT_VARIABLE, str(os.getppid())):
        os._exit(1)  # it ended before the wish was in place


def peak_bytes(processes: int = 1) -> int | None:
    """Most memory this process held, and with it `processes` as large as its largest descendant where it had more than
    one train; None where the system does not tell."""
    try:
        import resource
    except ImportError:
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    mine = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    theirs = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss if processes > 1 else 0
    return (mine + processes * theirs) * unit


def classify(error: BaseException) -> tuple[str, str]:
    """State and one-line reason of a cell that ended in `error`."""
    message = f"{type(error).__name__}: {error}".splitlines()[0]
    if (
        isinstance(error, MemoryError)
        or "out of memory" in message.lower()
        or "can't allocate memory" in message.lower()
    ):
        return "oom", f"oom: {message}"
    if type(error).__name__ == "Diverged":
        return "diverged", f"diverged: {error}"
    return "failed", f"error: {message}"


def disk_is_full(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        error = error.__cause__ or error.__context__
    return False


VMSTAT = Path("/proc/vmstat")


def system_oom_kills() -> int:
    """How many processes this system has ended for want of memory since it started; 0 where it does not tell."""
    try:
        lines = VMSTAT.read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)


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
