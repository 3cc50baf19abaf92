"""What a run learns, reports and leaves."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from architectures import build
from bench.diffusion import AbsorbingDiffusion, DiffusionError
from bench.diffusion.evaluation import bits_per_token
from bench.training import TrainingError, TrainSettings
from bench.training.devices import Devices
from bench.training.progress import Progress, last_quarter_fall
from bench.training.trainer import train


class Recurrent(nn.Module):
    """Sees what lies to the left."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(8, 16), nn.Linear(16, 8)
        self.cell = nn.GRU(16, 16, batch_first=True)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.head(self.cell(self.embed(tokens))[0])


def test_a_run_learns_and_its_curve_says_so(run, tmp_path: Path) -> None:
    reports: list[Progress] = []
    torch.manual_seed(0)
    result, network = run(
        network=Recurrent(), steps=120, learning_rate=0.02, ema=0.9, validations=3, progress=reports.append
    )
    assert (result.stopped, result.steps, result.diverged) == ("budget", 120, False)
    lines = [json.loads(line) for line in (tmp_path / "run" / "history.jsonl").read_text().splitlines()]
    assert lines == result.history
    losses = [line["loss"] for line in lines if "loss" in line]
    validations = [(line["step"], line["validation_value"]) for line in lines if "validation_value" in line]
    assert len(losses) == 24 and losses[-1] < losses[0]
    assert [step for step, _ in validations] == [40, 80, 120] and validations[-1][1] < math.log2(6) - 0.3
    final = lines[-1]
    assert result.validation is not None and result.validation.value == final["final_value"] != validations[-1][1]
    assert (final["final_n_windows"], final["final_n_draws"]) == (8, 8)
    assert reports[0].step == 1 and math.isnan(reports[0].validation_bits_per_token)
    last = reports[-1]
    assert (last.step, last.steps, last.fraction, last.remaining_s) == (120, 120, 1.0, 0.0)
    assert last.validation_bits_per_token == result.validation.value and last.peak_bytes > 10e6
    assert last.tokens_per_s > 0 and not network.training


def test_tokens_leave_pad_out(run) -> None:
    windows = np.full((4, 24), 7, dtype=np.uint16)
    windows[:, :10] = 1
    result, _ = run(windows=windows, steps=3)
    assert result.tokens == 3 * 4 * 10


def test_validation_is_bits_per_token_of_the_averaged_weights(run) -> None:
    held_out = np.random.default_rng(1).integers(0, 6, (9, 24)).astype(np.uint16)
    result, network = run(validation=held_out, steps=5)
    assert result.validation == bits_per_token(network, held_out, mask_id=6, pad_id=7, batch=4)
    without, _ = run(folder="without", validation=None, steps=5)
    assert without.validation is None


def test_an_average_updated_every_third_step_without_memory_is_of_the_sixth_step(run) -> None:
    fixed = {"ema": 0.0, "schedule": "constant", "warmup_steps": 0, "validation": None}
    _, seven = run(folder="seven", steps=7, ema_steps=3, **fixed)
    _, six = run(folder="six", steps=6, **fixed)
    for found, expected in zip(seven.parameters(), six.parameters(), strict=True):
        assert torch.equal(found, expected)


@pytest.mark.parametrize("patience", [None, 2])
def test_every_point_of_the_curve_is_on_one_grid(run, patience: int | None) -> None:
    held_out = np.random.default_rng(1).integers(0, 6, (9, 24)).astype(np.uint16)
    result, network = run(validation=held_out, validations=3, validation_windows=4, steps=9, patience=patience)
    points = [line for line in result.history if "validation_value" in line]
    assert [line["step"] for line in points] == [3, 6, 9]
    assert {(line["validation_n_windows"], line["validation_n_draws"]) for line in points} == {(4, 2)}
    grid = {"mask_id": 6, "pad_id": 7, "batch": 4, "draws": 2, "max_windows": 4}
    assert points[-1]["validation_value"] == bits_per_token(network, held_out, **grid).value


def test_a_network_that_does_not_change_has_a_flat_curve(run) -> None:
    """Other windows or masks at the last point would show as a step."""
    result, _ = run(steps=20, validations=5, validation_windows=3, learning_rate=1e-12)
    values = [line["validation_value"] for line in result.history if "validation_value" in line]
    assert len(values) == 5 and max(values) - min(values) < 1e-6
    assert abs(result.validation.value - values[-1]) > 1e-4 and abs(last_quarter_fall(result.history)) < 1e-6


@pytest.mark.parametrize(
    ("points", "fall"),
    [
        ([(25, 6.0), (50, 5.0), (75, 4.5), (100, 4.25)], 0.25),
        ([(50, 5.0), (100, 4.0)], 0.5),  # half way between the points
        ([(10, 4.0), (60, 5.0), (80, 4.0), (100, 4.5)], -0.25),  # 4.25 at step 75
        ([(100, 4.0)], math.nan),
        ([(80, 5.0), (100, 4.0)], math.nan),
        ([], math.nan),
    ],
)
def test_the_fall_in_the_last_quarter(points: list[tuple[int, float]], fall: float) -> None:
    lines = [{"step": step, "validation_value": value} for step, value in points]
    lines += [{"step": 100, "final_value": 9.0}, {"step": 50, "loss": 1.0}]
    assert last_quarter_fall(lines) == pytest.approx(fall, nan_ok=True)


