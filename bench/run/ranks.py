"""The training of a cell in several processes: torchrun starts them, the worker waits and then goes on alone.

    worker -> `python -m bench.run.ranks FOLDER PROCESSES` (torchrun's agent) -> a rank each

The ranks leave a finished checkpoint in the cell's folder, which the worker reads as any other that it finds. What the
first rank tells goes through a pipe to the worker and on to the runner. Each process ends with the one that started
it, so a worker that is killed takes all of them with it; a rank that is killed takes the worker, as if the system had
taken the whole cell away: the next attempt goes on from the checkpoint.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.child import PARENT_VARIABLE, Events, classify, end_with_parent
from bench.run.machine import processes_of
from bench.store.cells import CellFolder

if TYPE_CHECKING:
    from collections.abc import Callable

MODULE = "bench.run.ranks"


class RankFailed(Exception):
    """A training process ended in an error; the message is that error."""


def train_together(settings: dict[str, Any], folder: Path, emit: Callable[..., None]) -> dict[str, Any]:
    """Train the cell in `folder` to the end in the processes its settings ask for, or go on where an earlier attempt
    was cut off; what the first of them says it was: processes, backend. Empty where the training was there already.

    Raises Diverged, and RankFailed with the error of the first process that failed.
    """
    from bench.measure.quality.cell import Diverged
    from bench.measure.quality.training import is_trained, shared_training

    with shared_training(settings, folder, emit):
        if is_trained(folder):
            return {}
        last, failure, code = _listen(folder, processes_of(settings), emit)
    if code == -signal.SIGKILL:  # one was taken away: what remains is taken away as well, and begun again
        os.kill(os.getpid(), signal.SIGKILL)
    if failure:
        raise RankFailed(failure)
    if code or not last:
        raise RankFailed(f"torchrun ended with code {code}")
    if last["stopped"] == "diverged":
        raise Diverged(f"the loss blew up at step {last['steps']}")
    return {key: last[key] for key in ("processes", "backend")}


def _listen(folder: Path, processes: int, emit: Callable[..., None]) -> tuple[dict[str, Any], str, int]:
    """Start them and pass on what they say; the last word of the first one, the first error, torchrun's exit code."""
    agent = subprocess.Popen(
        [sys.executable, "-P", "-m", MODULE, str(folder), str(processes)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {PARENT_VARIABLE: str(os.getpid())},
    )
    assert agent.stdout
    last: dict[str, Any] = {}
    failure = ""
    for line in agent.stdout:
        event: dict[str, Any] = {}
        with suppress(ValueError):
            event = json.loads(line)
        if event.get("event") == "trained":
            last = event
        elif event.get("event") == "failed":
            failure = failure or str(event["error"])
        elif event:
            emit(**event)
    return last, failure, agent.wait()


def launch(folder: str, processes: str) -> int:
    """Be torchrun on this machine; ends by SIGKILL where a process was ended so."""
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import main as torchrun

    os.environ[PARENT_VARIABLE] = str(os.getpid())
    rank = [sys.executable, "-P", "-m", MODULE, folder]
    try:
        torchrun(["--standalone", "--nproc-per-node", processes, "--no-python", *rank])
    except ChildFailedError as error:
        if any(failure.exitcode == -signal.SIGKILL for failure in error.failures.values()):
            os.kill(os.getpid(), signal.SIGKILL)
        return 1
    return 0


def train_rank(folder: str) -> int:
    """Take part in the training as one of its processes."""
    import torch

    from bench.measure.quality.cell import report_training
    from bench.measure.quality.training import CellTraining

    events = Events(os.fdopen(os.dup(1), "w"))
    os.dup2(2, 1)  # whatever libraries print belongs in the log
    configuration = CellFolder(Path(folder)).configuration()
    assert configuration is not None
    torch.set_num_threads(int(configuration["labels"].get("threads", 1)))
    try:
        result = CellTraining.of(configuration["settings"]).run(Path(folder), report_training(events))
    except Exception as error:
        traceback.print_exc()
        events(event="failed", error=classify(error)[1].removeprefix("error: "))
        return 1
    if torch.distributed.get_rank() == 0:
        events(
            event="trained",
            stopped=result.stopped,
            steps=result.steps,
            processes=torch.distributed.get_world_size(),
            backend=torch.distributed.get_backend(),
        )
    torch.distributed.destroy_process_group()
    return 0


if __name__ == "__main__":
    end_with_parent()
    sys.exit(train_rank(sys.argv[1]) if "LOCAL_RANK" in os.environ else launch(*sys.argv[1:]))
