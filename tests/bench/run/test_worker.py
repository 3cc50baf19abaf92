"""The process of a quality cell: where it may be a fork, and what has been imported before one."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from small_cells import cell

from bench.child import python_command
from bench.run.worker import on_cpu
from bench.store.cells import Store


@pytest.mark.parametrize(
    ("device", "settings", "forked"),
    [
        ("cpu", {"train": {"device": "auto"}}, True),
        ("cuda", {"train": {"device": "auto"}}, False),
        ("cuda", {}, True),  # a reference, which trains nothing
    ],
)
def test_a_cell_on_a_gpu_is_no_fork(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str, settings: dict[str, Any], forked: bool
) -> None:
    import torch

    there = {"auto": device, "cpu": "cpu"}
    monkeypatch.setattr("metrics.cost.device.resolve_device", lambda name: torch.device(there[name]))
    one = cell(**settings)
    folder = Store(tmp_path, "toy").cell(one.id)
    folder.begin(one)
    assert on_cpu([str(folder.path)]) == forked


def test_nothing_that_is_imported_before_a_fork_asks_for_a_device() -> None:
    program = (
        "import torch\n"
        "asked = []\n"
        "for name in ('is_available', 'device_count', 'init', '_lazy_init'):\n"
        "    setattr(torch.cuda, name, lambda *more, name=name: asked.append(name))\n"
        "from bench.run.worker import prepare\n"
        "prepare()\n"
        "print(asked)"
    )
    done = subprocess.run(python_command("-c", program), capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n", done.stderr
