"""Training time on a device whose work goes on after the calls that gave it have returned."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bench.training.devices import Devices

STEP_S, VALIDATION_S = 0.1, 5.0


class QueueingDevice:
    """A clock that only work moves: steps queue up, and are done where the process waits for the device."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s, self.queued_s, self.waits, self.steps = 0.0, 0.0, 0, 0
        monkeypatch.setattr("time.perf_counter", lambda: self.now_s)
        monkeypatch.setattr(Devices, "synchronise", lambda devices: self.wait(), raising=False)
        total = Devices.total
        monkeypatch.setattr(Devices, "total", lambda devices, values: (self.wait(), total(devices, values))[1])

    def wait(self) -> None:
        self.now_s += self.queued_s
        self.waits += self.queued_s > 0
        self.queued_s = 0.0

    def network(self) -> nn.Module:
        network = nn.Sequential(nn.Embedding(8, 4), nn.Linear(4, 8))

        def hook(module: nn.Module, inputs: tuple[torch.Tensor]) -> None:
            self.steps += module.training
            self.queued_s += STEP_S if module.training else 0.0
            self.now_s += 0.0 if module.training else VALIDATION_S

        network.register_forward_pre_hook(hook)
        return network


def test_waiting_for_the_device_is_training_time_and_validating_is_not(run, monkeypatch: pytest.MonkeyPatch) -> None:
    device = QueueingDevice(monkeypatch)
    result, _ = run(
        network=device.network(), steps=23, log_steps=10, validations=3, checkpoint_steps=7, checkpoint_seconds=None
    )
    assert result.seconds == pytest.approx(23 * STEP_S)
    lines = {line["step"]: line for line in result.history if "loss" in line}
    assert {step: line["elapsed_s"] for step, line in lines.items()} == pytest.approx({10: 1.0, 20: 2.0, 23: 2.3})
    assert device.waits == 9  # lines at 1, 10, 20, 23; checkpoints at 7, 14, 21; points of the curve at 8, 16


def test_a_budget_in_seconds_ends_at_most_a_log_line_late(run, monkeypatch: pytest.MonkeyPatch) -> None:
    device = QueueingDevice(monkeypatch)
    result, _ = run(network=device.network(), seconds=2.05, log_steps=5, stop=lambda: device.steps > 50)
    assert (result.stopped, result.steps) == ("budget", 21 + 4)
    assert result.seconds == pytest.approx(2.5) and result.history[-1]["elapsed_s"] == pytest.approx(2.5)
