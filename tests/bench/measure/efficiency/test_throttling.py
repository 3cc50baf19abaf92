"""Rounds of a throttled GPU or a slowed CPU: timed again after a pause, flagged where that does not help, and never
lost."""

from __future__ import annotations

import math
from dataclasses import asdict
from types import SimpleNamespace

import pytest
import torch

from bench.errors import CellFailure
from bench.measure.efficiency import throttling
from bench.measure.efficiency import worker as efficiency_worker
from bench.measure.efficiency.doctor import LOCK, examine_clock
from bench.measure.efficiency.group import Group
from bench.measure.efficiency.rows import rows_of
from bench.measure.efficiency.session import Session
from bench.measure.efficiency.throttling import CPU_PAUSE_S, PAUSE_S, Repeats
from metrics.cost.latency import CallTimes
from metrics.cost.nvml import Gpu, GpuWatch

CUDA = torch.device("cuda")
COOL = {"sm_clock_mhz": 1980.0, "temperature_c": 50.0, "power_w": 300.0, "throttled": []}
SLOWED = {"sm_clock_mhz": 1500.0, "temperature_c": 87.0, "power_w": 700.0, "throttled": ["power cap"]}
WORK = [{"kind": "step", "length": 16, "calls": 1}, {"kind": "step", "length": 32, "calls": 1}]
FULL = {"probes_s": [1.0, 1.1]}


def slow(probe_s, **more):
    """A round on a CPU of which the slower probe took so long."""
    return {"probes_s": [1.0, probe_s], **more}


class Clock:
    """Stand-in for the module `time`: calls and pauses move it."""

    def __init__(self):
        self.now_s, self.pauses = 0.0, []

    def monotonic(self):
        return self.now_s

    def sleep(self, pause_s):
        self.pauses.append(pause_s)
        self.now_s += pause_s


class Process:
    """Answers each block of a turn with the next state of the GPU, or the next round on a CPU; a state that is an error
    ends it."""

    def __init__(self, states, clock):
        self.states, self.turns, self.clock = iter(states), [], clock

    def send(self, command):
        self.turns.append([block["length"] for block in command["work"]])
        self.kinds = [block["kind"] for block in command["work"]]

    def answers(self, silence_s):
        for kind, length in zip(self.kinds, self.turns[-1], strict=True):
            state = next(self.states)
            if isinstance(state, CellFailure):
                raise state
            if "words" in state:
                yield {"event": "warning", **state}
                state = {}
            usual = {"clocks_agree": True, "note": "", "phases_s": {}, "nfe": [3.0] * (kind == "sample")}
            shown = {"samples_s": [1.0], "gpu": {}} | (state if "probes_s" in state else {"gpu": state})
            self.clock.now_s += sum(shown["samples_s"])
            yield {"event": "samples", "kind": kind, "length": length, **shown, **usual}

    def close(self):
        pass


@pytest.fixture
def session(cell, monkeypatch):
    """Rounds of one arm whose device is in the states given: its rows, the lengths of each turn, and the pauses.

    Earlier rounds of the session have taken `first_s` seconds.
    """

    def run(states, rounds, first_s=1000.0, work=WORK):
        clock = Clock()
        monkeypatch.setattr(throttling, "time", clock)
        group = Group([cell("a", training=False)], {}, lambda cell_id, event: None, 1.0)
        arm, repeats = group.arms[0], Repeats(group)
        repeats.first_s = first_s
        process = arm.process = Process(states, clock)
        for _ in range(rounds):
            repeats.turn(arm, work, "timing")
        rows = {(row["metric"], row["length"]): row for row in rows_of(arm.cell, arm.record, {}, {})}
        return rows, process.turns, clock.pauses

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


def test_a_whole_sample_of_a_throttled_gpu_is_flagged_and_not_repeated(session):
    rows, turns, pauses = session([SLOWED], rounds=1, work=[{"kind": "sample", "length": 16, "calls": 1}])
    assert turns == [[16]] and not pauses
    assert rows["sample_latency", 16]["throttled"] == "power cap in 1 of 1 rounds"


