"""Timed calls of an arm: no noise is drawn, and nothing is waited for, while the clock runs."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

import pytest
import torch

from architectures import resolve
from architectures.padding import known_padding
from bench.diffusion.sampling_step import weights_cast_once
from bench.measure.efficiency.arm import TimedArm
from bench.measure.efficiency.cell import EfficiencyCell
from bench.measure.efficiency.counts import NO_LAUNCHES, step_launches
from bench.measure.efficiency.record import Record
from bench.measure.efficiency.rows import rows_of
from bench.measure.efficiency.worker import EfficiencyWorker

LENGTH = 16
OPERATORS = 18
"""Of a backbone of one feed-forward: 5 products (2 with a bias), 3 norms, 3 copies, 2 sums, embedding, padding, silu,
gate, and the check of the ids."""
COUNTED = {"reason": "", "kernels": 11, "transfers": 2, "waits": 1}


class Event:
    """Stands for a CUDA event: the n-th one that is recorded is reached after n^2 milliseconds."""

    recorded = 0

    def __init__(self, enable_timing: bool) -> None:
        assert enable_timing

    def record(self) -> None:
        Event.recorded += 1
        self.place = Event.recorded

    def elapsed_time(self, later: Event) -> float:
        return float(later.place**2 - self.place**2)


def timed_arm(**more: Any) -> TimedArm:
    config = resolve("F", 20, width=16, stride=4, pad_id=0).to_dict()
    return TimedArm(asdict(EfficiencyCell("F", "F", config, (LENGTH,), sample_steps=3, **more)))


def test_the_noise_of_a_training_step_is_drawn_before_the_clock_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    arm = timed_arm()
    seen: list[torch.Tensor] = []
    arm.model.register_forward_pre_hook(lambda model, given: seen.append(given[0]))
    call = arm.train(LENGTH, 8)
    monkeypatch.setattr(arm.diffusion, "noise", lambda *given: pytest.fail("noise was drawn"))
    for _ in range(5):
        call()
    assert torch.equal(seen[0], seen[4]) and not any(torch.equal(seen[0], one) for one in seen[1:4])


def test_no_step_looks_for_pad_in_rows_that_are_known_to_have_none() -> None:
    arm = timed_arm()
    known: list[bool | None] = []
    arm.model.register_forward_pre_hook(lambda model, given: known.append(known_padding()))
    for kind in ("step", "train"):
        arm.call(kind, LENGTH)()
    assert known == [False, False]


def test_phases_on_a_gpu_are_of_events_and_nothing_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    arm = timed_arm()
    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda *given: pytest.fail("the device was waited for"))
    monkeypatch.setattr(Event, "recorded", 0)
    arm.device = torch.device("cuda")
    for _ in range(8):  # of two training steps, four a step
        arm._mark()
    assert arm.phases_s(1) == {"forward": [0.011], "backward": [0.013], "optimiser": [0.015]}


def test_phases_on_a_cpu_are_parts_of_the_step() -> None:
    arm = timed_arm()
    call = arm.train(LENGTH, 1)
    for _ in range(3):
        call()
    assert [len(parts) for parts in arm.phases_s(1).values()] == [2, 2, 2]
    assert all(part > 0 for parts in arm.phases_s(1).values() for part in parts)


class Recorder:
    """Stands for CUDA graphs: a replay runs the call."""

    refusal = ""

    def unusable_reason(self, device: torch.device) -> str:
        return ""

    def record(self, call: Any, inputs: Any) -> Any:
        if self.refusal:
            raise RuntimeError(self.refusal)
        return lambda: call(*inputs)


def test_a_step_is_timed_as_a_graph_too_and_one_that_cannot_be_recorded_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("bench.measure.efficiency.arm.CudaGraphs", Recorder)
    arm = timed_arm()
    assert torch.allclose(arm.call("graph", LENGTH)(), arm.call("step", LENGTH)())
    monkeypatch.setattr(Recorder, "refusal", "operation not permitted when stream is capturing")
    with pytest.raises(ValueError, match="no CUDA graph: operation not permitted when stream is capturing"):
        arm.call("graph", LENGTH)


def test_the_plain_figure_is_kept_where_the_graph_failed() -> None:
    cell = EfficiencyCell("F", "F", {"vocab_size": 20}, (LENGTH,), device="cuda", graphs=True, training=False)
    assert cell.kinds == ("step", "graph", "sample")
    record = Record()
    samples = {"samples_s": [0.002], "phases_s": {}, "clocks_agree": True, "nfe": [], "note": ""}
    record.take({"event": "samples", "kind": "step", "length": LENGTH} | samples)
    failed = {"status": "failed", "reason": "error: no CUDA graph: it waits", "asked_bytes": math.nan}
    record.take({"event": "failed", "kind": "graph", "length": LENGTH} | failed)
    rows = {row["metric"]: row for row in rows_of(cell, record, {}, {})}
    assert rows["step_latency"]["value"] == 2.0
    assert math.isnan(rows["step_latency_graph"]["value"])
    assert rows["step_latency_graph"]["reason"] == "error: no CUDA graph: it waits"
    on_cpu = EfficiencyCell("F", "F", {"vocab_size": 20}, (LENGTH,), graphs=True)
    assert on_cpu.kinds == ("step", "train", "sample")
    rows = {row["metric"]: row for row in rows_of(on_cpu, Record(), {}, {})}
    assert rows["step_latency_graph"]["reason"] == "no CUDA graphs on cpu"


def test_casts_of_weights_that_happen_once_are_no_operators_of_a_step() -> None:
    arm = timed_arm(precision="bfloat16")
    with weights_cast_once():
        first, second = step_launches(arm, LENGTH), step_launches(arm, LENGTH)
    assert first == second


def test_operators_of_a_step_are_counted_and_a_cpu_has_no_launches() -> None:
    config = resolve("F", 20, width=16, stride=4).to_dict()
    cell = EfficiencyCell("F", "F", config, (LENGTH,), training=False)
    record = Record()
    worker = EfficiencyWorker(asdict(cell), lambda event, **content: record.take({"event": event, **content}))
    worker._launches(LENGTH)
    rows = {row["metric"]: row for row in rows_of(cell, record, {}, {})}
    assert math.isnan(rows["step_launches"]["value"]) and rows["step_launches"]["reason"] == NO_LAUNCHES
    assert rows["step_operators"]["value"] == OPERATORS and "mm 3" in rows["step_operators"]["note"]
    record.take({"event": "launches", "kind": "launches", "length": LENGTH, "operators": 9, "most": "mm 9"} | COUNTED)
    rows = {row["metric"]: row for row in rows_of(cell, record, {}, {})}
    assert (rows["step_launches"]["value"], rows["step_operators"]["value"]) == (11, 9)
    assert rows["step_launches"]["note"] == "beside 2 copies and fills; the host waits 1 times"


@pytest.mark.parametrize(("more", "there"), [({}, True), ({"memory_budget_gib": 1.0}, True), ({}, False)])
def test_an_optimiser_whose_import_takes_seconds_is_made_where_something_is_trained(more, there):
    timed = timed_arm(training=there and not more, **more)
    assert hasattr(timed, "optimiser") == there
    timed.build()
    timed.drop()
    assert not hasattr(timed, "optimiser")
