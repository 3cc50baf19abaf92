"""What the machine says about itself is complete, JSON-able and never invented."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass

import psutil
import pytest
import torch

from metrics.cost import device
from metrics.cost.device import describe_environment, git_commit, resolve_device, work_on


def test_everything_is_told_and_json_can_hold_it():
    described = describe_environment("cpu")
    assert json.loads(json.dumps(described)) == described
    assert described["libraries"]["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert described["cores"] >= 1 and described["device"].endswith("cores") and "gpu" not in described


def test_what_a_system_does_not_tell_is_none(monkeypatch):
    monkeypatch.setattr(device, "_read", lambda path: "")
    monkeypatch.setattr(device, "load_average", lambda: None)
    monkeypatch.setattr(psutil, "process_iter", lambda: [])
    described = describe_environment("cpu")
    assert described["governor"] is None and described["load_1_min"] is None
    assert device.busy_warning() == "" and described["cpu"]


@dataclass(frozen=True)
class Running:
    """Stands for a process of psutil."""

    pid: int
    title: str

    def name(self):
        if not self.title:
            raise psutil.NoSuchProcess(self.pid)
        return self.title


@pytest.fixture
def computed(monkeypatch):
    """Sets the seconds that the processes have computed so far, and how many have passed."""

    def at(second, table):
        monkeypatch.setattr(device, "_processor_s", lambda: {Running(*key): spent for key, spent in table.items()})
        monkeypatch.setattr(device.time, "monotonic", lambda: 100.0 + second)

    monkeypatch.setattr(device, "_own_processes", lambda: {4, os.getpid()})
    return at


def test_busy_processes_are_those_that_computed(computed):
    own = {(4, "our own child"): 0.0, (os.getpid(), "ours"): 0.0}
    computed(0, {(1, "idle"): 0.05, (2, "spins (a lot)"): 1.0} | own)
    watch = device.BusyWatch()
    later = {(1, "idle"): 0.05, (2, "spins (a lot)"): 3.0, (3, "new"): 0.07, (5, ""): 9.0}  # 5 ended just now
    computed(4, later | dict.fromkeys(own, 4.0))
    assert watch.busy() == [(2, "spins (a lot)", 0.5)]
    assert watch.warning() == ("the machine is busy: spins (a lot) (process 2, 50% of a core); timings may be too slow")


def test_a_quiet_machine_needs_no_warning_and_a_crowd_is_counted(computed):
    crowd = [(pid, "one") for pid in range(10, 15)]
    computed(0, dict.fromkeys(crowd, 0.0))
    watch = device.BusyWatch()
    computed(1, dict.fromkeys(crowd, 0.01))
    assert watch.warning() == ""
    computed(1, dict.fromkeys(crowd, 0.9))
    assert "and 2 more" in watch.warning()


def test_this_process_and_its_descendants_are_found_with_the_time_they_used():
    found = {process.pid: spent for process, spent in device._processor_s().items()}
    assert found[os.getpid()] > 0
    grandchild = "import subprocess, sys; subprocess.run(['sleep', '600'])"
    with subprocess.Popen([sys.executable, "-c", grandchild]) as child:
        deadline = time.monotonic() + 600
        while len(device._own_processes()) < 3 and time.monotonic() < deadline:
            time.sleep(0.05)
        own = device._own_processes()
        for process in psutil.Process(child.pid).children(recursive=True):
            process.kill()
    assert {os.getpid(), child.pid} < own and len(own) >= 3


def test_the_commit_and_whether_files_differ_from_it(tmp_path):
    def git(*words):
        subprocess.run(["git", "-C", tmp_path, "-c", "user.name=a", "-c", "user.email=a@b", *words], check=True)

    assert git_commit(tmp_path) is None
    git("init", "-q")
    (tmp_path / "file").write_text("one")
    git("add", "file")
    git("commit", "-qm", "first")
    commit = git_commit(tmp_path)
    assert commit is not None and len(commit) == 12 and int(commit, 16) > 0
    (tmp_path / "file").write_text("two")
    assert git_commit(tmp_path) == commit + "+changes"


@pytest.mark.parametrize("name", ["tpu9", "cuda:77"])
def test_a_device_that_is_not_there_is_refused_with_those_that_are(name):
    with pytest.raises(ValueError, match=f"{name}.*cpu"):
        resolve_device(name)


def test_auto_is_a_device_that_works():
    assert torch.ones(2, device=resolve_device("auto")).sum() == 2
    assert resolve_device("cpu") == torch.device("cpu")


@pytest.mark.gpu
@pytest.mark.gpu_short
def test_a_gpu_is_described():
    described = describe_environment("cuda")
    assert described["gpu"]["memory_bytes"] > 0 and described["device"] == described["gpu"]["name"]


def test_a_gpu_with_a_number_becomes_the_present_one(monkeypatch):
    told = []
    monkeypatch.setattr("torch.cuda.set_device", lambda device: told.append(str(device)))
    for name in ("cpu", "cuda", "cuda:1"):
        work_on(name)
    assert told == ["cuda:1"]


@pytest.mark.parametrize(
    ("told", "slow"),
    [
        ("flags\t\t: fpu avx512f avx512_bf16\n", False),
        ("processor: 0\nflags: fpu amx_bf16\nflags: fpu\n", False),
        ("Features\t: fp asimd bf16\n", False),
        ("model name: avx512_bf16\nflags\t\t: fpu avx2 avx512f\n", True),
        ("", False),
    ],
)
def test_a_cpu_without_products_in_bfloat16_is_named(monkeypatch, told, slow):
    monkeypatch.setattr(device, "_read", lambda path: told)
    words = "bfloat16 is no faster than float32 here: this CPU has neither AVX512_BF16 nor AMX"
    assert device.bfloat16_warning("cpu") == (words if slow else "")
    assert device.bfloat16_warning("cuda") == ""
