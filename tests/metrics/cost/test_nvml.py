"""NVML: figures in their units, what counts as throttling, and what is refused named once."""

from __future__ import annotations

import inspect
import os
import sys

import psutil
import pytest
import torch

from metrics.cost import device
from metrics.cost.energy import measure_energy
from metrics.cost.nvml import SLOWDOWNS, Gpu, GpuWatch, NvmlError

CUDA = torch.device("cuda")
ALL = "SM clock, memory clock, temperature, power, throttling of the GPU not known: "
STATE = {
    "sm_clock_mhz": 1410.0,
    "memory_clock_mhz": 2619.0,
    "temperature_c": 41.0,
    "power_w": 350.5,
    "throttled": ["power cap"],
}


def test_the_stand_in_has_the_names_numbers_and_words_of_the_package(nvml, monkeypatch):
    monkeypatch.delitem(sys.modules, "pynvml")
    real = pytest.importorskip("pynvml", reason="nvidia-ml-py is not installed")
    for name in [one for one in dir(type(nvml)) if one.lower().startswith("nvml") and one != "NVMLError"]:
        own, other = getattr(nvml, name), getattr(real, name)
        if isinstance(own, int):
            assert own == other, name
        else:
            assert list(inspect.signature(own).parameters) == list(inspect.signature(other).parameters), name
    assert {code: str(real.NVMLError(code)) for code in nvml.NVMLError.WORDS} == nvml.NVMLError.WORDS


def test_figures_have_their_units_and_the_name_of_the_gpu_its_prefix(nvml):
    nvml.reasons, refusals = 0x4, []
    assert GpuWatch(CUDA, refusals.append).read() == STATE and refusals == []
    assert Gpu(CUDA).joules() == 1000.0 and Gpu(CUDA).highest_sm_clock_mhz() == 1980.0


def test_every_reason_counts_but_idling_and_clocks_that_were_asked_for(nvml):
    found = []
    for bit in range(9):
        nvml.reasons = 1 << bit
        found += Gpu(CUDA).throttled()
    assert found == list(SLOWDOWNS.values()) and len(found) == 6
    nvml.reasons = 0x1FF
    assert Gpu(CUDA).throttled() == found


@pytest.mark.parametrize(
    ("refused", "reason"),
    [
        ({"nvmlInit": 12}, "NVML: NVML Shared Library Not Found"),
        ({"nvmlDeviceGet": 4}, "NVML: Insufficient Permissions"),
        ({"nvmlDeviceGetHandle": 6}, "NVML: Not Found"),
    ],
)
def test_nvml_that_shows_nothing_is_named_once(nvml, refused, reason):
    nvml.refused, refusals = refused, []
    watch = GpuWatch(CUDA, refusals.append)
    assert watch.read() == watch.read() == {} and refusals == [ALL + reason]


def test_no_package_is_named_with_what_to_install(nvml, monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    refusals = []
    assert GpuWatch(CUDA, refusals.append).read() == {}
    assert refusals == [f"{ALL}nvidia-ml-py is not installed (pip install nvidia-ml-py, or 'smdim-bench[nvml]')"]


def test_a_package_without_a_function_is_too_old(nvml, monkeypatch):
    monkeypatch.delattr(type(nvml), "nvmlDeviceGetCurrentClocksEventReasons")
    with pytest.raises(NvmlError, match="nvidia-ml-py is too old"):
        Gpu(CUDA).throttled()


def test_one_figure_that_is_not_supported_leaves_the_others(nvml):
    nvml.refused, nvml.reasons, refusals = {"nvmlDeviceGetPowerUsage": 3}, 0x4, []
    watch = GpuWatch(CUDA, refusals.append)
    without = {name: figure for name, figure in STATE.items() if name != "power_w"}
    assert watch.read() == watch.read() == without
    assert refusals == ["power of the GPU not known: NVML: Not Supported"]


def test_a_gpu_that_goes_away_is_named_once_and_asked_no_more(nvml):
    refusals = []
    watch = GpuWatch(CUDA, refusals.append)
    assert len(watch.read()) == 5
    nvml.refused = {"nvmlDeviceGet": 15}
    assert watch.read() == {} and refusals == [f"{ALL}NVML: GPU is lost"]
    nvml.refused = {}
    assert watch.read() == {} and len(refusals) == 1


def test_a_cpu_is_not_read(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    refusals = []
    assert GpuWatch(torch.device("cpu"), refusals.append).read() == {} and refusals == []


def test_a_counter_that_is_lost_in_the_middle_gives_nan_with_the_reason(nvml):
    calls = []

    def run():
        calls.append(1)
        nvml.refused = {"nvmlDeviceGetTotal": 15}

    use = measure_energy(run, counter=Gpu(CUDA), idle_w=0.0, shortest_s=0.0)
    assert use.joules_per_call != use.joules_per_call and len(calls) == 1
    assert use.reason == "energy is not available: NVML: GPU is lost"


def test_the_environment_has_the_state_or_says_why_not(nvml, monkeypatch):
    monkeypatch.setattr(device, "driver_version", lambda: "580.1")
    nvml.reasons = 0x4
    found = device.describe_gpu(CUDA)
    assert found == {
        "name": "H-0",
        "memory_bytes": 2**36,
        "capability": "9.0",
        "cuda": torch.version.cuda,
        "driver": "580.1",
        **STATE,
    }
    nvml.refused = {"nvmlInit": 12}
    assert device.describe_gpu(CUDA)["not_known"] == f"{ALL}NVML: NVML Shared Library Not Found"


def test_other_processes_on_the_gpu_are_named_and_this_one_is_not(nvml):
    parent = psutil.Process(os.getppid())
    nvml.pids = [os.getpid(), parent.pid, 2**22 + 1]  # ours, another, and one of another container
    words = device.BusyWatch("cuda").warning()
    assert words == f"the GPU is shared with {parent.name()} (process {parent.pid}); timings may be too slow"
    nvml.refused = {"nvmlDeviceGetCompute": 4}
    assert device.BusyWatch("cuda").warning() == ""
