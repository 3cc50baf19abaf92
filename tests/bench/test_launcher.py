"""Variables of launchers: which make a process one of several, which are refused, which are left out."""

from __future__ import annotations

import os
import signal
import socket
import threading
from pathlib import Path

import pytest
import torch

from bench.child import child_environment
from bench.errors import UserError
from bench.launcher import launched, unused, without_launcher
from bench.training import TrainSettings, devices
from bench.training.devices import Devices, join_processes
from bench.training.errors import TrainingError

TWO = {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": "29500"}
TORCHRUN = TWO | {"LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2", "TORCHELASTIC_RUN_ID": "x", "GROUP_RANK": "0"}


@pytest.mark.parametrize(
    ("environment", "place"),
    [
        ({}, (0, 1, 0, 1)),
        (dict.fromkeys(TWO, ""), (0, 1, 0, 1)),
        ({"MASTER_ADDR": "localhost", "MASTER_PORT": "x", "LOCAL_RANK": "3"}, (0, 1, 0, 1)),
        ({"WORLD_SIZE": "1"}, (0, 1, 0, 1)),
        (TWO | {"RANK": "0", "WORLD_SIZE": "1"}, (0, 1, 0, 1)),
        (TWO, (1, 2, 1, 2)),
        (TWO | {"RANK": "0", "LOCAL_RANK": ""}, (0, 2, 0, 1)),
        (TORCHRUN, (1, 2, 1, 2)),
        (TWO | {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "4"}, (5, 8, 1, 4)),
        ({"SLURM_PROCID": "1", "SLURM_NTASKS": "4", "SLURM_STEP_NUM_TASKS": "4"}, (0, 1, 0, 1)),
        ({"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "2", "PMI_SIZE": "nonsense"}, (0, 1, 0, 1)),
    ],
)
def test_a_whole_set_of_torch_makes_several_processes_and_nothing_else(environment, place) -> None:
    launch = launched(environment)
    assert (launch.rank, launch.world, launch.local_rank, launch.local_world) == place


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"RANK": "0"}, "RANK=0 in the environment, but not WORLD_SIZE, MASTER_ADDR, MASTER_PORT; allowed: all of"),
        ({"WORLD_SIZE": "2"}, "WORLD_SIZE=2 in the environment, but not RANK, MASTER_ADDR, MASTER_PORT"),
        (TWO | {"MASTER_ADDR": " "}, "but not MASTER_ADDR;"),
        (TWO | {"RANK": "x"}, r"RANK=x in the environment: allowed: 0 to 1 \(WORLD_SIZE is 2\)"),
        (TWO | {"RANK": "2"}, r"RANK=2 in the environment: allowed: 0 to 1 \(WORLD_SIZE is 2\)"),
        (TWO | {"RANK": "-1"}, "RANK=-1 in the environment: allowed: 0 to 1"),
        (TWO | {"WORLD_SIZE": "0"}, "WORLD_SIZE=0 in the environment: allowed: 1 or more"),
        (TWO | {"WORLD_SIZE": "1e3"}, "WORLD_SIZE=1e3 in the environment: allowed: 1 or more"),
        (TWO | {"LOCAL_RANK": "2"}, "LOCAL_RANK=2 in the environment: allowed: 0 to 1"),
        (TWO | {"LOCAL_WORLD_SIZE": "1"}, "LOCAL_WORLD_SIZE=1 in the environment: allowed: 2 "),
        (TWO | {"MASTER_PORT": "0"}, "MASTER_PORT=0 in the environment: allowed: 1 to 65535; in one process alone"),
    ],
)
def test_half_a_set_and_numbers_that_do_not_fit_are_one_line(environment, message) -> None:
    with pytest.raises(UserError, match=message) as refused:
        launched(environment)
    assert "\n" not in str(refused.value) and "; in one process alone: env -u " in str(refused.value)


