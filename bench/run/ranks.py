"""The training of a cell in several processes: torchrun starts them, the worker waits and then goes on alone.

    worker -> `python -m bench.run.ranks FOLDER PROCESSES` (torchrun's agent) -> a rank each

The ranks leave a finished checkpoint in the cell's folder, which the worker reads as any other that it finds. Events of
the first rank go through a pipe to the worker and on to the runner. Each process ends with the one that started it, so
all end with the worker; where a rank is killed the worker ends in the same way, and the next attempt goes on from the
checkpoint.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.child import PARENT_VARIABLE, Child, Events, end_with_parent, own_output, python_command
from bench.errors import CellFailure, failure_of
from bench.run.machine import processes_of
from bench.store.cells import CellFolder

if TYPE_CHECKING:
    from collections.abc import Callable

MODULE = "bench.run.ranks"


def train_together(settings: dict[str, Any], folder: Path, emit: Callable[..., None]) -> dict[str, Any]:
    """Train the cell in `folder` to the end in the processes its settings ask for, or go on where an earlier attempt
    was cut off; {processes, backend} of what ran, empty where the training was there already.

    Raises CellFailure where the loss blew up, or with the error of the first process that failed.
    """
    from bench.measure.quality.training import diverged, is_trained, shared_training

    with shared_training(settings, folder, emit):
        if is_trained(folder):
            return {}
        agent = Child("-m", MODULE, str(folder), str(processes_of(settings)))
        trained, failed = _pass_on(agent, emit)
    if agent.process.wait() == -signal.SIGKILL:  # a rank was killed: this process ends so too, and is begun again
        os.kill(os.getpid(), signal.SIGKILL)
    if failed:
        raise CellFailure(failed["state"], failed["reason"])
    if agent.process.returncode or not trained:
        raise CellFailure("failed", f"error: torchrun ended with code {agent.process.returncode}")
    if trained["stopped"] == "diverged":
        raise diverged(trained["steps"])
    return {key: trained[key] for key in ("processes", "backend")}


def _pass_on(agent: Child, emit: Callable[..., None]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Pass events on until the output ends; the first rank's last event, and the first failure (empty: none)."""
    assert agent.process.stdout
    ends: dict[str, dict[str, Any]] = {"trained": {}, "failed": {}}
    for line in agent.process.stdout:
        with suppress(ValueError):
            event = json.loads(line)
            if event["event"] in ends:
                ends[event["event"]] = ends[event["event"]] or event
            else:
                emit(**event)
    return ends["trained"], ends["failed"]


def launch(folder: str, processes: str) -> int:
    """Run torchrun on this machine; ends by SIGKILL where a rank was ended so."""
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import main as torchrun

    os.environ[PARENT_VARIABLE] = str(os.getpid())
    rank = python_command("-m", MODULE, folder)
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

    events = Events(own_output())
    configuration = CellFolder(Path(folder)).configuration()
    assert configuration is not None
    torch.set_num_threads(int(configuration["labels"].get("threads", 1)))
    try:
        result = CellTraining.of(configuration["settings"]).run(Path(folder), report_training(events))
    except Exception as error:
        traceback.print_exc()
        failure = failure_of(error)
        events("failed", state=failure.state, reason=failure.reason)
        return 1
    if torch.distributed.get_rank() == 0:
        events(
            "trained",
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
