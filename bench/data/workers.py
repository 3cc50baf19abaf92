"""Parallel reading of pieces in child processes, in order; a file that crashes its process costs that file alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Empty, SimpleQueue

from bench.data.worker import Answer, Job, receive, send
from bench.errors import UserError

JOB_LIMIT_S = 120.0
JOBS_PER_PROCESS = 12
"""A process costs about a second to start; below this many pieces each, fewer processes are as fast."""

ProgressCallback = Callable[[int, int], None]


def usable_cores() -> int:
    """Cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


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
    answers: dict[int, Answer] = {}
    with _pool(jobs, max(1, count), limit_s) as results:
        for index, answer in results:
            answers[index] = answer
            if progress is not None:
                progress(len(answers), len(jobs))
    again = [index for index, answer in sorted(answers.items()) if answer.transient]
    with _pool([jobs[index] for index in again], 1, limit_s) as results:
        for place, answer in results:
            answers[again[place]] = answer
    return [answers[index] for index in range(len(jobs))]


@contextmanager
def _pool(jobs: Sequence[Job], count: int, limit_s: float) -> Iterator[Iterator[tuple[int, Answer]]]:
    todo: SimpleQueue[int] = SimpleQueue()
    for index in range(len(jobs)):
        todo.put(index)
    results: SimpleQueue[tuple[int, Answer] | BaseException] = SimpleQueue()
    readers = [ReadingProcess(limit_s) for _ in range(count)]

    def work(reader: ReadingProcess) -> None:
        try:
            while True:
                index = todo.get_nowait()
                results.put((index, reader.ask(jobs[index])))
        except Empty:
            pass
        except BaseException as error:
            results.put(error)

    def stream() -> Iterator[tuple[int, Answer]]:
        for _ in range(len(jobs)):
            result = results.get()
            if isinstance(result, BaseException):
                raise UserError(f"no reading process could be started: {result}") from result
            yield result

    threads = [threading.Thread(target=work, args=(reader,), daemon=True) for reader in readers]
    for thread in threads:
        thread.start()
    try:
        yield stream()
    finally:
        while True:
            try:
                todo.get_nowait()
            except Empty:
                break
        for reader in readers:
            reader.close()
        for thread in threads:
            thread.join()
