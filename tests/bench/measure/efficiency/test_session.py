"""The timing session: turns, rounds, failures that leave the others alone; no answer depends on the machine's speed."""

from __future__ import annotations

import math
import sys
from dataclasses import asdict, replace
from itertools import groupby
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from bench.errors import UserError
from bench.measure.efficiency.cell import EfficiencyCell
from bench.measure.efficiency.group import Group
from bench.measure.efficiency.record import Record
from bench.measure.efficiency.rows import rows_of
from bench.measure.efficiency.session import Session, measure_group, samples_planned

ON_LINUX = sys.platform == "linux"


@pytest.fixture(scope="module")
def session(cell, folder):
    """One session of two rounds beside a busy program, two good arms and one of each trouble: rows by arm, the events.

    "oom" leaves out the lengths after the one that ran out of memory, "unpruned" tries them.
    """
    arms = [cell("a"), cell("b", batch=2), cell("build", trouble="build"), cell("kill", trouble="kill")]
    arms.append(cell("error", trouble="error"))
    if ON_LINUX:
        limited = {"trouble": "oom", "memory_limit_gib": 1.0}
        arms.append(cell("oom", (16, 32, 64), **limited))
        arms.append(cell("unpruned", (16, 32, 64), **limited, training=False, prune=False))
    events = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("metrics.cost.device.BusyWatch.busy", lambda self: [(42, "spinner", 0.98)])
        patch.setattr("bench.measure.efficiency.record.Record.is_slowed", lambda self, message: False)
        patch.setattr("bench.measure.efficiency.session.SAMPLE_S", 0.2)
        found = measure_group(
            arms,
            rounds=2,
            replicates=1,
            calls_per_round=2,
            relative_width=math.inf,
            log_folder=folder / "logs",
            on_event=lambda cell_id, event: events.append((cell_id, event)),
        )
    return {arm: {(row["metric"], row["length"]): row for row in rows} for arm, rows in found.items()}, events


def test_arms_take_turns_in_every_round(session):
    timing = [(arm, event["done"]) for arm, event in session[1] if event["stage"] == "timing" and arm in "ab"]
    assert timing == [("a", 0), ("b", 0), ("a", 1), ("b", 1)]


def test_every_shape_of_every_arm_is_warmed_before_any_is_timed(session, folder):
    calls = [line.split() for line in (folder / "diary").read_text().splitlines()]
    turns = [
        (name, {(length, mode) for _, length, mode in turn}) for name, turn in groupby(calls, lambda call: call[0])
    ]
    assert [name for name, _ in turns if name in "ab"] == [
        "a",
        "b",
    ] * 7  # warm-up, a whole sample, two rounds, counting; in further processes warm-up and memory
    every_shape = {("16", "0"), ("32", "0"), ("16", "1"), ("32", "1")}
    assert dict(reversed(turns))["a"] == dict(reversed(turns))["b"] == every_shape


def test_all_figures_of_a_good_arm_are_there(session):
    rows = session[0]["a"]
    for length in (16, 32):
        for metric, unit, n in (("step_latency", "ms", 4), ("train_step_latency", "ms", 4)):
            row = rows[metric, length]
            assert row["value"] > 0 and row["unit"] == unit and row["n"] == n == len(row["raw"])
            assert row["low"] <= row["value"] <= row["high"] and row["reason"] == "" and row["status"] == "done"
        for metric in ("peak_memory_inference", "peak_memory_training"):
            peak = rows[metric, length]
            assert peak["status"] == "done" and math.isnan(peak["value"]) == (peak["reason"] != "")
            # three, of which one may be no more than the process held: the model is tiny
            assert peak["reason"] or (len(peak["round_sizes"]) == 3 and peak["n"] == sum(peak["round_sizes"]) > 0)
        assert rows["step_latency", length]["round_sizes"] == [2, 2]
        assert rows["sample_latency", length]["value"] > 0 and rows["sample_latency", length]["n"] > 1
        assert len(rows["sample_latency", length]["round_sizes"]) == 1
        assert rows["sample_latency", length]["nfe"] == rows["sample_latency", length]["sample_steps"] == 3
        assert rows["step_latency", length]["kernel"].startswith("scan=none sdpa=")
        assert rows["parameters", length]["value"] == 20 * 16 + 16 * 20 + 20
    assert "within" in rows["step_latency", 16]["stopped_by"] and rows["step_latency", 16]["iqr"] >= 0
    for metric, rounds in (("step_latency", 2), ("sample_latency", 1)):
        probes_s = rows[metric, 16]["probes_s"]
        assert [len(pair) for pair in probes_s] == [2] * rounds
        assert 0 < rows[metric, 16]["full_speed_probe_s"] <= np.median(probes_s)
    assert rows["sample_latency", 16]["stopped_by"] == "planned samples"
    assert session[0]["b"]["step_latency", 16]["batch"] == 2


