"""One quality or reference cell in a process of its own: `python -m bench.run.worker <cell folder> <lease>`.

Events go to stdout, one JSON object a line (`stage`, `done`, `total`, `loss`, ...); everything that libraries print
goes to stderr, which the runner keeps as log.txt. The measurements and the status are written by this process.
Exit code 0 once a status is written, whatever it says. The process ends with the one that started it, and writes
nothing once the lease is gone: then another runner has taken the cell over.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from bench.files import write_atomically
from bench.run.machine import processes_of
from bench.run.store import CellFolder, to_json

if TYPE_CHECKING:
    import torch

PARENT_VARIABLE = "SMDIM_BENCH_PARENT"
LEASE_LOST = 75  # exit code: another runner owns the cell now
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


def main(argv: list[str]) -> int:
    """Run the cell whose folder is the only argument."""
    end_with_parent()
    events = Events(os.fdopen(os.dup(1), "w"))
    os.dup2(2, 1)  # whatever libraries print belongs in the log
    folder, lease = CellFolder(Path(argv[0])), Path(argv[1])
    configuration = folder.configuration()
    if configuration is None:
        print(f"{folder.path}: no readable cell.json", file=sys.stderr)
        return 1
    started = time.time()
    try:
        rows, environment_rows = _run(configuration, folder, events)
    except Exception as error:
        if _disk_is_full(error):
            print(f"no space left on the device that holds {folder.path}", file=sys.stderr)
            return errno.ENOSPC
        traceback.print_exc()
        state, reason = classify(error)
        rows, environment_rows = failure_rows(configuration, reason), {}
    else:
        state, reason = "done", ""
    if not lease.exists():
        print(f"{lease} is gone: another runner has taken this cell over", file=sys.stderr)
        return LEASE_LOST
    rows = [environment_rows | row for row in rows]
    peak = peak_bytes(processes_of(configuration["settings"]))
    folder.finish(state, rows, reason=reason, started=started, peak_bytes=peak)
    return 0


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


def _run(
    configuration: dict[str, Any], folder: CellFolder, events: Events
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    import torch

    from metrics.device import describe_environment

    threads = int(configuration["labels"].get("threads", 1))
    torch.set_num_threads(threads)
    environment = describe_environment(_device(configuration["settings"]))
    folder.mark_running(environment)
    common = {"device": environment["device"], "threads": threads}
    if configuration["kind"] == "reference":
        from bench.measure.reference import measure_reference

        return measure_reference(configuration["settings"], folder.path, events), common
    if "midi" in configuration["settings"]:
        from bench.measure.outside import measure_outside

        return measure_outside(configuration["settings"], folder.path, events), common
    from bench.measure.quality import measure_quality

    if processes_of(configuration["settings"]) > 1:
        from bench.run.ranks import train_together

        trained = train_together(configuration["settings"], folder.path, events)
        write_atomically(folder.path / "environment.json", to_json(environment | {"training": trained}, indent=2))
    return measure_quality(configuration["settings"], folder.path, events), common


def _device(settings: dict[str, Any]) -> torch.device | str:
    """Where the cell computes: on the device it trains on, a CPU where it does not train."""
    from metrics.device import resolve_device

    wanted = settings["train"]["device"] if "train" in settings else "cpu"
    try:
        return resolve_device(wanted)
    except ValueError:  # the trainer says what is missing, in the cell's row
        return "cpu"


def failure_rows(configuration: dict[str, Any], reason: str) -> list[dict[str, Any]]:
    """NaN rows that keep a failed cell in the table."""
    from bench.measure.rows import missing_rows

    return missing_rows(reason) if configuration["kind"] == "quality" else []


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


def _disk_is_full(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        error = error.__cause__ or error.__context__
    return False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
