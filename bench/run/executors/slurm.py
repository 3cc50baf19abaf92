"""Slurm through submitit: one job per task; a job that was pre-empted, killed or lost is submitted again."""

from __future__ import annotations

import importlib.util
from typing import Any

from bench.errors import UserError, as_user_error
from bench.run.perform import perform_text
from bench.run.task import Task
from bench.study.yaml import load_yaml

JOBS_FOLDER = ".jobs"
MINUTES = 24 * 60


class Submitit:
    """Jobs of a cluster; `options` are submitit's parameters (`slurm_partition=gpu`, `timeout_min=600`), and
    `cluster=local` runs the same jobs as processes of this machine.
    """

    def __init__(self, jobs: int | None, options: dict[str, str]) -> None:
        if importlib.util.find_spec("submitit") is None:
            raise UserError('--executor slurm needs submitit: pip install "smdim-bench[slurm]"')
        self.options: dict[str, Any] = {key: load_yaml(value) for key, value in options.items()}
        self.cluster = self.options.pop("cluster", None)
        self.at_once = jobs or (2 if self.cluster == "local" else None)

    def submit(self, task: Task) -> Any:
        """A job for `task`; its log lies under `.jobs` of the study."""
        import submitit

        with as_user_error(RuntimeError, NameError, TypeError, OSError, words="--executor slurm: "):
            executor = submitit.AutoExecutor(folder=task.store.folder / JOBS_FOLDER, cluster=self.cluster)
            cpus = {"cpus_per_task": task.threads} if executor.cluster == "slurm" else {}
            name = f"smdim-{task.study}"
            executor.update_parameters(**{"name": name, "timeout_min": MINUTES} | cpus | self.options)
            return executor.submit(perform_text, task.to_text())

    def ended(self, handle: Any) -> str | None:
        """See `Scheduler.ended`."""
        if not handle.done():
            return None
        error = handle.exception()
        return "" if error is None else f"{type(error).__name__}: {error}".splitlines()[0]

    def cancel(self, handles: list[Any]) -> None:
        """See `Scheduler.cancel`."""
        for handle in handles:
            handle.cancel(check=False)
