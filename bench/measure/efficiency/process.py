"""One measuring process seen from its parent: start it, ask, read its answers with a deadline, know how it died."""

from __future__ import annotations

import json
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

from bench.child import measuring_environment, system_oom_kills
from bench.study.settings import kernel_environment

WORKER_MODULE = "bench.measure.efficiency.worker"


class WorkerDied(Exception):
    """A measuring process ended before its work; `status` is failed, oom or timeout, the message says why."""

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


def worker_environment(threads: int, kernels: Mapping[str, str]) -> dict[str, str]:
    """Environment of a measuring process: its thread count, threads that wait well, the kernels asked for."""
    return measuring_environment(threads) | {"KMP_BLOCKTIME": "0"} | kernel_environment(kernels)


class WorkerProcess:
    """A child that reads one JSON command a line and answers in JSON lines, the last of them {"event": "done"}.

    It has a session of its own, so a Ctrl-C in the terminal reaches only the parent, which then ends its children.
    """

    def __init__(self, settings: Mapping[str, Any], threads: int, kernels: Mapping[str, str], log_path: Path) -> None:
        log_path.parent.mkdir(parents=True, exist_ok=True)
        self._oom_kills = system_oom_kills()
        self._log: TextIO = log_path.open("w")
        self.process = subprocess.Popen(
            [sys.executable, "-m", WORKER_MODULE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env=worker_environment(threads, kernels),
            start_new_session=True,
        )
        self._lines: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()
        with suppress(WorkerDied):  # a process that died at once says so when its answers are read
            self.send({"command": "start", **settings})

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)
        self._lines.put(None)

    def send(self, message: Mapping[str, Any]) -> None:
        """Send one command. Raises WorkerDied when nobody reads any more."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(message) + "\n")
            self.process.stdin.flush()
        except OSError:
            raise self._death() from None

    def answers(self, silence_s: float) -> Iterator[dict[str, Any]]:
        """The messages up to "done". Raises WorkerDied on an error, an end, or `silence_s` seconds without a word."""
        while True:
            try:
                line = self._lines.get(timeout=silence_s)
            except queue.Empty:
                self.kill()
                raise WorkerDied("timeout", f"timeout: no answer within {silence_s:g} s") from None
            if line is None:
                raise self._death()
            message = json.loads(line)
            if message["event"] == "error":
                self.kill()
                raise WorkerDied(message["status"], message["reason"])
            if message["event"] == "done":
                return
            yield message

    def _death(self) -> WorkerDied:
        """Why the process is gone, from its exit status."""
        code = self.process.wait()
        if code >= 0:
            return WorkerDied("failed", f"error: the measuring process ended with exit status {code}")
        if -code == signal.SIGKILL and system_oom_kills() > self._oom_kills:
            return WorkerDied("oom", "oom: the system's out-of-memory killer ended the measuring process")
        if -code == signal.SIGINT:
            return WorkerDied("failed", "interrupted")
        return WorkerDied("failed", f"error: the measuring process was ended by {signal.Signals(-code).name}")

    def kill(self) -> None:
        """End the process now, if it still runs."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def close(self) -> None:
        """Let the process end by itself (end of its input), else end it; close the log."""
        if self.process.stdin is not None:
            with suppress(OSError):
                self.process.stdin.close()
        try:
            self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self.kill()
        self._log.close()
