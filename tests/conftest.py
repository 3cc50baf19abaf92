"""Settings every test shares: one thread a process, none that spins, no window; GPU tests skip with a reason, and long
modules start first."""

from __future__ import annotations

import io
import os
import shutil
import tarfile
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")

LONG = (  # modules that start many processes
    "test_run_study.py",
    "test_readme.py",
    "test_run_under_fire.py",
    "test_quality_length.py",
    "test_session.py",
    "test_session_replicates.py",
    "test_ranks.py",
    "test_wheel.py",
    "test_processes.py",
)


def pytest_collection_modifyitems(items: list) -> None:
    items.sort(key=lambda item: item.path.name not in LONG)  # begun first, so that no worker ends with one
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if not marked:
        return
    import torch

    if not torch.cuda.is_available():
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="no CUDA device on this machine"))


REDUCTIONS = {"aten::sum", "aten::mean", "aten::amax", "aten::max", "aten::prod", "aten::cumsum", "aten::var"}
"""One operation for each element that goes in."""
OPERATIONS = {
    **dict.fromkeys(("aten::_softmax", "aten::_safe_softmax", "aten::_log_softmax"), 5),
    **dict.fromkeys(("aten::addcmul", "aten::addcmul_", "aten::lerp"), 2),
}
"""Operations for an element of the result; of a softmax: compare for the maximum, subtract, exp, add up, divide."""


@pytest.fixture(scope="session")
def demo_music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of MIDI files: `lieder`, Winterreise and Dichterliebe (40 songs), and `irish`, every 27th tune (40)."""
    shipped, folder = Path(__file__).parents[1] / "bench" / "data" / "demo", tmp_path_factory.mktemp("demo")
    for subset in ("lieder", "irish"):
        with tarfile.open(shipped / f"{subset}.tar.xz") as archive:
            names = archive.getnames()
            chosen = names[:1080:27] if subset == "irish" else [n for n in names if "_d911_" in n or "_op48_" in n]
            assert len(chosen) == 40
            archive.extractall(folder / subset, [archive.getmember(name) for name in chosen], filter="data")
    return folder


@pytest.fixture(scope="session")
def dichterliebe(demo_music: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 16 short songs, for studies that run whole: they have under a third of the tokens of `lieder`."""
    folder = tmp_path_factory.mktemp("dichterliebe")
    for path in (demo_music / "lieder").glob("*_op48_*"):
        shutil.copy(path, folder)
    return folder


@pytest.fixture
def cells_here(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Cells that train or are a reference are measured in this process, one at a time: for tests of what a cell leaves.

    A process of its own costs seconds to start, most of them for imports; what it is for (limits, kills, environment)
    is tested where one is started. Arms put into the set that is returned have theirs all the same.
    """
    from bench.run import perform, worker
    from bench.run.attempt import End, attempt

    apart, one_at_a_time = set[str](), threading.Lock()

    def measure(cell: Any, folder: Any, limits: Any, lease: Path, *more: Any) -> tuple[End, str]:
        if cell.labels["arm"] in apart:
            return attempt(cell, folder, limits, lease, *more)
        folder.begin(cell)
        with one_at_a_time, (folder.path / "log.txt").open("a") as log, redirect_stderr(log):
            assert worker.main([str(folder.path), str(lease)]) == 0
        return End.SETTLED, ""

    monkeypatch.setattr(perform, "attempt", measure)
    monkeypatch.setattr(worker, "end_with_parent", lambda: None)
    monkeypatch.setattr(worker, "own_output", io.StringIO)
    return apart


@pytest.fixture
def count_arithmetic() -> Callable[[Callable[[], Any]], dict[str, int]]:
    """Operator -> operations executed by a call, a multiply-add being two, an exp or a comparison one.

    For references that write a kernel out (attention as two products and a softmax, a scan as a loop): their count is
    an independent check of the formula of the fused kernel. An operator that is neither a product nor in the tables
    above counts one operation an element of its result. A fused kernel counts as one operator.
    """
    import torch
    from torch.utils._pytree import tree_leaves
    from torch.utils.flop_counter import flop_registry

    from metrics.cost.kernels import OperatorWatch, does_arithmetic, packet_name

    def count(call: Callable[[], Any]) -> dict[str, int]:
        counts: Counter[str] = Counter()

        def add(packet: Any, args: Any, kwargs: Any, result: Any) -> None:
            name = packet_name(packet)
            if packet in flop_registry:
                counts[name] += flop_registry[packet](*args, **kwargs, out_val=result)
            elif name in REDUCTIONS:
                counts[name] += args[0].numel()
            elif does_arithmetic(name):
                sizes = [leaf.numel() for leaf in tree_leaves(result) if isinstance(leaf, torch.Tensor)]
                counts[name] += max(sizes, default=0) * OPERATIONS.get(name, 1)

        with torch.no_grad(), OperatorWatch(add):
            call()
        return dict(counts)

    return count
