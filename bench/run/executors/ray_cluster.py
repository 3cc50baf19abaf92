"""Ray: one remote task per task, on a running cluster or a new one; tasks of lost workers and nodes are run again."""

from __future__ import annotations

import importlib.util
import logging
import os
from typing import Any

from bench.errors import UserError, as_user_error
from bench.run.perform import perform_text
from bench.run.task import Task
from bench.study.yaml import allowed_words
from metrics.cost.cores import usable_cores

OPTIONS = ("address", "gpus")


class Ray:
    """Ray tasks. `address=auto` or `address=HOST:PORT`: a cluster that runs, with this folder on every node; without
    it a cluster of this machine alone. `gpus=1`: GPUs per cell.
    """

    at_once: int | None = None  # ray queues what does not fit

    def __init__(self, jobs: int | None, options: dict[str, str]) -> None:
        for key in options:
            if key not in OPTIONS:
                raise UserError(f"--option {key}: {allowed_words(key, OPTIONS)}")
        if importlib.util.find_spec("ray") is None:
            raise UserError('--executor ray needs ray: pip install "smdim-bench[ray]"')
        import ray

        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        address = options.get("address")
        with as_user_error(ConnectionError, ValueError, RuntimeError, words="--executor ray: "):
            self.gpus = float(options.get("gpus", 0))
            wanted: dict[str, Any] = {"address": address, "log_to_driver": False, "logging_level": logging.ERROR}
            if not address:
                wanted |= {"num_cpus": jobs or usable_cores(), "include_dashboard": False}
            if not ray.is_initialized():
                ray.init(**wanted)
        self.remote = ray.remote(max_retries=0)(perform_text)

    def submit(self, task: Task) -> Any:
        """A ray task that reserves the cell's threads; a timing session takes them from one node alone."""
        return self.remote.options(num_cpus=task.threads, num_gpus=self.gpus).remote(task.to_text())

    def ended(self, handle: Any) -> str | None:
        """See `Scheduler.ended`."""
        import ray

        ready, _ = ray.wait([handle], timeout=0)
        if not ready:
            return None
        try:
            ray.get(handle)
        except Exception as error:  # every way in which a worker or a node can go
            return f"{type(error).__name__}: {error}".splitlines()[0]
        return ""

    def cancel(self, handles: list[Any]) -> None:
        """See `Scheduler.cancel`."""
        import ray

        for handle in handles:
            ray.cancel(handle, force=True)
