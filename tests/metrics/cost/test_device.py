"""What the machine says about itself is complete, JSON-able and never invented."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

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
    described = describe_environment("cpu")
    assert described["governor"] is None and described["load_1_min"] is None
    assert device.busy_warning() == "" and described["cpu"]


@pytest.fixture
def ticks(monkeypatch):
    """Sets what the processes have computed so far, in clock ticks, and how many seconds have passed."""

    def at(second, table):
        monkeypatch.setattr(device, "_processor_ticks", lambda: table)
        monkeypatch.setattr(device.time, "monotonic", lambda: 100.0 + second)

    monkeypatch.setattr(device, "_children", lambda pid: {4})
    return at


def test_busy_processes_are_those_whose_ticks_moved(ticks):
    second = os.sysconf("SC_CLK_TCK")
    ticks(0, {1: ("idle", 5), 2: ("spins (a lot)", 100), 4: ("our own child", 0), os.getpid(): ("ours", 0)})
    watch = device.BusyWatch()
    later = {1: ("idle", 5), 2: ("spins (a lot)", 100 + 2 * second), 3: ("new", 7)}
    ticks(4, later | {4: ("our own child", 4 * second), os.getpid(): ("ours", 4 * second)})
    assert watch.busy() == [(2, "spins (a lot)", 0.5)]
    assert watch.warning() == ("the machine is busy: spins (a lot) (process 2, 50% of a core); timings may be too slow")


def test_a_quiet_machine_needs_no_warning_and_a_crowd_is_counted(ticks):
    ticks(0, dict.fromkeys(range(10, 15), ("one", 0)))
    watch = device.BusyWatch()
    ticks(1, dict.fromkeys(range(10, 15), ("one", 1)))
    assert watch.warning() == ""
    ticks(1, dict.fromkeys(range(10, 15), ("one", 90)))
    assert "and 2 more" in watch.warning()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are told by /proc only")
def test_this_process_is_found_with_the_time_it_used():
    name, ticks = device._processor_ticks()[os.getpid()]
    assert ticks > 0 and name in Path("/proc/self/comm").read_text()


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
def test_a_gpu_is_described():
    described = describe_environment("cuda")
    assert described["gpu"]["memory_bytes"] > 0 and described["device"] == described["gpu"]["name"]


def test_a_gpu_with_a_number_becomes_the_present_one(monkeypatch):
    told = []
    monkeypatch.setattr("torch.cuda.set_device", lambda device: told.append(str(device)))
    for name in ("cpu", "cuda", "cuda:1"):
        work_on(name)
    assert told == ["cuda:1"]