def test_seconds_end_the_run(run) -> None:
    result, _ = run(seconds=0.2)
    assert result.stopped == "budget" and result.seconds >= 0.2 and result.steps >= 1
    assert result.history[-1]["final_n_windows"] == 8


def test_flops_are_turned_into_steps(run) -> None:
    network = nn.Sequential(nn.Embedding(8, 4), nn.Linear(4, 8))
    network.flops = lambda length: type("Count", (), {"total": 1000.0})()
    result, _ = run(network=network, flops=12_000 * 6)
    assert result.steps == 6


class Explodes(nn.Module):
    """Fine for some steps, then its logits are what `after` says."""

    def __init__(self, after: float) -> None:
        super().__init__()
        self.table, self.after, self.calls = nn.Embedding(8, 8), after, 0

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        self.calls += self.training
        logits = self.table(tokens)
        return logits if self.calls <= 12 else (logits - logits.detach()) * 1.0 + self.after * tokens[..., None].neg()


@pytest.mark.parametrize("after", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_ends_the_run(run, tmp_path: Path, after: float) -> None:
    result, _ = run(network=Explodes(after), checkpoint_steps=5, steps=40)
    assert result.diverged and result.stopped == "diverged" and result.steps == 15 and result.validation is None
    assert result.checkpoint.name == "step-000000010.json"  # the last good one


def test_a_loss_that_runs_away_ends_the_run(run) -> None:
    result, _ = run(learning_rate=500.0, warmup_steps=0, steps=200, schedule="constant", clip=1e6)
    assert result.diverged and result.steps < 200


def test_a_plateau_ends_the_run(run) -> None:
    result, _ = run(steps=100, validations=20, patience=2, learning_rate=1e-12)
    assert result.stopped == "plateau" and result.steps <= 20 and result.validation is not None


def test_bfloat16_trains(run) -> None:
    seen: list[torch.dtype] = []
    network = nn.Sequential(nn.Embedding(8, 16), nn.Linear(16, 8))
    network[1].register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    result, _ = run(network=network, precision="bfloat16", steps=3)
    assert result.steps == 3 and seen[0] == torch.bfloat16
    assert network(torch.zeros(1, 24).long()).dtype == torch.float32 and seen[-1] == torch.float32  # as it was given
    again, other = run(folder="plain", steps=3)  # another precision in one process
    assert again.steps == 3 and next(other.parameters()).dtype == torch.float32


def test_recomputed_blocks_give_the_same_weights(tmp_path: Path) -> None:
    windows = np.random.default_rng(0).integers(0, 20, (8, 32)).astype(np.uint16)
    states = []
    for name, recompute in (("plain", False), ("recomputed", True)):
        backbone = build("AF*2", vocab_size=22, seed=0, width=32, head_width=16)
        settings = TrainSettings(steps=3, batch=4, device="cpu", activation_checkpointing=recompute, validations=0)
        process = AbsorbingDiffusion(20, 21)
        train(backbone, windows, None, process, settings, seed=0, folder=tmp_path / name)
        assert backbone.config.checkpoint_blocks is recompute
        states.append(backbone.state_dict())
    assert all(torch.allclose(states[0][name], states[1][name], atol=1e-6) for name in states[0])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"device": "cuda"}, "train.device: cuda is not available here; allowed: auto, cpu"),
        ({"precision": "float16"}, "train.precision: float16 needs a GPU; allowed here: float32, bfloat16"),
        ({"activation_checkpointing": True}, "activation_checkpointing: not offered by this backbone"),
        ({"batch": 64}, "40 windows for a batch of 64"),
        ({"validation": np.zeros((0, 24))}, "validation: no windows"),
    ],
)
def test_settings_that_do_not_fit_are_refused_at_once(run, settings: dict, message: str) -> None:
    if "device" in settings and torch.cuda.is_available():
        pytest.skip("a GPU is here")
    with pytest.raises(TrainingError, match=message):
        run(**settings)


def test_time_input_and_validation_do_not_go_together(tmp_path: Path) -> None:
    class Timed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(8, 8)

        def forward(self, tokens: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
            return self.table(tokens) * time[:, None, None]

    windows = np.random.default_rng(0).integers(0, 6, (8, 8))
    process = AbsorbingDiffusion(6, 7, time_input=True)
    settings = TrainSettings(steps=2, batch=4, device="cpu")
    with pytest.raises(TrainingError, match="without time input"):
        train(Timed(), windows, windows, process, settings, seed=0, folder=tmp_path / "with")
    assert train(Timed(), windows, None, process, settings, seed=0, folder=tmp_path / "without").steps == 2
    with pytest.raises(DiffusionError, match="without time input"):
        bits_per_token(Timed(), windows, mask_id=6, pad_id=7, time_input=True)


def test_a_launcher_that_gives_one_process_is_noticed() -> None:
    devices = Devices.__new__(Devices)
    devices.world = 1
    with pytest.raises(TrainingError, match="the launcher asked for 2, 1 came up"):
        devices._check_world(2)
