"""One cell in one fresh process, watched: its events, its limits, and what its end means."""

from __future__ import annotations

import errno
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from enum import Enum
from pathlib import Path
from typing import Any

from bench.child import PARENT_VARIABLE, measuring_environment, resident_bytes, system_oom_kills
from bench.errors import UserError
from bench.run.worker import LEASE_LOST, failure_rows
from bench.store.cells import FINISHED, CellFolder
from bench.study.grid import Cell
from bench.study.settings import Limits, kernel_environment

WORKER = ("-P", "-m", "bench.run.worker")
LOOK_S = 0.2  # between looks at limits and at the wish to stop
PROGRESS_INTERVAL_S = 1.0
TERMINATE_GRACE_S = 5.0
FORGIVEN = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT)  # how systems take a process away
Emit = Callable[[dict[str, Any]], None]


class End(Enum):
    """How an attempt ended."""

    SETTLED = "the cell has a status"
    KILLED = "the process was taken away; another attempt goes on from its checkpoint"
    STOPPED = "the runner wished it"
    LOST = "another runner took the cell over"


class Progress:
    """Keeps the newest event of a cell in its folder, about once a second, for `status` in another terminal."""

    def __init__(self, folder: CellFolder) -> None:
        self.folder = folder
        self.last = 0.0

    def __call__(self, event: dict[str, Any]) -> None:
        if time.monotonic() - self.last >= PROGRESS_INTERVAL_S:
            self.last = time.monotonic()
            with suppress(OSError):
                self.folder.write_progress(
                    event | {"at": time.time(), "host": socket.gethostname(), "pid": os.getpid()}
                )


def child_environment(cell: Cell) -> dict[str, str]:
    """Environment of a measuring process that ends with this one: the cell's threads and the kernels it asks for."""
    threads, kernels = int(cell.labels.get("threads", 1)), cell.settings.get("kernels", {})
    return measuring_environment(threads) | kernel_environment(kernels) | {PARENT_VARIABLE: str(os.getpid())}


def attempt(
    cell: Cell, folder: CellFolder, limits: Limits, lease: Path, emit: Emit, stop: threading.Event
) -> tuple[End, str]:
    """Run the cell once in a process of its own; how that ended, and the reason where the process was killed.

    The process is ended when `stop` is set and when it passes a limit. Raises UserError when no space is left.
    """
    folder.begin(cell)
    started, oom_kills = time.time(), system_oom_kills()
    with (folder.path / "log.txt").open("a") as log:
        process = subprocess.Popen(
            [sys.executable, *WORKER, str(folder.path), str(lease)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            env=child_environment(cell),
            start_new_session=True,
        )
    try:
        verdict = _watch(process, limits, Progress(folder), emit, stop)
    finally:
        end_process(process)
        if process.stdout:
            process.stdout.close()
    code = process.returncode
    if code == errno.ENOSPC:
        raise UserError(f"no space left on the device that holds {folder.path}; finished cells are kept")
    if code == 0:
        return End.SETTLED, ""
    if not lease.exists() or code == LEASE_LOST:
        return End.LOST, ""
    if folder.status().state in FINISHED:  # taken away after its last word, while it was leaving
        return End.SETTLED, ""
    if stop.is_set() and verdict is None:
        return End.STOPPED, ""
    if verdict is None:
        grown = system_oom_kills() > oom_kills
        if -code in FORGIVEN and not grown:
            return End.KILLED, f"error: the process was ended by {signal.Signals(-code).name}"
        verdict = _verdict(code, grown, folder)
    settle(cell, folder, *verdict, started=started)
    return End.SETTLED, ""


def settle(cell: Cell, folder: CellFolder, state: str, reason: str, started: float | None = None) -> None:
    """Give a cell that cannot be measured a status and rows of its own: a failed row, not a vanished one."""
    folder.finish(state, failure_rows({"kind": cell.kind}, reason), reason=reason, started=started)


def _watch(
    process: subprocess.Popen[bytes], limits: Limits, progress: Progress, emit: Emit, stop: threading.Event
) -> tuple[str, str] | None:
    """Pass events on until the process is gone; state and reason where it passed a limit and was ended for it."""
    assert process.stdout
    deadline = time.monotonic() + limits.time_s if limits.time_s else None
    unread, open_ = b"", True
    while open_ or process.poll() is None:
        if open_ and select.select([process.stdout], [], [], LOOK_S)[0]:
            data = os.read(process.stdout.fileno(), 1 << 16)
            open_ = bool(data)
            *lines, unread = (unread + data).split(b"\n")
            for line in lines:
                with suppress(ValueError):
                    event = json.loads(line)
                    progress(event)
                    emit(event)
        elif not open_:
            with suppress(subprocess.TimeoutExpired):
                process.wait(LOOK_S)
        if stop.is_set():
            return None
        if deadline and time.monotonic() > deadline:
            return "timeout", f"timeout: over the limit of {limits.time_s:g} s (limits.time_s)"
        if limits.memory_gib and resident_bytes(process.pid) > limits.memory_gib * 2**30:
            return "oom", f"oom: over the limit of {limits.memory_gib:g} GiB (limits.memory_gib)"
    return None


def _verdict(code: int, oom_kill: bool, folder: CellFolder) -> tuple[str, str]:
    if -code == signal.SIGKILL and oom_kill:
        return "oom", "oom: the system's out-of-memory killer ended the process"
    if code < 0:
        return "failed", f"error: the process was ended by {signal.Signals(-code).name}"
    return "failed", f"error: the process exited with code {code}: {last_line(folder.path)}"


def last_line(folder: Path) -> str:
    """Last line that is not empty of a cell's log."""
    try:
        lines = [line for line in (folder / "log.txt").read_text(errors="replace").splitlines() if line.strip()]
    except OSError:
        lines = []
    return lines[-1] if lines else "no output"


def end_process(process: subprocess.Popen[bytes]) -> None:
    """End a process that still runs: a word first, then without asking."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(TERMINATE_GRACE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
