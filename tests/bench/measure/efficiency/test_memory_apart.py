"""Which processes measure memory: on a CPU further ones, whose allocator gives back what is freed; else the timed."""

from __future__ import annotations

import pytest

from bench.child import RETURNED_MEMORY
from bench.errors import CellFailure
from bench.measure.efficiency import group as group_module
from bench.measure.efficiency.group import Group
from bench.measure.efficiency.session import Session

LENGTHS = (16, 32)


@pytest.fixture
def measured(cell, monkeypatch):
    """A function: a session of two arms, whose second fails in training at 32 tokens, is measured in one replicate of
    stand-in processes; returns what was asked of each process in turn."""

    def measure(device, **trouble):
        asked = []
        monkeypatch.setattr(group_module, "WorkerProcess", lambda *inputs: Process(asked, trouble, *inputs))
        arms = [cell("good", LENGTHS, device=device), cell("short", LENGTHS, device=device)]
        group = Group(arms, dict.fromkeys(("good", "short")), lambda *_: None, 1.0)
        session = Session(group, 2, 1, 1, 0.0, 0.02, 100.0)
        monkeypatch.setattr(group, "measure_device", lambda: None)
        monkeypatch.setattr(session, "draw_samples", lambda number: None)
        monkeypatch.setattr("metrics.cost.device.BusyWatch.busy", lambda self: [])
        session.replicate(0)
        group.end()
        return asked, {arm.cell.id: arm.record for arm in group.arms}

    return measure


class Process:
    """Answers as a measuring process would; `trouble`: name of an arm -> the process and command with which it ends."""

    def __init__(self, asked, trouble, settings, threads, kernels, log, environment=None):
        assert environment in (None, RETURNED_MEMORY)
        self.name, self.what = settings["id"], "memory" if environment == RETURNED_MEMORY else "time"
        self.asked, self.trouble, self.command = asked, trouble, {"command": "start"}

    def send(self, command):
        self.command = command

    def answers(self, silence_s):
        command = self.command["command"]
        self.asked.append((self.name, self.what, command, self.command.get("work")))
        if self.trouble.get(self.name) == (self.what, command):
            raise CellFailure("failed", "error: gone")
        if command == "warm" and self.what == "time":
            for kind, length, _ in self.command["work"]:
                yield {"event": "warm", "kind": kind, "length": length, "warm_s": 0.1}
        if command == "round":
            for block in self.command["work"]:
                if self.name != "short" or block["kind"] == "step" or block["length"] == 16:
                    yield {"event": "samples", "samples_s": [0.1], "phases_s": {}, "probes_s": [], **block}

    def close(self):
        self.asked.append((self.name, self.what, "close", None))


def test_on_a_cpu_memory_has_processes_of_its_own_with_what_could_be_timed(measured):
    asked, _ = measured("cpu")
    order = [(name, what, command) for name, what, command, _ in asked if command != "round"]
    arms = ("good", "short")
    assert order == [
        *((arm, "time", command) for command in ("start", "warm", "audit", "close") for arm in arms),
        *((arm, "memory", command) for command in ("start", "warm", "memory", "close") for arm in arms),
    ]
    work = {(name, command): work for name, what, command, work in asked if what == "memory"}
    assert work["good", "memory"] == {"step": [16, 32], "train": [16, 32]}
    assert work["short", "memory"] == {"step": [16, 32], "train": [16]}
    assert work["short", "warm"] == [("step", 16, 0.1), ("step", 32, 0.1), ("train", 16, 0.1)]


def test_on_a_gpu_the_timed_processes_measure_it_before_a_profiler_takes_memory(measured):
    asked, _ = measured("cuda")
    good = [(what, command) for name, what, command, _ in asked if name == "good" and command != "round"]
    assert good == [("time", command) for command in ("start", "warm", "memory", "audit", "close")]


@pytest.mark.parametrize("command", ["start", "warm", "memory"])
def test_an_arm_whose_memory_process_ends_keeps_its_times_and_stays_out_of_further_replicates(measured, command):
    asked, records = measured("cpu", good=("memory", command))
    assert records["good"].death == ("failed", "error: gone") and records["good"].replicates_s("step", 16)
    assert ("short", "memory", "memory") in [one[:3] for one in asked] and records["short"].death is None


def test_an_arm_that_ends_while_flops_are_counted_has_its_memory_measured_all_the_same(measured):
    asked, records = measured("cpu", good=("time", "audit"))
    assert ("good", "memory", "memory") in [one[:3] for one in asked]
    assert records["good"].death == ("failed", "error: gone")


def test_an_arm_that_ends_while_it_is_timed_is_not_begun_again(measured):
    asked, _ = measured("cpu", good=("time", "round"))
    assert {what for name, what, *_ in asked if name == "good"} == {"time"}
    assert ("short", "memory", "memory") in [one[:3] for one in asked]