def test_computed_memory_is_that_on_paper(session):
    # 680 weights of 4 bytes, as many gradients, twice as many optimiser values
    rows = session[0]["a"]
    weights = 4 * (20 * 16 + 16 * 20 + 20) / 2**30
    assert rows["computed_weight_memory", 16]["value"] == rows["computed_gradient_memory", 16]["value"] == weights
    assert rows["computed_optimiser_memory", 16]["value"] == 2 * weights
    kept = rows["computed_activation_memory", 16]["value"]
    assert kept > 0 and rows["computed_memory_training", 16]["value"] == pytest.approx(4 * weights + kept)


def test_shares_of_the_ceilings_and_energy_are_told_or_missing_with_a_reason(session):
    rows = session[0]["a"]
    assert rows["step_compute_share", 32]["value"] > 0 and rows["step_bandwidth_share", 32]["value"] > 0
    for wanted in ("step_energy", "train_step_energy", "sample_energy"):
        told = [row for (metric, _), row in rows.items() if metric == wanted]
        assert told and all((row["value"] > 0) != bool(row["reason"]) for row in told)


def test_what_belongs_to_the_whole_session_has_a_row_of_its_own(session):
    rows = session[0]["a"]
    assert rows["process_start", None]["value"] > 0 and rows["process_start", None]["unit"] == "s"
    assert rows["device_product_rate", None]["value"] > 0 and rows["device_copy_rate", None]["value"] > 0
    assert "not asked for" in rows["compile_time", None]["reason"]
    driver = rows["driver_memory_training", None]
    assert math.isnan(driver["value"]) and "no driver" in driver["reason"]
    assert "no backbone" in rows["computed_batch_at_21_gb", 16]["reason"]
    whole = rows["peak_memory_training", 16]["value"] - rows["computed_memory_training", 16]["value"]
    if not math.isnan(whole):
        assert rows["workspace_memory_training", 16]["value"] == pytest.approx(whole)


def test_the_parts_of_a_training_step_are_no_more_than_the_whole(session):
    rows = session[0]["a"]
    parts = [rows[f"train_{part}_latency", 16]["raw"] for part in ("forward", "backward", "optimiser")]
    whole = rows["train_step_latency", 16]["raw"]
    assert len(whole) == 4
    assert all(0 < sum(part) <= total for part, total in zip(zip(*parts, strict=True), whole, strict=True))


def test_flops_of_the_counters_are_those_on_paper(session):
    # attention 2 products of 16 x 16 x 16, output 16 x 16 x 20, a multiply-add being two
    on_paper = (2 * 2 * 16 * 16 * 16 + 2 * 16 * 16 * 20) / 1e9
    rows = session[0]["a"]
    assert rows["forward_gflops_fvcore", 16]["value"] == pytest.approx(on_paper)
    assert rows["forward_gflops_dispatch", 16]["value"] == pytest.approx(on_paper)
    own = rows["forward_gflops", 16]
    assert math.isnan(own["value"]) and "no flops(length)" in own["reason"]


@pytest.mark.parametrize(("arm", "words"), [("build", "ValueError: this cannot be built"), ("kill", "SIGKILL")])
def test_a_process_that_dies_leaves_reasons_and_the_others_go_on(session, arm, words):
    for metric in ("step_latency", "sample_latency", "peak_memory_training", "forward_gflops_fvcore"):
        row = session[0][arm][metric, 32]
        assert math.isnan(row["value"]) and row["status"] == "failed" and words in row["reason"] and row["n"] == 0
    assert session[0]["b"]["step_latency", 32]["value"] > 0


def test_an_error_at_one_length_leaves_the_shorter_ones(session, folder):
    rows = session[0]["error"]
    assert rows["step_latency", 16]["value"] > 0
    for metric in ("step_latency", "sample_latency", "train_step_latency", "peak_memory_inference"):
        assert "ArithmeticError: numbers ran out" in rows[metric, 32]["reason"]
    assert "numbers ran out" in (folder / "logs" / "error.log").read_text()


