"""What a stored run says of its machine: what decides a timing, and no names."""

from __future__ import annotations

from typing import Any


def pytest_benchmark_update_machine_info(config: Any, machine_info: dict[str, Any]) -> None:
    """Drop the host's name; add threads and torch."""
    import os

    import torch

    for name in ("node", "processor", "release"):
        machine_info.pop(name, None)
    machine_info["cores"] = os.cpu_count()
    machine_info["torch"] = torch.__version__.partition("+")[0]


def pytest_benchmark_update_commit_info(config: Any, commit_info: dict[str, Any]) -> None:
    """Keep the commit itself only."""
    for name in ("branch", "project", "author_time"):
        commit_info.pop(name, None)
