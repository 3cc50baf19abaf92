"""Replicates of a timing session: fresh processes, what each leaves, and when no further one is begun."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bench.measure.efficiency.group import Group
from bench.measure.efficiency.session import Session, measure_group


@pytest.fixture(scope="module")
def repeated(cell, folder):
    """One session of two replicates, each of two rounds of calls and two of samples: a good arm, and two whose second
    process fails at 32 tokens."""
    arms = [cell("good", training=False)]
    arms += [cell(trouble, trouble=f"later {trouble}", training=False) for trouble in ("kill", "error")]
    events = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("metrics.cost.device.BusyWatch.busy", lambda self: [])
        patch.setattr("metrics.cost.device.busy_warning", lambda device: "")
        patch.setattr("bench.measure.efficiency.record.Record.is_slowed", lambda self, message: False)
        patch.setattr("bench.measure.efficiency.session.SAMPLE_S", 0.2)
        found = measure_group(
            arms, rounds=4, replicates=2, calls_per_round=2, relative_width=math.inf, log_folder=folder / "repeated",
            sample_rounds=2, on_event=lambda cell_id, event: events.append((cell_id, event)),
        )  # fmt: skip
    return {arm: {(row["metric"], row["length"]): row for row in rows} for arm, rows in found.items()}, events


def test_every_replicate_has_fresh_processes_and_another_arm_first(repeated):
    started = [arm for arm, event in repeated[1] if event["stage"] == "starting"]
    assert started == ["good", "kill", "error", "kill", "error", "good"]
    memory = [arm for arm, event in repeated[1] if event["stage"] == "starting for memory"]
    assert memory == ["good", "kill", "error", "error", "good"]  # "kill" died in its second timed process
    timing = [(arm, event["done"], event["total"]) for arm, event in repeated[1] if event["stage"] == "timing"]
    first = [(arm, done, 4) for done in (0, 1) for arm in ("good", "kill", "error")]
    assert timing == first + [(arm, done, 4) for done in (2, 3) for arm in ("error", "good")]


def test_raw_samples_keep_their_round_and_replicate(repeated):
    row = repeated[0]["good"]["step_latency", 16]
    assert row["round_sizes"] == [2] * 4 and row["replicate_sizes"] == [2, 2] and len(row["raw"]) == row["n"] == 8
    processes = [np.median([np.median(row["raw"][4 * p + r : 4 * p + r + 2]) for r in (0, 2)]) for p in (0, 1)]
    assert row["value"] == pytest.approx(math.sqrt(processes[0] * processes[1]))
    assert row["low"] <= row["value"] <= row["high"] and "within" in row["stopped_by"]


def test_each_replicate_draws_whole_samples_so_that_their_time_has_an_interval(repeated):
    row = repeated[0]["good"]["sample_latency", 16]
    assert row["replicate_sizes"] == [2, 2] and row["stopped_by"] == "planned samples"
    assert row["low"] < row["value"] < row["high"]
    assert min(row["round_sizes"]) > 1  # short ones are repeated
    rounds = np.split(np.array(row["raw"]), np.cumsum(row["round_sizes"])[:-1])
    first, *others = (np.median(one) for one in rounds)
    assert row["value"] == pytest.approx(math.sqrt((first + others[0]) / 2 * (others[1] + others[2]) / 2))


def test_each_replicate_measures_memory(repeated):
    row = repeated[0]["good"]["peak_memory_inference", 16]
    if row["reason"]:
        pytest.skip(row["reason"])
    assert row["replicate_sizes"] == [3, 1] and row["round_sizes"] == [1] * 4 and row["n"] == 4
    assert row["value"] == pytest.approx(math.sqrt(np.median(row["raw"][:3]) * row["raw"][3]))
    assert repeated[0]["kill"]["peak_memory_inference", 16]["replicate_sizes"] == [3]
    asked = [(arm, event["stage"]) for arm, event in repeated[1]].count(("good", "measuring memory"))
    assert asked == 2


def test_a_process_that_dies_in_a_later_replicate_leaves_what_the_first_measured(repeated):
    for length in (16, 32):
        row = repeated[0]["kill"]["step_latency", length]
        assert row["value"] > 0 and row["replicate_sizes"] == [2] and row["status"] == "done"
        assert "SIGKILL (in replicate 2)" in row["note"]
    assert repeated[0]["kill"]["forward_gflops_fvcore", 32]["value"] > 0


def test_an_error_in_a_later_replicate_leaves_the_first_and_the_other_lengths(repeated):
    rows = repeated[0]["error"]
    assert rows["step_latency", 32]["replicate_sizes"] == [2] and rows["step_latency", 16]["replicate_sizes"] == [2, 2]
    assert "numbers ran out (in replicate 2)" in rows["step_latency", 32]["note"]
    assert rows["step_latency", 16]["note"] == ""


def test_samples_of_later_replicates_that_have_no_time_are_named(cell):
    session, record = small_session(cell)
    session.group.arms[0].process = object()
    record.take({"event": "warm", "kind": "step", "length": 16, "warm_s": 10.0, "calls": 3})
    session.plan_samples()  # a sample takes 30 s; five rounds of two calls take 100 s, all of the cap
    assert session.samples[16] == 1 and session.not_planned == {}
    assert record.stopped["sample", 16] == "planned samples, none in the last 2 replicates: time cap of 100 s"
    session.time_cap_s = 160.0
    session.plan_samples()
    assert session.samples[16] == 2 and session.samples_s(0, 3) == 60.0 and session.samples_s(1, 3) == 30.0
    assert session.samples_s(2, 3) == 0.0


def test_every_replicate_has_a_round_of_samples_before_any_has_two(cell):
    session, record = small_session(cell, sample_rounds=2, time_cap_s=220.0)
    session.group.arms[0].process = object()
    record.take({"event": "warm", "kind": "step", "length": 16, "warm_s": 10.0, "calls": 3})
    session.plan_samples()  # 120 s are left for samples of 30 s
    drawn = [[turn for turn in session.sample_turns(number) if turn < session.samples[16]] for number in range(3)]
    assert drawn == [[0, 3], [1], [2]] and session.samples_s(0, 3) == 120.0 and session.samples_s(1, 3) == 60.0
    assert record.stopped["sample", 16] == "planned samples, 4 of 6 rounds: time cap of 220 s"


def small_session(cell, **settings):
    """A session of one arm that was timed in its first replicate, without a process."""
    group = Group([cell("a")], {}, lambda cell_id, event: None, 1.0)
    record = group.arms[0].record
    record.take({"event": "samples", "kind": "step", "length": 16, "samples_s": [1.0]})
    record.stopped = {("step", 16): "time cap of 100 s"}
    usual = {"rounds": 5, "replicates": 3, "calls": 1, "block_s": 0.0, "relative_width": 0.02, "time_cap_s": 100.0}
    return Session(group, **usual | settings), record


def test_a_replicate_for_which_no_time_is_left_is_not_begun_and_named(cell):
    session, record = small_session(cell)
    session.spent_s, session.last_start_s, session.last_round_s = 200.0, 60.0, 40.0
    assert session.share == 2 and session.time_for_another()  # 100 s of 3 x 100 are left
    session.starts_s = 1.0
    assert not session.time_for_another()
    assert record.stopped == {("step", 16): "time cap of 100 s; 1 of 3 replicates: time cap of 100 s"}


def test_a_replicate_is_not_begun_where_every_process_has_died(cell):
    session, record = small_session(cell)
    record.death = ("failed", "error: gone")
    assert not session.time_for_another()


def test_rounds_go_on_until_the_time_of_one_process_is_known(cell):
    session, record = small_session(cell)
    session.group.arms[0].process = object()
    assert session.width(("step", 16)) == math.inf  # one round has no spread
    record.take({"event": "samples", "kind": "step", "length": 16, "samples_s": [1.02]})
    # logarithms 0 and ln 1.02: sd ln(1.02) / sqrt(2), over sqrt(2) rounds, times t = 12.7062
    assert session.width(("step", 16)) == pytest.approx(12.7062 * math.log(1.02) / 2, rel=1e-5)
    session.group.arms[0].process = None
    assert session.width(("step", 16)) == 0.0