@pytest.mark.skipif(not ON_LINUX, reason="a memory limit can only be set on Linux")
def test_running_out_of_memory_is_a_row_and_longer_lengths_are_inferred(session):
    rows = session[0]["oom"]
    assert rows["step_latency", 16]["value"] > 0
    first = rows["step_latency", 32]
    assert first["status"] == "oom" and "68719476736 bytes (64 GiB) asked for; " in first["reason"]
    assert "the limit is 1 GiB" in first["reason"]
    assert 2**36 <= first["asked_bytes"] < 2**36 + 2**30  # what the small model holds, and 64 GiB
    for metric in ("step_latency", "sample_latency", "train_step_latency"):
        row = rows[metric, 64]
        assert math.isnan(row["value"]) and row["reason"] == "oom (inferred from length 32)"
        assert math.isnan(row["asked_bytes"])


@pytest.mark.skipif(not ON_LINUX, reason="a memory limit can only be set on Linux")
def test_without_pruning_every_length_is_tried_and_has_what_was_asked_for(session):
    rows = session[0]["unpruned"]
    for length in (32, 64):
        assert rows["step_latency", length]["status"] == "oom"
        assert "asked for" in rows["step_latency", length]["reason"] and rows["step_latency", length]["asked_bytes"] > 0


def test_rounds_go_on_while_intervals_are_wide_and_samples_only_where_there_is_time(cell, tmp_path, monkeypatch):
    monkeypatch.setattr(Record, "is_slowed", lambda self, message: False)
    endless = replace(cell("a", (16,), training=False), sample_steps=10**7)
    found = measure_group(
        [endless], rounds=2, replicates=1, calls_per_round=1, relative_width=1e-9, time_cap_s=0.5, log_folder=tmp_path
    )
    rows = {(row["metric"], row["length"]): row for row in found["a"]}
    assert rows["step_latency", 16]["n"] >= 2 and rows["step_latency", 16]["stopped_by"] == "time cap of 0.5 s"
    sample = rows["sample_latency", 16]
    assert math.isnan(sample["value"]) and sample["status"] == "timeout"
    assert "whole samples of each arm" in sample["reason"]
    assert not any(metric.startswith("train") or metric == "peak_memory_training" for metric, _ in rows)


def test_short_calls_are_repeated_until_their_share_of_a_round_is_full():
    group = Group([], {}, lambda cell_id, event: None, 1.0)
    short, one_block = Session(group, 5, 1, 2, 0.2, 0.02, 1.0), Session(group, 5, 1, 4, 0.0, 0.02, 1.0)
    assert [short.calls_of(warm_s) for warm_s in (0.01, 0.09, 0.15, 3.0, None)] == [20, 2, 2, 2, 2]
    assert one_block.calls_of(0.01) == 4


def test_every_length_gets_one_sample_before_any_gets_two():
    cost_s = {256: 10.0, 512: 20.0, 1024: 40.0}
    assert samples_planned(cost_s, 5, 100.0, -50.0) == {256: 1, 512: 1, 1024: 1}
    assert samples_planned(cost_s, 5, 60.0, -50.0) == {256: 1, 512: 1, 1024: 0}
    assert samples_planned(cost_s, 5, 100.0, 100.0) == {256: 2, 512: 2, 1024: 1}
    assert samples_planned(cost_s, 2, 1000.0, 1000.0) == {256: 2, 512: 2, 1024: 2}


@pytest.mark.parametrize(
    ("setting", "value"), [("lengths", ()), ("lengths", (0,)), ("threads", 0), ("batch", 0), ("memory_limit_gib", 0.0)]
)
def test_a_cell_that_makes_no_sense_is_refused_by_name(setting, value):
    with pytest.raises(UserError, match=setting):
        EfficiencyCell("a", "a", {"vocab_size": 20}, **({"lengths": (16,)} | {setting: value}))


@pytest.mark.parametrize(
    "setting", ["rounds", "replicates", "calls_per_round", "sample_rounds", "relative_width", "time_cap_s"]
)
def test_a_session_that_makes_no_sense_is_refused_by_name(cell, tmp_path, setting):
    with pytest.raises(UserError, match=setting):
        measure_group([cell("a")], log_folder=tmp_path, **{setting: 0})


