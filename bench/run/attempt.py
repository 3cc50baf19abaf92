"""An attempt of a cell: its process, its events, its limits, and the meaning of its end."""

from __future__ import annotations

import errno
import json
import os
import select
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from enum import Enum
from pathlib import Path
from typing import Any

from bench.child import KEPT_MEMORY, resident_bytes
from bench.errors import CellFailure, UserError
from bench.run.cell_process import BEGUN, ENDED, CellServers
from bench.run.worker import LEASE_LOST, failure_rows
from bench.store.cells import FINISHED, CellFolder
from bench.study.grid import Cell
from bench.study.settings import Limits, kernel_environment

LOOK_S = 0.2  # between looks at the limits and at the stop event
PROGRESS_INTERVAL_S = 1.0
KILLS = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT)  # signals from outside, no fault of the cell
Emit = Callable[[dict[str, Any]], None]


class End(Enum):
    """How an attempt ended."""

    SETTLED = "the cell has a status"
    KILLED = "the process was killed from outside; another attempt goes on from its checkpoint"
    STOPPED = "the runner stops"
    LOST = "another runner took the cell over"


class Progress:
    """Writes the newest event of a cell into its folder, about once a second, for `status` in another terminal."""

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


def attempt(
    cell: Cell,
    folder: CellFolder,
    limits: Limits,
    lease: Path,
    emit: Emit,
    stop: threading.Event,
    servers: CellServers,
) -> tuple[End, str]:
    """Run the cell once in a process of its own; how that ended, and the reason where it was killed from outside.

    The process is ended when `stop` is set and when it passes a limit. Raises UserError when no space is left.
    """
    folder.begin(cell)
    started = time.time()
    threads = int(cell.labels.get("threads", 1))
    environment = KEPT_MEMORY | kernel_environment(cell.settings.get("kernels", {}))
    server = servers.begin(folder.path / "log.txt", threads, environment, [str(folder.path), str(lease)])
    failure, code = None, None
    try:
        failure, code = _watch(server.process, limits, Progress(folder), emit, stop)
    finally:
        if code is None:
            servers.end()
    if code is None:
        code = server.process.returncode
    if code == errno.ENOSPC:
        raise UserError(f"no space left on the device that holds {folder.path}; finished cells are kept")
    if code == 0:
        return End.SETTLED, ""
    if not lease.exists() or code == LEASE_LOST:
        return End.LOST, ""
    if folder.status().state in FINISHED:  # killed after it wrote its status
        return End.SETTLED, ""
    if stop.is_set() and failure is None:
        return End.STOPPED, ""
    if failure is None:
        failure = server.failure(code)
        if -code in KILLS and failure.state != "oom":
            return End.KILLED, failure.reason
    settle(cell, folder, failure.state, failure.reason, started)
    return End.SETTLED, ""


def settle(cell: Cell, folder: CellFolder, state: str, reason: str, started: float | None = None) -> None:
    """Give a cell that cannot be measured a status and rows with the reason."""
    folder.finish(state, failure_rows(cell.kind, reason), reason=reason, started=started)


def _watch(
    process: subprocess.Popen[bytes], limits: Limits, progress: Progress, emit: Emit, stop: threading.Event
) -> tuple[CellFailure | None, int | None]:
    """Pass events on until the cell has ended; the failure where it passed a limit, and the exit code of its fork."""
    assert process.stdout
    deadline = time.monotonic() + limits.time_s if limits.time_s else None
    unread, open_, pid = b"", True, process.pid
    while open_ or process.poll() is None:
        if open_ and select.select([process.stdout], [], [], LOOK_S)[0]:
            data = os.read(process.stdout.fileno(), 1 << 16)
            open_ = bool(data)
            *lines, unread = (unread + data).split(b"\n")
            for event in filter(None, map(_event, lines)):
                if event["event"] == ENDED:
                    return None, event["code"]
                if event["event"] == BEGUN:
                    pid = event["pid"]
                else:
                    progress(event)
                    emit(event)
        elif not open_:
            with suppress(subprocess.TimeoutExpired):
                process.wait(LOOK_S)
        if stop.is_set():
            break
        if deadline and time.monotonic() > deadline:
            return CellFailure("timeout", f"timeout: over the limit of {limits.time_s:g} s (limits.time_s)"), None
        if limits.memory_gib and resident_bytes(pid) > limits.memory_gib * 2**30:
            return CellFailure("oom", f"oom: over the limit of {limits.memory_gib:g} GiB (limits.memory_gib)"), None
    return None, None


def _event(line: bytes) -> dict[str, Any] | None:
    with suppress(ValueError):
        event = json.loads(line)
        return event if isinstance(event, dict) else None
    return None
