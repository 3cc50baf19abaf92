"""Runs cells, each in a fresh process, a few at a time, and passes on what they say."""

from __future__ import annotations

import errno
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.errors import UserError
from bench.run.store import CellFolder
from bench.run.worker import failure_rows
from bench.study import Cell

TERMINATE_GRACE_S = 5.0
OnEvent = Callable[[Cell, dict[str, Any]], None]


@dataclass
class _Running:
    cell: Cell
    folder: CellFolder
    process: subprocess.Popen[str]
    started: float = field(default_factory=time.time)


def child_environment(threads: int) -> dict[str, str]:
    """Environment of a measuring process: a fixed number of threads that sleep, not spin, while they wait."""
    count = str(threads)
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
    return os.environ | dict.fromkeys(names, count) | {"OMP_WAIT_POLICY": "passive", "PYTHONUNBUFFERED": "1"}


def run_cells(work: Iterable[tuple[Cell, CellFolder]], *, jobs: int, on_event: OnEvent) -> None:
    """Run each cell to a written status, at most `jobs` at once. Events: `start`, the worker's own, `end`.

    On KeyboardInterrupt the running workers are ended; their cells stay unfinished and resume in a later run.
    Raises UserError when no space is left.
    """
    waiting = list(work)[::-1]
    running: dict[int, _Running] = {}
    messages: queue.Queue[tuple[int, dict[str, Any] | None]] = queue.Queue()
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                entry = _start(*waiting.pop(), messages)
                running[entry.process.pid] = entry
                on_event(entry.cell, {"event": "start"})
            pid, message = messages.get()
            entry = running[pid]
            if message is not None:
                on_event(entry.cell, message)
                continue
            entry.process.wait()
            del running[pid]
            _settle(entry)
            status = entry.folder.status()
            on_event(entry.cell, {"event": "end", "state": status.state, "reason": status.reason})
    finally:
        _end_all(running.values())


def _start(cell: Cell, folder: CellFolder, messages: queue.Queue[tuple[int, dict[str, Any] | None]]) -> _Running:
    folder.begin(cell)
    with (folder.path / "log.txt").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "bench.run.worker", str(folder.path)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=child_environment(int(cell.labels.get("threads", 1))),
            start_new_session=True,
        )
    threading.Thread(target=_listen, args=(process, messages), daemon=True).start()
    return _Running(cell, folder, process)


def _listen(process: subprocess.Popen[str], messages: queue.Queue[tuple[int, dict[str, Any] | None]]) -> None:
    assert process.stdout
    for line in process.stdout:
        try:
            messages.put((process.pid, json.loads(line)))
        except ValueError:
            continue
    messages.put((process.pid, None))


def _settle(entry: _Running) -> None:
    """Give a cell whose process died without a status one: a failed row, not a vanished one."""
    code = entry.process.returncode
    if code == errno.ENOSPC:
        raise UserError(f"no space left on the device that holds {entry.folder.path}; finished cells are kept")
    if code == 0:
        return
    if code < 0:
        name = signal.Signals(-code).name
        reason = f"error: the process was ended by {name}"
        state = "failed"
        if -code == signal.SIGKILL:
            state, reason = "oom", "oom: the process was ended by SIGKILL, as systems do when memory runs out"
    else:
        state, reason = "failed", f"error: the process exited with code {code}: {last_line(entry.folder.path)}"
    configuration = entry.folder.configuration() or {"kind": entry.cell.kind}
    entry.folder.finish(state, failure_rows(configuration, reason), reason=reason, started=entry.started)


def last_line(folder: Path) -> str:
    """Last line that is not empty of a cell's log."""
    try:
        lines = [line for line in (folder / "log.txt").read_text(errors="replace").splitlines() if line.strip()]
    except OSError:
        lines = []
    return lines[-1] if lines else "no output"


def _end_all(running: Iterable[_Running]) -> None:
    alive = [entry for entry in running if entry.process.poll() is None]
    for entry in alive:
        entry.process.terminate()
    deadline = time.monotonic() + TERMINATE_GRACE_S
    for entry in alive:
        try:
            entry.process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            entry.process.kill()
            entry.process.wait()