def test_what_was_taken_and_what_was_left_out_is_one_line() -> None:
    assert launched(TWO).note == (
        "process 2 of 2 by the environment (RANK=1, WORLD_SIZE=2, MASTER_ADDR=localhost, MASTER_PORT=29500); "
        "time limit of the rendezvous 600 s; in one process alone: "
        "env -u RANK -u WORLD_SIZE -u MASTER_ADDR -u MASTER_PORT smdim-bench ..."
    )
    assert launched({"MASTER_PORT": "1", "PMI_SIZE": "2", "ACCELERATE_USE_FSDP": "true"}).note == (
        "MASTER_PORT=1, PMI_SIZE=2, ACCELERATE_USE_FSDP=true in the environment: not used, one process trains alone"
    )
    assert unused(TWO, "why").endswith("MASTER_PORT=29500 in the environment: not used, why")
    for nothing in (
        {},
        {"SLURM_JOB_ID": "3", "SLURM_NTASKS": "4"},
        {"RANK": "0", "WORLD_SIZE": "1"},
        {"PMI_SIZE": "1"},
    ):
        assert launched(nothing).note == unused(nothing, "why") == ""


def test_a_process_of_a_study_is_none_of_the_launcher_of_its_runner(monkeypatch: pytest.MonkeyPatch) -> None:
    own = {"SLURM_JOB_ID": "3", "CUDA_VISIBLE_DEVICES": "", "NCCL_DEBUG": "INFO"}
    left = TORCHRUN | {"PET_NNODES": "4", "PMI_RANK": "1", "OMPI_COMM_WORLD_SIZE": "2", "ACCELERATE_USE_FSDP": "true"}
    assert without_launcher(own | left) == own | {"GROUP_RANK": "0"}
    for name, value in (own | left).items():
        monkeypatch.setenv(name, value)
    assert not {*left} - {"GROUP_RANK"} & {*child_environment(1)} and {*own} <= {*child_environment(1)}


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever started the suite."""
    for name in set(os.environ) - set(without_launcher(os.environ)):
        monkeypatch.delenv(name)


@pytest.mark.usefixtures("alone")
def test_settings_of_other_launchers_reach_no_training(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in {"PMI_SIZE": "2", "LOCAL_RANK": "0", "ACCELERATE_GRADIENT_ACCUMULATION_STEPS": "4"}.items():
        monkeypatch.setenv(name, value)
    made = Devices(TrainSettings(steps=1, device="cpu"), tmp_path)
    assert (made.world, made.rank, made.accelerator.gradient_accumulation_steps) == (1, 0, 1)
    assert os.environ["PMI_SIZE"] == "2"


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize(("rank", "ends"), [(0, "time"), (1, "time"), (0, "signal"), (1, "signal")])
def test_waiting_for_others_ends_at_its_limit_and_at_ctrl_c(
    rank: int, ends: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    for name, value in (TWO | {"RANK": str(rank), "MASTER_PORT": str(port)}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(devices, "JOIN_LIMIT_S", 0.2 if ends == "time" else 3.0)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a suite in the background ignores it
    try:
        if ends == "signal":
            threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
            with pytest.raises(KeyboardInterrupt):
                join_processes("cpu")
        else:
            with pytest.raises(TrainingError, match=rf"process {rank + 1} of 2 timed out at the rendezvous localhost:"):
                join_processes("cpu")
    finally:
        signal.signal(signal.SIGINT, before)
    assert not torch.distributed.is_initialized()


@pytest.mark.usefixtures("alone")
def test_an_unknown_host_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object) -> None:
        raise OSError("Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    for name, value in (TWO | {"MASTER_ADDR": "nowhere"}).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(TrainingError, match="MASTER_ADDR=nowhere: Name or service not known"):
        join_processes("cpu")


@pytest.mark.usefixtures("alone")
def test_processes_on_gpus_without_local_rank_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(devices, "_join", lambda launch, backend: None)
    for name, value in (TWO | {"RANK": "2", "WORLD_SIZE": "4"}).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(TrainingError, match=r"^LOCAL_RANK is not set; allowed: this process's number on its machine"):
        join_processes("auto")
    assert join_processes("cpu").rank == 2
    monkeypatch.setenv("LOCAL_RANK", "0")
    assert join_processes("auto").local_world == 1
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(TrainingError, match=r"^processes: 3 on a machine with 2 GPUs; each needs one$"):
        join_processes("auto")
