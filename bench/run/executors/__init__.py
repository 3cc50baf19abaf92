"""Executors: where tasks are carried out. A study file does not name one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from bench.errors import UserError, quoted
from bench.run.executors.remote import RemoteExecutor
from bench.run.lease import Leases
from bench.run.task import OnEvent, Task
from bench.store.reuse import OtherStudies
from bench.study.yaml import allowed_words

NAMES = ("local", "slurm", "ray")


class Executor(Protocol):
    """Anything with this one method."""

    def run(self, tasks: Sequence[Task], leases: Leases, others: OtherStudies, on_event: OnEvent) -> None:
        """Bring every cell to a written status, tasks in order; `on_event` is called from the calling thread.

        A cell that another runner holds is waited for, and taken over if that runner dies. An exception out of
        `on_event`, KeyboardInterrupt included, ends what runs; those cells stay unfinished and resume in a later run.
        Raises UserError when no space is left.
        """


def make_executor(name: str, jobs: int | None, options: dict[str, str]) -> Executor:
    """The executor `local`, `slurm` or `ray`. Raises UserError for another name, or where its package is missing."""
    if name == "local":
        from bench.run.executors.local import LocalExecutor

        if options:
            raise UserError(f"--option {next(iter(options))}: the local executor takes no options; use --jobs")
        return LocalExecutor(jobs)
    if name == "slurm":
        from bench.run.executors.slurm import Submitit

        return RemoteExecutor(Submitit(jobs, options))
    if name == "ray":
        from bench.run.executors.ray_cluster import Ray

        return RemoteExecutor(Ray(jobs, options))
    raise UserError(f"--executor {quoted(name)}: {allowed_words(name, NAMES)}")
