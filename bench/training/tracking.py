"""Trackers of a learning curve, which Accelerate writes to: each a package of its own, offline by default."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from bench.training.errors import TrainingError

Tracker = Literal["none", "tensorboard", "wandb", "mlflow", "trackio", "aim"]
UNTRACKED: Tracker = "none"
PROJECT = "smdim-bench"
INSTALLED_BY = {"tensorboard": "smdim-bench[track]"}
"""What brings the package, where that is not the package of the tracker's name."""


def check_tracker(name: Tracker) -> None:
    """Raise TrainingError for a tracker whose package is not installed."""
    if name != UNTRACKED and find_spec(name) is None:
        wanted = INSTALLED_BY.get(name, name)
        raise TrainingError(f"train.track: {name} is not installed; install {wanted}, or allowed here: {UNTRACKED}")


def accelerator_options(name: Tracker, folder: Path) -> dict[str, Any]:
    """Arguments of `Accelerator` for the tracker of a run in `folder`; none without one."""
    if name == UNTRACKED:
        return {}
    return {"log_with": name, "project_dir": str(folder.parent if name == "aim" else folder)}


def start_options(name: Tracker, folder: Path) -> dict[str, Any]:
    """Arguments of `Accelerator.init_trackers` for the run in `folder`.

    TensorBoard and wandb write into the folder, the others into one store beside it for all runs there. What they read
    from the environment (WANDB_MODE, MLFLOW_TRACKING_URI, TRACKIO_DIR) is set where it is not: no network is used.
    """
    defaults = {
        "wandb": {"WANDB_MODE": "offline"},
        "mlflow": {"MLFLOW_TRACKING_URI": f"sqlite:///{folder.parent.resolve() / 'mlflow.db'}"},
        "trackio": {"TRACKIO_DIR": str(folder.parent.resolve() / "trackio")},
    }
    for variable, value in defaults.get(name, {}).items():
        os.environ.setdefault(variable, value)
    run = {"wandb": {"name": folder.name, "dir": str(folder)}, "mlflow": {"run_name": folder.name}}
    run["trackio"] = {"name": folder.name}
    project = "tensorboard" if name == "tensorboard" else PROJECT  # the folder of its events
    return {"project_name": project, "init_kwargs": {name: run.get(name, {})}}
