"""Weights that are kept: those of the best validation, or the last ones."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from bench.diffusion.evaluation import bits_per_token
from bench.training.checkpoint import load_checkpoint
from bench.training.progress import Ledger

RISING = {"steps": 20, "validations": 5, "schedule": "constant", "warmup_steps": 0, "learning_rate": 0.05, "ema": 0.0}
"""Five points; windows to train on of which the validation side has the opposite."""


def opposite() -> dict[str, np.ndarray]:
    """Training windows of one token, held-out windows of another: what is learned is wrong."""
    return {"windows": np.full((40, 24), 1, dtype=np.uint16), "validation": np.full((8, 24), 2, dtype=np.uint16)}


def points(history: list[dict]) -> dict[int, float]:
    return {line["step"]: line["validation_value"] for line in history if "validation_value" in line}


def bits(network: nn.Module) -> float:
    return bits_per_token(network, opposite()["validation"], mask_id=6, pad_id=7, batch=4).value


def test_the_best_point_of_the_curve_is_kept_evaluated_and_loaded(run, tmp_path: Path) -> None:
    result, network = run(**opposite(), **RISING)
    curve = points(result.history)
    assert list(curve) == [4, 8, 12, 16, 20] and min(curve, key=curve.__getitem__) == 4  # it rises
    assert (result.steps, result.kept_step, result.history[-1]["final_of_step"]) == (20, 4, 4)
    assert result.validation is not None and result.validation.value == bits(network)
    state, meta = load_checkpoint(tmp_path / "run")
    assert meta["step"] == 4 and all(torch.equal(state[name], value) for name, value in network.state_dict().items())
    short, other = run(folder="short", **opposite(), **RISING | {"steps": 4, "validations": 1})
    assert short.kept_step == 4 and all(torch.equal(other.state_dict()[name], state[name]) for name in state)


def test_the_last_weights_are_kept_where_asked_or_while_the_curve_falls(run, tmp_path: Path) -> None:
    result, network = run(**opposite(), **RISING, keep="last")
    assert result.kept_step == 20 and load_checkpoint(tmp_path / "run")[1]["step"] == 20
    assert result.validation is not None and result.validation.value == bits(network)
    falling = [run(folder=keep, validations=4, keep=keep) for keep in ("best", "last")]
    assert [one.kept_step for one, _ in falling] == [20, 20]
    assert falling[0][0].validation == falling[1][0].validation
    without, _ = run(folder="without", validations=0)
    assert without.kept_step == 20


def test_a_tie_goes_to_the_earlier_point() -> None:
    ledger = Ledger(step=5)
    assert ledger.note_bits(4.0) and ledger.best_step == 5
    ledger.step = 10
    assert not ledger.note_bits(4.0) and (ledger.best_step, ledger.noted_step, ledger.worse) == (5, 10, 1)


@pytest.mark.parametrize("stop_at", [3, 4, 11])
def test_what_is_kept_is_the_same_after_a_stop(run, tmp_path: Path, stop_at: int) -> None:
    straight, network = run(folder="straight", **opposite(), **RISING)
    calls = iter(range(1, 100))
    cut, _ = run(**opposite(), **RISING, stop=lambda: next(calls) == stop_at)
    assert (cut.stopped, cut.steps) == ("interrupted", stop_at)
    resumed, other = run(**opposite(), **RISING)
    assert points(resumed.history) == points(straight.history)  # at the same steps, a stop at one of them too
    assert (resumed.kept_step, resumed.validation) == (4, straight.validation)
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), other.parameters(), strict=True))
    again, once_more = run(**opposite(), **RISING)  # finished: only read
    assert (again.kept_step, again.validation) == (4, straight.validation)
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), once_more.parameters(), strict=True))


@pytest.mark.parametrize("rising", [True, False])
def test_what_is_kept_is_the_same_after_a_stop_in_the_last_validation(run, tmp_path: Path, rising: bool) -> None:
    """The curve's last point is on disk by then, its weights are not among the kept ones."""
    settings = opposite() | RISING if rising else {"validations": 2}
    straight, network = run(folder="straight", **settings)
    stages: list[str] = []
    cut, _ = run(**settings, progress=lambda state: stages.append(state.stage), stop=lambda: any(stages))
    assert (cut.stopped, cut.steps, cut.validation) == ("interrupted", 20, None)
    resumed, other = run(**settings)
    assert (resumed.kept_step, resumed.validation) == (straight.kept_step, straight.validation)
    assert points(resumed.history) == points(straight.history) and straight.kept_step == (4 if rising else 20)
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), other.parameters(), strict=True))


def test_killed_after_the_best_point_the_run_ends_with_its_bits(run, killed, tmp_path: Path) -> None:
    straight, network = run(folder="straight", checkpoint_steps=6, **opposite(), **RISING)
    killed(15, folder="killed", checkpoint_steps=6, **opposite(), **RISING)
    (path,) = (tmp_path / "killed" / "checkpoint").glob("*.json")
    ledger = json.loads(path.read_text())["ledger"]
    assert (path.stem, ledger["best_step"], ledger["kept_at"]) == ("step-000000012", 4, None)
    resumed, other = run(folder="killed", checkpoint_steps=6, **opposite(), **RISING)
    assert (resumed.kept_step, resumed.validation) == (4, straight.validation)
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), other.parameters(), strict=True))
    one, two = (next((tmp_path / name / "checkpoint").glob("*.safetensors")) for name in ("straight", "killed"))
    assert one.read_bytes() == two.read_bytes()


def test_a_plateau_keeps_the_point_before_it(run) -> None:
    result, _ = run(**opposite(), **RISING, patience=2)
    assert (result.stopped, result.steps, result.kept_step) == ("plateau", 12, 4)


def test_weights_on_disk_of_a_run_that_goes_on_are_the_present_ones(run, tmp_path: Path) -> None:
    calls = iter(range(1, 100))
    _, network = run(**opposite(), **RISING, stop=lambda: next(calls) == 9)
    state, meta = load_checkpoint(tmp_path / "run")
    assert meta["step"] == 9 and all(torch.equal(state[name], value) for name, value in network.state_dict().items())
