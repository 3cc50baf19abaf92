"""The process of a cell, from both of its ends: a fork of a process that has imported the libraries.

Importing takes as long as many a small cell; a server does it once for all cells that one place of a runner measures.

    runner -- {"arguments": [...], "log": "..."} --> server --fork--> cell
       <-- {"event": "begun", "pid": 7}, the cell's own events, {"event": "ended", "code": 0} --

A cell on a GPU is measured by the server itself, which ends with it: a process that has begun to use CUDA cannot be
forked (https://docs.pytorch.org/docs/stable/notes/multiprocessing.html). So it is outside Linux, and where the system
gives no process.
"""

from __future__ import annotations

import gc
import json
import os
import select
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from bench.child import PARENT_VARIABLE, TERMINATE_GRACE_S, Child, Events, end_with_parent, own_output, system_oom_kills

WORKER = ("-m", "bench.run.worker")
BEGUN, ENDED = "begun", "ended"
"""Events of the server: the cell has a process, and that process has ended."""


class CellServer(Child):
    """A process that measures cells, one at a time. Its parameters: those of `Child`."""

    def __init__(self, log: Path, threads: int, environment: Mapping[str, str]) -> None:
        super().__init__(*WORKER, log=log, threads=threads, environment=environment, commands=True)
        self.settings = (threads, dict(environment))

    def begin(self, log: Path, arguments: Sequence[str]) -> None:
        """Measure a cell, whose output but for events goes to `log`. Raises BrokenPipeError where the process has
        ended, another OSError where nothing can be written to the log."""
        assert self.process.stdin
        log.open("ab").close()
        self.log, self.oom_kills = log, system_oom_kills()
        self.process.stdin.write(json.dumps({"arguments": list(arguments), "log": str(log)}).encode() + b"\n")
        self.process.stdin.flush()


class CellServers:
    """At most one `CellServer`, that of a runner's place; as a context, it is ended at the end."""

    def __init__(self) -> None:
        self.server: CellServer | None = None

    def __enter__(self) -> CellServers:
        return self

    def __exit__(self, *raised: object) -> None:
        self.end()

    def begin(self, log: Path, threads: int, environment: Mapping[str, str], arguments: Sequence[str]) -> CellServer:
        """Have a cell measured by the server, or by a new one where it has ended or has other settings. Raises OSError
        where nothing can be written to the log."""
        server = self.server
        if server and server.process.poll() is None and server.settings == (threads, dict(environment)):
            with suppress(BrokenPipeError):  # it ended just now
                server.begin(log, arguments)
                return server
        self.end()
        self.server = server = CellServer(log, threads, environment)
        with suppress(BrokenPipeError):  # its end is read as that of a cell
            server.begin(log, arguments)
        return server

    def end(self) -> None:
        """End the server, and with it a cell that it measures, which is gone once its events have ended."""
        if self.server:
            self.server.end()
            self._read_to_the_end(self.server)
            for pipe in (self.server.process.stdin, self.server.process.stdout):
                assert pipe
                with suppress(OSError):  # of a command that an ended process did not read
                    pipe.close()
            self.server = None

    @staticmethod
    def _read_to_the_end(server: CellServer) -> None:
        assert server.process.stdout
        events, deadline = server.process.stdout.fileno(), time.monotonic() + TERMINATE_GRACE_S
        while (left_s := deadline - time.monotonic()) > 0 and select.select([events], [], [], left_s)[0]:
            if not os.read(events, 1 << 16):
                break


def serve(
    run: Callable[[list[str], Events], int],
    prepare: Callable[[], None] = lambda: None,
    forks: Callable[[list[str]], bool] = lambda arguments: True,
) -> int:
    """Measure cells by commands of standard input, until its end; in a fork, the exit code of its cell.

    Parameters
    ----------
    run: measures the cell of these arguments; its exit code.
    prepare: imports what every cell needs.
    forks: whether the cell of these arguments may be measured in a fork.
    """
    end_with_parent()
    events = Events(own_output())
    prepare()
    os.environ[PARENT_VARIABLE] = str(os.getpid())
    gc.freeze()  # no collection of a fork writes to, and so copies, the pages of what was imported
    for line in sys.stdin:
        command = json.loads(line)
        log = os.open(command["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        for output in (1, 2):
            os.dup2(log, output)
        os.close(log)
        arguments = command["arguments"]
        pid = _fork() if sys.platform == "linux" and forks(arguments) else None
        if not pid:
            return run(arguments, events)
        events(BEGUN, pid=pid)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        events.stream.write("\n")  # after what a cell that was killed had begun to write
        events(ENDED, code=code)
    return 0


def _fork() -> int | None:
    """`os.fork`, in the child without standard input; None where the system has no process to give."""
    try:
        pid = os.fork()
    except OSError:
        return None
    if not pid:
        end_with_parent()
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    return pid
