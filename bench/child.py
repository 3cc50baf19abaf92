"""A measuring child process: how it is started, ends with its parent, and is read when it died."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from bench.errors import CellFailure
from bench.files import to_json
from bench.launcher import without_launcher

if TYPE_CHECKING:
    import psutil

WAITING = {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "20000", "KMP_BLOCKTIME": "0"}
"""Environment variables of threads that sleep while they wait; they must be set before torch is imported."""
KEPT_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(16 << 30)}
"""Environment variables of a process that trains: glibc gives memory that a step frees to the next step, not back to
the system, which would clear every page again. The first is the largest threshold that it takes (mallopt(3))."""
RETURNED_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(16 << 10)}
"""Environment variables of a process whose memory is measured: glibc gives a block of 16 KiB or more back to the system
as soon as it is freed, so that a peak is what lives at once and not how the heap is fragmented, which differs from
process to process. Each call then waits for the system to clear pages, up to twice as long as otherwise."""
THREAD_COUNTS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
UTF8 = {"PYTHONUTF8": "1", "PYTHONIOENCODING": "utf-8"}
"""Files, their names and pipes in UTF-8, whatever the locale is."""
PARENT_VARIABLE = "SMDIM_BENCH_PARENT"
PR_SET_PDEATHSIG = 1  # prctl(2): the signal this process gets when its parent ends
TERMINATE_GRACE_S = 5.0
VMSTAT = Path("/proc/vmstat")


def python_command(*program: str) -> list[str]:
    """Command line of this Python interpreter for `program`, such as "-m", "bench.run.worker".

    `-P`: no file or folder of the working directory is taken for a package.
    """
    return [sys.executable, "-P", *program]


class Child:
    """A measuring process in a session of its own, seen from its parent: Ctrl-C in a terminal reaches the parent alone.

    Parameters
    ----------
    program: what Python runs; it calls `end_with_parent` first.
    log: file to which its standard error is appended; None: that of this process.
    threads: CPU threads; None: as in this process.
    environment: further variables.
    commands: whether its standard input is a pipe; else it is empty.
    """

    def __init__(
        self,
        *program: str,
        log: Path | None = None,
        threads: int | None = None,
        environment: Mapping[str, str] | None = None,
        commands: bool = False,
    ) -> None:
        self.log = log
        self.oom_kills = system_oom_kills()
        with log.open("ab") if log else nullcontext() as errors:
            self.process = subprocess.Popen(
                python_command(*program),
                stdin=subprocess.PIPE if commands else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=child_environment(threads) | dict(environment or {}),
                start_new_session=True,
            )

    def end(self, grace_s: float = TERMINATE_GRACE_S) -> None:
        """End the process where it still runs: SIGTERM, after `grace_s` seconds SIGKILL."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(grace_s)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def failure(self, code: int | None = None) -> CellFailure:
        """Why the process, or its part that ended with `code`, has no result: out-of-memory killer, another signal, or
        exit code and last line."""
        code = self.process.wait() if code is None else code
        if -code == signal.SIGKILL and system_oom_kills() > self.oom_kills:
            return CellFailure("oom", "oom: the system's out-of-memory killer ended the process")
        if code < 0:
            return CellFailure("failed", f"error: the process was ended by {signal.Signals(-code).name}")
        return CellFailure("failed", f"error: the process exited with code {code}: {last_line(self.log)}")


def child_environment(threads: int | None) -> dict[str, str]:
    """Environment of a measuring process: a fixed number of threads (None: as here) that sleep while they wait, output
    that is written at once, and the process with which it ends. Variables of launchers are left out."""
    counts = dict.fromkeys(THREAD_COUNTS, str(threads)) if threads else {}
    own = {"PYTHONUNBUFFERED": "1", PARENT_VARIABLE: str(os.getpid())}
    return without_launcher(os.environ) | counts | WAITING | UTF8 | own


def unusable_threads(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables of `THREAD_COUNTS` that are no positive number (OMP_NUM_THREADS: numbers, one a level)."""
    found = {}
    for name in THREAD_COUNTS:
        numbers = environment.get(name, "1").split(",")
        if not all(re.fullmatch(r"\s*0*[1-9][0-9]*\s*", one, re.ASCII) for one in numbers) or (
            len(numbers) > 1 and name != "OMP_NUM_THREADS"
        ):
            found[name] = environment[name]
    return found


def last_line(log: Path | None) -> str:
    """Last line of a log that is not empty."""
    lines = []
    with suppress(OSError):
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log else []
    return next((line for line in reversed(lines) if line.strip()), "no output")


def system_oom_kills() -> int:
    """How many processes the system's out-of-memory killer has ended since the system started; 0 where unknown."""
    try:
        lines = VMSTAT.read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)


def tree(pid: int) -> list[psutil.Process]:
    """`pid` and all that descend from it; empty where it has ended."""
    import psutil

    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def resident_bytes(pid: int) -> float:
    """Main memory of `pid` and its descendants; of the descendants, what they do not share with others (libraries that
    all have mapped count once). 0 where `pid` has ended."""
    import psutil

    total = 0.0
    for process in tree(pid):
        with suppress(psutil.Error):
            memory = process.memory_info()
            total += memory.rss if process.pid == pid else memory.rss - getattr(memory, "shared", 0)
    return total


def end_with_parent() -> None:
    """Ask the system to end this process when its parent ends, so that a killed runner leaves no process behind.

    Linux only; elsewhere such a process ends at its next event, which no process reads.
    """
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if str(os.getppid()) != os.environ.get(PARENT_VARIABLE, str(os.getppid())):
        os._exit(1)  # the parent ended before the signal was set


def own_output() -> TextIO:
    """Standard output for events alone: from here on, what libraries print goes to standard error."""
    sys.stdout.flush()
    private = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return private


class Events:
    """Writes events to the parent, one JSON object a line; ends the process where no process reads them any more."""

    def __init__(self, stream: TextIO, encode: Callable[[Any], str] = to_json) -> None:
        self.stream, self.encode = stream, encode

    def __call__(self, event: str, **content: Any) -> None:
        line = self.encode({"event": event} | content)
        try:
            self.stream.write(line + "\n")
            self.stream.flush()
        except (BrokenPipeError, ValueError):
            os._exit(1)


def peak_bytes(processes: int = 1) -> int | None:
    """Most memory this process held, and with it `processes` as large as its largest descendant where it had more than
    one train; None where the system has no such figure."""
    try:
        import resource
    except ImportError:
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    mine = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    theirs = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss if processes > 1 else 0
    return (mine + processes * theirs) * unit
