"""The measuring process of one arm, seen from its parent: commands out, answers in, each within a deadline."""

from __future__ import annotations

import json
import queue
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from bench.child import Child
from bench.errors import CellFailure
from bench.study.settings import kernel_environment

WORKER = ("-m", "bench.measure.efficiency.worker")


class WorkerProcess(Child):
    """A child that reads one JSON command a line and answers in JSON lines, the last of them {"event": "done"}."""

    def __init__(
        self,
        settings: Mapping[str, Any],
        threads: int,
        kernels: Mapping[str, str],
        log: Path,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        variables = kernel_environment(kernels) | dict(environment or {})
        super().__init__(*WORKER, log=log, threads=threads, environment=variables, commands=True)
        self._lines: queue.Queue[bytes | None] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()
        with suppress(CellFailure):  # of a process that ended at once: raised when its answers are read
            self.send({"command": "start", **settings})

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)
        self._lines.put(None)

    def send(self, message: Mapping[str, Any]) -> None:
        """Send one command. Raises CellFailure where the process has ended."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(message).encode() + b"\n")
            self.process.stdin.flush()
        except OSError:
            raise self.failure() from None

    def answers(self, silence_s: float) -> Iterator[dict[str, Any]]:
        """The messages up to "done". Raises CellFailure on an error, an end, or `silence_s` seconds without a line."""
        while True:
            try:
                line = self._lines.get(timeout=silence_s)
            except queue.Empty:
                self.end(0)
                raise CellFailure("timeout", f"timeout: no answer within {silence_s:g} s") from None
            if line is None:
                raise self.failure()
            message = json.loads(line)
            if message["event"] == "error":
                self.end(0)
                raise CellFailure(message["state"], message["reason"])
            if message["event"] == "done":
                return
            yield message

    def close(self) -> None:
        """Let the process end at the end of its input, else end it."""
        assert self.process.stdin is not None
        with suppress(OSError):
            self.process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(5)
        self.end(0)