def test_a_cpu_within_ten_percent_of_full_speed_is_not_repeated_and_has_no_clocks(session):
    rows, turns, pauses = session([FULL, slow(1.099)] * 2, rounds=2)
    assert turns == [[16, 32]] * 2 and not pauses
    row = rows["step_latency", 16]
    assert row["note"] == "" and row["probes_s"] == [[1.0, 1.1]] * 2 and row["full_speed_probe_s"] == 1.0
    assert len(row["round_sizes"]) == 2 and not {"gpu", "sm_clock_mhz", "throttled"} & set(row)


def test_a_slowed_round_is_timed_again_and_the_try_of_the_fastest_probes_is_kept(session):
    tries = [slow(1.5, samples_s=[1.5]), slow(1.2, samples_s=[1.2]), slow(1.4, samples_s=[1.4])]
    rows, turns, pauses = session([FULL, *tries, slow(1.3, samples_s=[1.3])], rounds=1)
    assert turns == [[16, 32], [32], [32], [32]] and pauses == [CPU_PAUSE_S] * 3
    row = rows["step_latency", 32]
    assert row["raw"] == [1200.0] and row["probes_s"] == [[1.0, 1.2]] and "throttled" not in row
    assert row["note"] == "3 slowed rounds timed again; machine slower by over 10 % in 1 of 1 rounds"
    assert rows["step_latency", 16]["note"] == ""


def test_a_repeat_at_full_speed_leaves_no_slowed_round(session):
    rows, turns, _ = session([FULL, slow(1.5), slow(1.05)], rounds=1)
    assert turns == [[16, 32], [32]]
    assert rows["step_latency", 32]["note"] == "1 slowed round timed again"
    assert rows["step_latency", 32]["probes_s"] == [[1.0, 1.05]]


def test_a_slowed_cpu_is_repeated_in_later_rounds_too(session):
    _, turns, _ = session([FULL, *[slow(1.5)] * 4, FULL, slow(1.5), FULL], rounds=2)
    assert turns == [[16, 32], *[[32]] * 3, [16, 32], [32]]


def test_repeats_of_a_cpu_take_no_longer_than_the_first_tries(session):
    # a turn takes 2 s, a repeat with its pause 2 s: one fits after the first turn, one after the second
    _, turns, pauses = session([FULL, slow(1.5), slow(1.5)] * 2, rounds=2, first_s=0.0)
    assert turns == [[16, 32], [32]] * 2 and pauses == [CPU_PAUSE_S] * 2
    short = {"samples_s": [0.6]}  # a pause and one block are longer than the turn
    _, turns, pauses = session([FULL | short, slow(1.5, **short)], rounds=1, first_s=0.0)
    assert turns == [[16, 32]] and not pauses


def test_rounds_are_measured_by_the_probes_of_the_whole_session(session):
    rounds = [{"probes_s": [2.0, 2.0], "samples_s": [3.0]}, FULL]
    rows, turns, _ = session(rounds, rounds=2, work=WORK[:1])
    assert turns == [[16], [16]] and rows["step_latency", 16]["probes_s"] == [[2.0, 2.0], [1.0, 1.1]]
    assert rows["step_latency", 16]["note"] == "1 of 2 rounds left out: machine slower by over 10 %"
    assert rows["step_latency", 16]["round_sizes"] == [0, 1] and rows["step_latency", 16]["n"] == 1
    assert rows["step_latency", 16]["left_out_s"] == [[3.0]] and rows["step_latency", 16]["raw"] == [1000.0]
    assert rows["step_latency", 16]["full_speed_probe_s"] == 1.0


def test_full_speed_is_that_of_all_arms_with_as_many_threads(cell, monkeypatch):
    clock = Clock()
    monkeypatch.setattr(throttling, "time", clock)
    arms = [cell("a", training=False), cell("b", training=False), cell("c", training=False, threads=2)]
    group = Group(arms, {}, lambda cell_id, event: None, 1.0)
    repeats = Repeats(group)
    rounds = {"a": [FULL, FULL], "b": [{"probes_s": [1.5, 1.5]}] * 8, "c": [{"probes_s": [0.5, 0.5]}] * 2}
    for arm in group.arms:
        arm.process = Process(rounds[arm.cell.id], clock)
        repeats.first_s += 100.0
        repeats.turn(arm, WORK, "timing")
    assert [len(arm.process.turns) for arm in group.arms] == [1, 4, 1]
    assert [arm.record.full_speed_probe_s for arm in group.arms] == [1.0, 1.0, 0.5]


