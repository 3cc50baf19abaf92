"""Timed calls of an arm: no noise is drawn, and nothing is waited for, while the clock runs."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest
import torch

from architectures import resolve
from architectures.padding import known_padding
from bench.measure.efficiency.arm import TimedArm
from bench.measure.efficiency.cell import EfficiencyCell

LENGTH = 16


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
