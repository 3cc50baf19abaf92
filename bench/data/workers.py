"""Parallel reading of pieces in child processes, in order; a file that crashes its process costs that file alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue

from bench.data.worker import Answer, Job, receive, send
from bench.errors import UserError
from metrics.cost.cores import usable_cores

JOB_LIMIT_S = 120.0
JOBS_PER_PROCESS = 12
"""A process costs about a second to start; below this many pieces each, fewer processes are as fast."""

ProgressCallback = Callable[[int, int], None]


class ReadingProcess:
    """One child that reads pieces; started when first needed and again after a crash."""

    def __init__(self, limit_s: float) -> None:
        self.limit_s = limit_s
        self._child: subprocess.Popen[bytes] | None = None
        self._closed = False

    def ask(self, job: Job) -> Answer:
        """Do a job; a crash or a time-out of the child is an answer with a reason."""
        child = self._start()
        assert child.stdin is not None and child.stdout is not None
        expired = threading.Event()

        def expire() -> None:
            expired.set()
            _end(child)

        timer = threading.Timer(self.limit_s, expire)
        timer.start()
        try:
            send(child.stdin, job)
            return receive(child.stdout)
        except (EOFError, OSError):
            self._reap()
            if expired.is_set():
                return Answer(reason=f"reading took longer than {self.limit_s:g} s", transient=True)
            return Answer(reason=f"crashed the reader (exit status {child.returncode})", transient=True)
        finally:
            timer.cancel()

    def close(self) -> None:
        """End the child at once."""
        self._closed = True
        if self._child is not None:
            _end(self._child)
            self._reap()

    def _start(self) -> subprocess.Popen[bytes]:
        if self._child is None or self._child.poll() is not None:
            environment = dict(os.environ, PYTHONPATH=os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path))
            environment.setdefault("OMP_NUM_THREADS", "1")
            self._child = subprocess.Popen(
                [sys.executable, "-P", "-c", "from bench.data.worker import main; main()"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=environment,
                start_new_session=True,  # so that what a parser started can be ended with it
            )
            if self._closed:
                _end(self._child)
        return self._child

    def _reap(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.wait()
            for stream in (child.stdin, child.stdout):
                if stream is not None:
                    with suppress(OSError):
                        stream.close()


def _end(child: subprocess.Popen[bytes]) -> None:
    """Kill a child and everything it started."""
    with suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg") and child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
    child.kill()


def read_all(
    jobs: Sequence[Job],
    *,
    processes: int | None = None,
    progress: ProgressCallback | None = None,
    limit_s: float = JOB_LIMIT_S,
) -> list[Answer]:
    """Answers in the order of the jobs. `progress(done, total)` is called in this thread after each answer.

    `processes` defaults to one a usable core, fewer for few jobs. A job whose process crashed or ran out of time or
    memory is tried once more, alone, so that a busy machine does not cost a piece. Raises UserError when no reading
    process starts.
    """
    if not jobs:
        return []
    count = processes or min(usable_cores(), -(-len(jobs) // JOBS_PER_PROCESS))
    answers = _read(jobs, max(1, count), limit_s, progress)
    again = [index for index, answer in enumerate(answers) if answer.transient]
    for index, answer in zip(again, _read([jobs[index] for index in again], 1, limit_s, None), strict=True):
        answers[index] = answer
    return answers


def _read(jobs: Sequence[Job], count: int, limit_s: float, progress: ProgressCallback | None) -> list[Answer]:
    idle: SimpleQueue[ReadingProcess] = SimpleQueue()
    readers = [ReadingProcess(limit_s) for _ in range(count)]
    for reader in readers:
        idle.put(reader)

    def read(job: Job) -> Answer:
        reader = idle.get()
        try:
            return reader.ask(job)
        finally:
            idle.put(reader)

    with ThreadPoolExecutor(count) as pool:
        futures = [pool.submit(read, job) for job in jobs]
        try:
            for done, future in enumerate(as_completed(futures), start=1):
                if error := future.exception():
                    raise UserError(f"no reading process could be started: {error}") from error
                if progress is not None:
                    progress(done, len(jobs))
            return [future.result() for future in futures]
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            for reader in readers:
                reader.close()
