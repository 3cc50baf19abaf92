"""A cell that trains in two processes: what it leaves, its id, its limits, and that its processes end together."""

import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from harness import processes_of, wait_for

from bench.child import resident_bytes, tree
from bench.errors import UserError
from bench.run.attempt import End, attempt
from bench.run.cell_process import CellServers
from bench.run.lease import Leases
from bench.run.machine import threads_of
from bench.run.plan import make_plan
from bench.store.cells import CellFolder, identity
from bench.study.grid import Cell, load_study

STUDY = """\
name: ranks
question: do two processes train one cell
baseline:
  arm: transformer
  corpus: demo/lieder
  length: 32
  model: {width: 32, stride: 4, layers: 2}
  diffusion: {steps: 32}
  train: {steps: 6, batch: 4, processes: 2, device: cpu, warmup_steps: 2, validations: 1, validation_windows: 2,
    final_validation_windows: 2, final_validation_draws: 2, checkpoint_steps: 2, log_steps: 2}
  sample: {pieces: 2, steps: 4}
measure:
  quality: {}
"""
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="finds processes in /proc")


@pytest.fixture(autouse=True)
def study(tmp_path: Path, dichterliebe: Path) -> None:
    (tmp_path / "ranks.yaml").write_text(STUDY.replace("demo/lieder", f"folder:{dichterliebe}"))


def cell_of(folder: Path, *overrides: str) -> Cell:
    plan = make_plan(load_study(folder / "ranks.yaml", overrides))
    return next(cell for cell in plan.cells if cell.kind == "quality")


class Attempt:
    """One attempt of a cell, in a thread."""

    def __init__(self, results: Path, cell: Cell) -> None:
        self.folder, self.stop = CellFolder(results / "ranks" / cell.id), threading.Event()
        self.events: list[dict[str, Any]] = []
        limits = load_study(results / "ranks.yaml").content.limits

        def run() -> None:
            with Leases(results) as owner, CellServers() as servers:
                lease = owner.take(identity(cell.id))
                assert lease is not None
                self.end = attempt(cell, self.folder, limits, lease, self.events.append, self.stop, servers)

        self.thread = threading.Thread(target=run)
        self.thread.start()

    def whole(self) -> tuple[End, str]:
        self.thread.join()
        return self.end


LEFT_BEHIND = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "4", "MASTER_ADDR": "nowhere", "PET_NNODES": "4"}
"""Variables of another launcher, in which the runner was started."""


def test_two_processes_train_one_cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in LEFT_BEHIND.items():
        monkeypatch.setenv(name, value)
    run = Attempt(tmp_path, cell_of(tmp_path))
    assert run.whole() == (End.SETTLED, "")
    assert run.folder.status().state == "done", run.folder.status().reason
    assert run.folder.environment()["training"] == {"processes": 2, "backend": "gloo"}
    rows = {row["metric"]: row for row in run.folder.rows()}
    assert rows["training_time"]["train_steps"] == 6 and 0 < rows["bits_per_token"]["value"] < 20
    steps = [json.loads(line)["step"] for line in (run.folder.path / "history.jsonl").read_text().splitlines()]
    assert steps == sorted(steps) and steps[-1] == 6  # one process writes the curve


def test_the_number_of_processes_is_in_the_id_when_there_are_several(tmp_path: Path) -> None:
    two, one = cell_of(tmp_path), cell_of(tmp_path, "train.processes=1")
    assert two.settings["train"]["processes"] == 2 and two.id != one.id
    assert "processes" not in one.settings["train"]  # ids of before there was a choice stay
    assert (threads_of(two), threads_of(one)) == (2, 1)


def test_a_batch_that_does_not_split_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"processes: a batch of 4 cannot be split over 3 processes") as refused:
        cell_of(tmp_path, "train.processes=3")
    assert "\n" not in str(refused.value)


@linux
def test_its_processes_end_together_and_the_next_attempt_goes_on(tmp_path: Path) -> None:
    cell = cell_of(tmp_path, "train.steps=1000000", "train.log_steps=1")
    run = Attempt(tmp_path, cell)
    wait_for(lambda: any((run.folder.path / "checkpoint").glob("*.safetensors")))
    assert len(processes_of(run.folder.path)) == 5  # the server, its cell, the agent of torchrun and two ranks
    os.kill(max(processes_of(run.folder.path)), signal.SIGKILL)  # one rank is taken away, and with it the cell
    assert run.whole()[0] is End.KILLED
    wait_for(lambda: not processes_of(run.folder.path))
    again = Attempt(tmp_path, cell)
    wait_for(lambda: any(event.get("stage") == "training" for event in again.events))
    assert next(event["done"] for event in again.events if event.get("stage") == "training") > 1
    again.stop.set()  # as a limit of the cell does
    assert again.whole() == (End.STOPPED, "")
    wait_for(lambda: not processes_of(run.folder.path))


@linux
def test_the_memory_of_all_processes_counts() -> None:
    alone = resident_bytes(os.getpid())
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        food = bytearray(64 << 20)
        food[::4096] = b"x" * len(food[::4096])
        os.write(writer, b"x")
        signal.pause()
    try:
        os.read(reader, 1)
        assert [child] == [one.pid for one in tree(child)] and child in [one.pid for one in tree(os.getpid())]
        assert resident_bytes(os.getpid()) >= alone + (60 << 20)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