def test_one_probe_faster_than_all_others_makes_no_round_a_slow_one(session):
    rounds = [{"probes_s": [1.0, 1.0]}] * 10 + [{"probes_s": [0.8, 1.0]}] + [{"probes_s": [1.0, 1.05]}] * 5
    rows, turns, _ = session(rounds, rounds=16, work=WORK[:1])
    row = rows["step_latency", 16]
    assert row["full_speed_probe_s"] == 1.0 and row["note"] == "" and turns == [[16]] * 16


def test_whole_samples_on_a_slowed_cpu_are_drawn_again(cell, monkeypatch):
    clock = Clock()
    monkeypatch.setattr(throttling, "time", clock)
    group = Group([cell("a", (16,), training=False)], {}, lambda cell_id, event: None, 1.0)
    timed, arm = Session(group, 1, 1, 1, 0.0, 0.02, 100.0), group.arms[0]
    arm.record.take(
        {"event": "warm", "kind": "step", "length": 16, "warm_s": 1.0, "cold_s": 1.0, "kernel": "", "calls": 3}
    )
    timed.samples, timed.repeats.first_s = {16: 1}, 100.0
    arm.process = Process([slow(1.5, samples_s=[4.0]), slow(1.0, samples_s=[3.0])], clock)
    timed.draw_samples(0)
    assert arm.process.turns == [[16], [16]] and clock.pauses == [CPU_PAUSE_S]
    row = next(row for row in rows_of(arm.cell, arm.record, {}, {}) if row["metric"] == "sample_latency")
    assert row["raw"] == [3.0] and row["note"] == "1 slowed round timed again"


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


def test_a_round_on_a_cpu_is_between_two_probes_and_one_on_a_gpu_has_none(worker, monkeypatch):
    made, heard = worker
    made.gpu, order = SimpleNamespace(read=dict), []
    probe = efficiency_worker.probe_product_s
    monkeypatch.setattr(efficiency_worker, "probe_product_s", lambda: (order.append("probe"), probe())[1])
    monkeypatch.setattr(made.arm, "call", lambda kind, length: lambda: order.append("call"))
    made.warm_s["step", 16] = 0.01
    made.round([{"kind": "step", "length": 16, "calls": 1}])
    assert order == ["probe", "call", "call", "probe"]  # a warm-up call, and the timed one
    told = heard[-1][1]
    assert len(told["probes_s"]) == 2 and min(told["probes_s"]) > 0 and len(told["samples_s"]) == 1

    monkeypatch.setattr(made.arm, "device", CUDA)
    monkeypatch.setattr(efficiency_worker, "time_calls", lambda *_, **__: CallTimes([1.0], "cuda"))
    made.round([{"kind": "step", "length": 16, "calls": 1}])
    assert heard[-1][1]["probes_s"] == []


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


def test_a_block_that_failed_leaves_no_probe_a_second_time(cell, monkeypatch):
    group = Group([cell("a", training=False)], {}, lambda cell_id, event: None, 1.0)
    arm, repeats = group.arms[0], Repeats(group)
    arm.process = Process([slow(1.1), slow(1.1)], Clock())
    repeats.turn(arm, WORK, "timing")
    monkeypatch.setattr(group, "turn", lambda *given, **more: None)  # nothing is timed any more
    repeats.turn(arm, WORK, "timing")
    assert repeats.probes_s == {1: [1.0, 1.0, 1.1, 1.1]}


@pytest.mark.parametrize(("device", "limits"), [("cpu", [2**30]), ("cuda", [])])
def test_the_limit_of_memory_holds_on_a_cpu_alone(cell, monkeypatch, device, limits):
    """What the driver of a GPU maps counts in it."""
    found = []
    monkeypatch.setattr(efficiency_worker, "limit_growth", found.append)
    monkeypatch.setattr(efficiency_worker, "held_bytes", lambda device: 0)
    monkeypatch.setattr(efficiency_worker, "TimedArm", lambda settings: (_ for _ in ()).throw(InterruptedError))
    with pytest.raises(InterruptedError):
        efficiency_worker.EfficiencyWorker(asdict(cell("a", device=device, memory_limit_gib=1.0)), lambda *more: None)
    assert found == limits