def test_a_busy_machine_is_named_and_flags_the_rows_of_every_arm(session):
    warnings = [event.get("warning", "") for _, event in session[1]]
    assert any("spinner (process 42, 98% of a core)" in words for words in warnings)
    for arm in ("a", "b"):
        assert "spinner (process 42" in session[0][arm]["step_latency", 16]["note"]


def test_the_longest_sequence_of_blocks_is_a_multiple_of_the_block(monkeypatch):
    from bench.measure.efficiency import budget

    class Strided:
        device, model = torch.device("cpu"), SimpleNamespace(config=SimpleNamespace(stride=4))

        def drop(self):
            self.dropped = True

    asked, heard = [], []
    settings = {"block": 6, "training_batch": 2}
    search = budget.MemoryBudget(Strided(), settings, lambda event, **told: heard.append(told["value"]), 1e9)
    monkeypatch.setattr(search, "_fits", lambda length, batch: asked.append(length) or length <= 50)
    search.fit_length(0)
    assert heard == [48] and not any(length % 12 for length in asked)


def test_the_largest_batch_and_length_within_a_budget_are_found_by_trials(cell, folder, monkeypatch):
    from bench.measure.efficiency import budget
    from bench.measure.efficiency import worker as efficiency_worker
    from metrics.cost.memory import PeakMemory

    monkeypatch.syspath_prepend(str(folder))
    heard, tried = [], []
    settings = asdict(cell("a", (64,), training_batch=3))
    worker = efficiency_worker.EfficiencyWorker(settings, lambda event, **told: heard.append((event, told)))

    def train(length, batch):
        if length * batch > 64 * 1000:
            raise MemoryError
        tried.append(length * batch)
        return lambda: None

    for call in ("train", "step", "sample"):
        monkeypatch.setattr(worker.arm, call, train)
    monkeypatch.setattr(  # 1000 bytes a token
        budget, "peak_memory", lambda call, **_: PeakMemory(1000.0 * tried[-1], "resident")
    )
    worker.fit(budget_bytes=64_000 * 21.5)
    found = {told["kind"]: (told["length"], told["value"]) for event, told in heard if event == "fit"}
    assert found == {"batch": (64, 21), "length": (None, 64 * 21.5 // 3), "pieces": (64, 21)}
    record = Record()
    for event, told in heard:
        record.take({"event": event, **told})
    rows = {row["metric"]: row for row in rows_of(cell("a", (64,), memory_budget_gib=0.5), record, {}, {})}
    assert rows["largest_batch_training"]["value"] == 21 and rows["largest_batch_training"]["length"] == 64
    assert rows["largest_batch_sampling"]["value"] == rows["sample_time_together"]["batch"] == 21
    assert rows["sample_time_together"]["value"] > 0
    assert rows["largest_length_training"]["value"] == 458 and "0.5 GiB" in rows["largest_length_training"]["note"]


@pytest.mark.gpu
def test_a_gpu_is_timed_by_the_same_calls_with_two_clocks_and_the_drivers_memory(cell, tmp_path):
    on_gpu = replace(cell("a", (1024,)), device="cuda")
    found = measure_group([on_gpu], rounds=2, replicates=1, relative_width=math.inf, log_folder=tmp_path)
    rows = {(row["metric"], row["length"]): row for row in found["a"]}
    for metric in ("step_latency", "train_step_latency", "peak_memory_training", "reserved_memory_training"):
        assert rows[metric, 1024]["value"] > 0
    assert rows["driver_memory_training", 1024]["value"] >= rows["reserved_memory_training", 1024]["value"]
    assert rows["reserved_memory_training", 1024]["value"] >= rows["peak_memory_training", 1024]["value"]
    assert not rows["step_latency", 1024]["kernel"].endswith("flash_cpu")


@pytest.mark.gpu
def test_running_out_of_memory_on_a_gpu_is_a_row_and_the_other_arms_go_on(cell, tmp_path):
    arms = [
        replace(cell("a", (16, 32)), device="cuda"),
        replace(cell("oom", (16, 32, 64), trouble="oom"), device="cuda"),
    ]
    found = measure_group(arms, rounds=2, replicates=1, relative_width=math.inf, log_folder=tmp_path)
    rows = {(arm, row["metric"], row["length"]): row for arm, told in found.items() for row in told}
    assert rows["oom", "step_latency", 32]["status"] == "oom" and rows["oom", "step_latency", 16]["value"] > 0
    assert rows["oom", "train_step_latency", 64]["reason"] == "oom (inferred from length 32)"
    assert rows["a", "train_step_latency", 32]["value"] > 0
