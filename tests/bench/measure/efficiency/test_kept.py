"""Whole replicates on disk: an interrupted session goes on behind them, and only behind its own."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from bench.measure.efficiency.group import Group
from bench.measure.efficiency.kept import KeptReplicates
from bench.measure.efficiency.record import Record
from bench.measure.efficiency.session import Session, measure_group

ENVIRONMENT = {"cpu": "a", "libraries": {"torch": "2"}, "load_1_min": 0.3}
KEPT = ["good", "kill"]


def measured(cell, path, on_event=lambda cell_id, event: None, is_slowed=lambda record, message: False):
    """The rows by arm, metric and length of two replicates: of a good arm, and of one that is killed in the first."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("metrics.cost.device.BusyWatch.busy", lambda self: [])
        patch.setattr("metrics.cost.device.busy_warning", lambda device: "")
        patch.setattr("bench.measure.efficiency.record.Record.is_slowed", is_slowed)
        found = measure_group(
            [cell("good", training=False), cell("kill", trouble="kill", training=False)],
            rounds=4, replicates=2, calls_per_round=2, relative_width=math.inf, on_event=on_event,
            log_folder=path.parent, kept=KeptReplicates(path, KEPT, ENVIRONMENT),
        )  # fmt: skip
    return {(arm, row["metric"], row["length"]): row for arm, rows in found.items() for row in rows}


def interrupt_in_second():
    """An `on_event` that interrupts a session when the good arm's process is started for the second time."""
    started = []

    def on_event(cell_id, event):
        started.extend([cell_id] * (cell_id == "good" and event["stage"] == "starting"))
        if len(started) == 2:
            raise KeyboardInterrupt

    return on_event


@pytest.fixture(scope="module")
def resumed(cell, folder):
    """(what was kept at the interruption, rows of the whole session, stages of the good arm behind it)."""
    path, stages = folder / "kept" / "replicates.json", []
    with pytest.raises(KeyboardInterrupt):
        measured(cell, path, interrupt_in_second())
    kept = json.loads(path.read_text())
    rows = measured(cell, path, lambda cell_id, event: stages.extend([event["stage"]] * (cell_id == "good")))
    return kept, rows, stages


def test_a_session_goes_on_behind_the_replicates_that_are_whole(resumed):
    kept, rows, stages = resumed
    assert kept["replicates"] == 1 and stages.count("starting") == 1
    row = rows["good", "step_latency", 16]
    assert row["replicate_sizes"] == [2, 2]
    of_file = [
        message["samples_s"]
        for message in kept["arms"][0]["messages"]
        if message["event"] == "samples" and message["kind"] == "step" and message["length"] == 16
    ]
    assert np.allclose(row["raw"][:4], np.concatenate(of_file) * 1e3, rtol=1e-12)
    assert "interrupted after 1 of 2 replicates" in row["note"]


def test_what_only_the_first_replicate_measures_is_kept(resumed):
    rows = resumed[1]
    assert rows["good", "forward_gflops_fvcore", 32]["value"] > 0
    assert "counting FLOPs" not in resumed[2]
    assert rows["good", "sample_latency", 16]["replicate_sizes"] == [1, 1]


def test_an_arm_that_died_before_the_interruption_stays_out(resumed):
    row = resumed[1]["kill", "step_latency", 32]
    assert math.isnan(row["value"]) and "SIGKILL" in row["reason"]


def test_a_session_that_was_cut_off_behind_its_last_replicate_starts_no_process(cell, resumed, folder):
    stages = []
    rows = measured(cell, folder / "kept" / "replicates.json", lambda cell_id, event: stages.append(event["stage"]))
    assert stages == []
    assert rows["good", "step_latency", 16]["raw"] == resumed[1]["good", "step_latency", 16]["raw"]


def test_slowed_rounds_of_a_replicate_are_kept_where_one_other_is_left(cell, resumed, folder):
    path = folder / "kept" / "replicates.json"
    rows = measured(cell, path, is_slowed=lambda record, message: message["replicate"] == 1)
    assert rows["good", "step_latency", 16]["round_sizes"] == [2, 2, 2, 2]


