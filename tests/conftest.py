"""Settings every test shares: one thread a process, none that spins, no window; GPU tests skip with a reason, and long
modules start first."""

from __future__ import annotations

import io
import os
import shutil
import sys
import tarfile
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import redirect_stderr
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

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
    from bench.child import Events
    from bench.run import perform, worker
    from bench.run.attempt import End, attempt

    apart, one_at_a_time = set[str](), threading.Lock()

    def measure(cell: Any, folder: Any, limits: Any, lease: Path, *more: Any) -> tuple[End, str]:
        if cell.labels["arm"] in apart:
            return attempt(cell, folder, limits, lease, *more)
        folder.begin(cell)
        with one_at_a_time, (folder.path / "log.txt").open("a") as log, redirect_stderr(log):
            assert worker.main([str(folder.path), str(lease)], Events(io.StringIO())) == 0
        return End.SETTLED, ""

    monkeypatch.setattr(perform, "attempt", measure)
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


class StandInNvml(ModuleType):
    """Stands for the module `pynvml` of nvidia-ml-py: one GPU, whose state and refusals a test sets."""

    class NVMLError(Exception):
        WORDS: ClassVar[dict[int, str]] = {
            3: "Not Supported",
            4: "Insufficient Permissions",
            6: "Not Found",
            12: "NVML Shared Library Not Found",
            15: "GPU is lost",
        }

        def __str__(self) -> str:
            return self.WORDS[self.args[0]]

    NVML_ERROR_NOT_SUPPORTED, NVML_ERROR_NO_PERMISSION, NVML_ERROR_NOT_FOUND = 3, 4, 6
    NVML_ERROR_LIBRARY_NOT_FOUND, NVML_ERROR_GPU_IS_LOST = 12, 15
    NVML_CLOCK_SM, NVML_CLOCK_MEM, NVML_TEMPERATURE_GPU = 1, 2, 0
    nvmlClocksEventReasonGpuIdle, nvmlClocksEventReasonApplicationsClocksSetting = 0x1, 0x2
    nvmlClocksEventReasonSwPowerCap, nvmlClocksEventReasonHwSlowdown = 0x4, 0x8
    nvmlClocksEventReasonSyncBoost, nvmlClocksEventReasonSwThermalSlowdown = 0x10, 0x20
    nvmlClocksEventReasonHwThermalSlowdown, nvmlClocksEventReasonHwPowerBrakeSlowdown = 0x40, 0x80
    nvmlClocksEventReasonDisplayClockSetting = 0x100

    def __init__(self) -> None:
        super().__init__("pynvml")
        self.clocks_mhz, self.highest_mhz, self.celsius, self.milliwatts = {1: 1410, 2: 2619}, 1980, 41, 350_500
        self.reasons, self.millijoules, self.pids = 0x1, 1_000_000, [os.getpid()]
        self.refused: dict[str, int] = {}
        """Start of a function's name -> the error that it raises."""

    def _answer(self, function: str, answer: Any) -> Any:
        for start, code in self.refused.items():
            if function.startswith(start):
                raise self.NVMLError(code)
        return answer

    def nvmlInit(self) -> None:
        self._answer("nvmlInit", None)

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:
        if uuid != "GPU-6c1d":
            raise self.NVMLError(6)
        return self._answer("nvmlDeviceGetHandleByUUID", "handle")

    def nvmlDeviceGetClockInfo(self, handle: str, type: int) -> int:
        return self._answer("nvmlDeviceGetClockInfo", self.clocks_mhz[type])

    def nvmlDeviceGetMaxClockInfo(self, handle: str, type: int) -> int:
        return self._answer("nvmlDeviceGetMaxClockInfo", self.highest_mhz)

    def nvmlDeviceGetTemperature(self, handle: str, sensor: int) -> int:
        return self._answer("nvmlDeviceGetTemperature", self.celsius)

    def nvmlDeviceGetPowerUsage(self, handle: str) -> int:
        return self._answer("nvmlDeviceGetPowerUsage", self.milliwatts)

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: str) -> int:
        return self._answer("nvmlDeviceGetTotalEnergyConsumption", self.millijoules)

    def nvmlDeviceGetCurrentClocksEventReasons(self, handle: str) -> int:
        return self._answer("nvmlDeviceGetCurrentClocksEventReasons", self.reasons)

    def nvmlDeviceGetComputeRunningProcesses(self, handle: str) -> list[SimpleNamespace]:
        return self._answer("nvmlDeviceGetComputeRunningProcesses", [SimpleNamespace(pid=pid) for pid in self.pids])


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> StandInNvml:
    """The stand-in in the place of nvidia-ml-py, and a GPU of that UUID, which torch gives without the prefix."""
    import torch

    stand_in = StandInNvml()
    properties = SimpleNamespace(uuid="6c1d", name="H-0", total_memory=2**36, major=9, minor=0)
    monkeypatch.setitem(sys.modules, "pynvml", stand_in)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device=None: properties)
    return stand_in
