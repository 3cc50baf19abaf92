"""Rounds of a throttled GPU: timed again after a pause, flagged where that does not help, and never lost."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch

from bench.errors import CellFailure
from bench.measure.efficiency import throttling
from bench.measure.efficiency import worker as efficiency_worker
from bench.measure.efficiency.doctor import LOCK, examine_clock
from bench.measure.efficiency.group import Group
from bench.measure.efficiency.rows import rows_of
from bench.measure.efficiency.throttling import PAUSE_S, Repeats
from metrics.cost.nvml import Gpu, GpuWatch

CUDA = torch.device("cuda")
COOL = {"sm_clock_mhz": 1980.0, "temperature_c": 50.0, "power_w": 300.0, "throttled": []}
SLOWED = {"sm_clock_mhz": 1500.0, "temperature_c": 87.0, "power_w": 700.0, "throttled": ["power cap"]}
WORK = [{"kind": "step", "length": 16, "calls": 1}, {"kind": "step", "length": 32, "calls": 1}]


class Process:
    """Answers each block of a turn with the next state of the GPU; a state that is an error ends it."""

    def __init__(self, states):
        self.states, self.turns = iter(states), []

    def send(self, command):
        self.turns.append([block["length"] for block in command["work"]])

    def answers(self, silence_s):
        for length in self.turns[-1]:
            state = next(self.states)
            if isinstance(state, CellFailure):
                raise state
            if "words" in state:
                yield {"event": "warning", **state}
                state = {}
            usual = {"clocks_agree": True, "note": "", "phases_s": {}, "nfe": []}
            yield {"event": "samples", "kind": "step", "length": length, "samples_s": [1.0], "gpu": state, **usual}

    def close(self):
        pass


@pytest.fixture
def session(cell, monkeypatch):
    """Rounds of one arm whose GPU is in the states given: its rows, the lengths of each turn, and the pauses."""

    def run(states, rounds):
        pauses = []
        monkeypatch.setattr(throttling.time, "sleep", pauses.append)
        group = Group([cell("a", training=False)], {}, lambda cell_id, event: None, 1.0)
        arm, repeats = group.arms[0], Repeats(group)
        process = arm.process = Process(states)
        for _ in range(rounds):
            group.turn(arm, {"command": "round", "work": WORK})
            repeats.after(arm, WORK)
        rows = {(row["metric"], row["length"]): row for row in rows_of(arm.cell, arm.record, {}, {})}
        return rows, process.turns, pauses

    return run


def test_a_throttled_round_is_timed_again_and_the_repeat_takes_its_place(session):
    rows, turns, pauses = session([COOL, SLOWED, SLOWED, COOL], rounds=1)
    assert turns == [[16, 32], [32], [32]] and pauses == [PAUSE_S] * 2
    row = rows["step_latency", 32]
    assert row["n"] == 1 and row["gpu"] == [COOL] and "throttled" not in row
    assert row["note"] == "2 throttled rounds timed again" and rows["step_latency", 16]["note"] == ""


def test_what_stays_throttled_is_repeated_three_times_flagged_and_later_left(session):
    states = [COOL, *[SLOWED] * 4, COOL, SLOWED | {"temperature_c": 85.0}, COOL, COOL]
    rows, turns, pauses = session(states, rounds=3)
    assert turns == [[16, 32], [32], [32], [32], [16, 32], [16, 32]] and len(pauses) == 3
    row = rows["step_latency", 32]
    assert row["n"] == 3 and row["throttled"] == "power cap in 2 of 3 rounds"
    assert (row["sm_clock_mhz"], row["temperature_c"], row["power_w"]) == (1500.0, 87.0, 700.0)
    assert rows["tokens_per_second", 32]["throttled"] == row["throttled"]
    assert rows["step_latency", 16]["sm_clock_mhz"] == 1980.0 and "throttled" not in rows["step_latency", 16]


def test_a_process_that_dies_in_a_repeat_leaves_the_throttled_round(session):
    rows, turns, _ = session([COOL, SLOWED, CellFailure("failed", "the GPU is gone")], rounds=1)
    row = rows["step_latency", 32]
    assert turns == [[16, 32], [32]] and row["value"] == 1000.0 and row["throttled"] == "power cap in 1 of 1 rounds"
    assert row["note"] == "the GPU is gone"


def test_a_cpu_is_never_repeated_and_has_no_clocks(session):
    rows, turns, pauses = session([{}] * 4, rounds=2)
    assert turns == [[16, 32]] * 2 and not pauses
    assert not {"gpu", "sm_clock_mhz", "throttled"} & set(rows["step_latency", 16])


def test_what_nvml_refuses_is_noted_once_and_the_rounds_go_on(session):
    lost = {"words": "SM clock of the GPU not known: NVML: GPU is lost"}
    rows, _, _ = session([COOL, COOL, lost, lost], rounds=2)
    row = rows["step_latency", 16]
    assert row["note"] == lost["words"] and row["n"] == 2 and row["sm_clock_mhz"] == 1980.0
    assert row["gpu"] == [COOL, {}]


@pytest.fixture
def worker():
    """A measuring process in this one, of an arm whose calls do nothing, and what it reports."""
    made, heard = object.__new__(efficiency_worker.EfficiencyWorker), []
    made.settings, made.kinds = {"lengths": (16,), "energy": True}, ("step",)
    made.failed, made.sampled, made.warm_s = set(), set(), {}
    idle = {"call": lambda kind, length: lambda: None, "marks_s": [], "marks": []}
    made.arm = SimpleNamespace(device=torch.device("cpu"), **idle)
    made.emit = lambda event, **told: heard.append((event, told))
    return made, heard


def test_a_round_reports_the_state_after_its_calls(worker, nvml):
    made, heard = worker
    made.gpu = GpuWatch(CUDA, lambda words: made.emit("warning", words=words))
    made.round([{"kind": "step", "length": 16, "calls": 1}])
    nvml.refused = {"nvmlDeviceGet": 15}
    made.round([{"kind": "step", "length": 16, "calls": 1}])
    states = [told["gpu"] for event, told in heard if event == "samples"]
    assert states[0]["sm_clock_mhz"] == 1410.0 and states[0]["throttled"] == [] and states[1] == {}
    assert [told["words"].partition(": ")[2] for event, told in heard if event == "warning"] == ["NVML: GPU is lost"]


@pytest.mark.parametrize("lost_in", ["idle power", "calls"])
def test_a_counter_that_goes_away_costs_the_energy_alone(worker, nvml, monkeypatch, lost_in):
    def idle_power(counter):
        if lost_in == "idle power":
            nvml.refused = {"nvmlDeviceGetTotal": 15}
        return counter.joules()

    made, heard = worker
    gpu = Gpu(CUDA)
    monkeypatch.setattr(efficiency_worker, "COUNTERS", ())
    monkeypatch.setattr(efficiency_worker, "energy_counter", lambda device: gpu)
    monkeypatch.setattr(efficiency_worker, "measure_idle_power", idle_power)
    for count in ("_launches", "_count_piece"):
        monkeypatch.setattr(made, count, lambda length: None)
    monkeypatch.setattr(made.arm, "call", lambda kind, length: lambda: nvml.refused.update(nvmlDeviceGetTotal=15))
    made.audit()
    energies = [told for event, told in heard if event == "energy"]
    assert [told["length"] for told in energies] == ([None, None] if lost_in == "idle power" else [16])
    assert all(math.isnan(told["value"]) for told in energies)
    assert {told["reason"] for told in energies} == {"energy is not available: NVML: GPU is lost"}
    assert not [told for event, told in heard if event in ("failed", "error")]


@pytest.mark.parametrize(
    ("idle", "busy", "reasons", "state", "words", "advice"),
    [
        (345, 1980, 0, "fails", "SM clock 345 MHz idle, 1980 MHz under load: not locked", LOCK),
        (345, 1500, 4, "fails", "SM clock 345 MHz idle, 1500 MHz under load, throttled by power cap: not locked", LOCK),
        (1410, 1410, 2, "works", "SM clock 1410 MHz idle, 1410 MHz under load: locked", ""),
        (1980, 1980, 0, "works",
         "SM clock 1980 MHz idle, 1980 MHz under load, its highest: locked there, or not at all", ""),
    ],
)  # fmt: skip
def test_the_doctor_says_whether_clocks_are_locked(nvml, idle, busy, reasons, state, words, advice):
    nvml.clocks_mhz[1] = idle

    def load(device):
        nvml.clocks_mhz[1], nvml.reasons = busy, reasons

    found = examine_clock(CUDA, load)
    assert (found.subject, found.state, found.detail, found.advice) == ("clock", state, words, advice)


def test_the_doctor_says_why_clocks_are_not_known(nvml):
    nvml.refused = {"nvmlDeviceGetClock": 4}
    found = examine_clock(CUDA, lambda device: None)
    assert (found.state, found.detail) == ("missing", "NVML: Insufficient Permissions")
    assert "throttling is not noticed" in found.advice
