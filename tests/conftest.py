"""Settings every test shares: one thread a process, none that spins, no window; GPU tests skip with a reason, and long
modules start first."""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")

LONG = (  # modules that start many processes
    "test_run_study.py",
    "test_readme.py",
    "test_run_under_fire.py",
    "test_quality_length.py",
    "test_session.py",
    "test_ranks.py",
    "test_wheel.py",
    "test_processes.py",
)


def pytest_collection_modifyitems(items: list) -> None:
    import pytest

    items.sort(key=lambda item: item.path.name not in LONG)  # begun first, so that no worker ends with one
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if not marked:
        return
    import torch

    if not torch.cuda.is_available():
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="no CUDA device on this machine"))