def small_session(cell):
    """A session of two arms with something in every part of its state."""
    group = Group([cell("good"), cell("kill")], {}, lambda cell_id, event: said.append(event["stage"]), 1.0)
    said: list[str] = []
    session = Session(group, 3, 3, 2, 0.0, 0.02, 100.0)
    record = group.arms[0].record
    record.take({"event": "samples", "kind": "step", "length": 16, "samples_s": [0.1], "replicate": 1})
    record.take({"event": "failed", "kind": "step", "length": 32, "status": "oom", "asked_bytes": math.nan})
    record.take({"event": "progress", "stage": "timing"})
    record.stopped, record.death, record.notes = {("step", 16): "time cap"}, ("failed", "SIGKILL"), ["busy"]
    record.repeated["step", 16] = 2
    session.spent_s, session.starts_s, session.last_start_s, session.last_round_s = 4.0, 3.0, 2.0, 1.0
    session.sample_s, session.samples, session.not_planned = {16: 0.3}, {16: 2}, {32: "no time"}
    session.repeats.first_s, session.repeats.repeats_s = 7.0, 5.0
    session.repeats.given_up, session.repeats.probes_s = {("good", ("step", 16))}, {1: [0.1, 0.2]}
    group.replicate = 1
    return session, said


def test_every_part_of_a_session_is_kept(cell, tmp_path):
    before, said = small_session(cell)
    KeptReplicates(tmp_path / "kept", KEPT, ENVIRONMENT).keep(before)
    after = Session(Group([cell("good"), cell("kill")], {}, lambda *_: None, 1.0), 3, 3, 2, 0.0, 0.02, 100.0)
    assert KeptReplicates(tmp_path / "kept", KEPT, ENVIRONMENT | {"load_1_min": 9.0}).take_over(after) == 2
    shown = [
        {name: value for name, value in vars(one).items() if name not in ("group", "repeats")}
        | {name: value for name, value in vars(one.repeats).items() if name != "group"}
        for one in (before, after)
    ]
    assert shown[0] == shown[1] and after.group.replicate == 1 and said == []
    ones = before.group.arms[0].record, after.group.arms[0].record
    assert math.isnan(ones[1].newest("failed", "step", 32)["asked_bytes"])
    for record in ones:
        del record.messages["failed"]  # NaN is not equal to itself
    del ones[0].messages["progress"]
    assert ones[0] == ones[1] and after.group.arms[1].record == Record()


@pytest.mark.parametrize(
    ("ids", "environment"),
    [(["kill", "good"], ENVIRONMENT), (KEPT[:1], ENVIRONMENT), (KEPT, ENVIRONMENT | {"cpu": "b"})],
)
def test_replicates_of_other_cells_or_of_another_machine_are_not_taken(cell, tmp_path, ids, environment):
    session, _ = small_session(cell)
    KeptReplicates(tmp_path / "kept", ids, environment).keep(session)
    assert KeptReplicates(tmp_path / "kept", KEPT, ENVIRONMENT).take_over(session) == 0


@pytest.mark.parametrize("content", ["", "[1, 2]", '{"key": 3', "{}", "\udce9"])
def test_a_file_of_something_else_is_not_taken(cell, tmp_path, content):
    (tmp_path / "kept").write_text(content, errors="surrogateescape")
    assert KeptReplicates(tmp_path / "kept", KEPT, ENVIRONMENT).take_over(small_session(cell)[0]) == 0


def test_a_full_disk_is_named_and_the_session_goes_on(cell, tmp_path, monkeypatch):
    session, said = small_session(cell)

    def full(path, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("bench.measure.efficiency.kept.write_atomically", full)
    KeptReplicates(tmp_path / "kept", KEPT, ENVIRONMENT).keep(session)
    assert len(said) == 2 and "replicates not kept" in said[0] and "No space left on device" in said[0]
