"""A killed run goes on where it stopped, to the bit; a checkpoint that cannot be trusted is refused."""

from __future__ import annotations

import json
import os
import resource
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from bench.training import TrainingError
from bench.training.checkpoint import load_checkpoint


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    (found,) = (folder / "checkpoint").glob("*.safetensors")
    return load_file(found)


def assert_same_bits(one: Path, other: Path) -> None:
    a, b = tensors(one), tensors(other)
    assert a.keys() == b.keys() and any(name.startswith("optimiser/") for name in a)
    for name in a:
        assert torch.equal(a[name], b[name]), name


def without_clock(history: list[dict]) -> list[dict]:
    return [{key: value for key, value in line.items() if key != "elapsed_s"} for line in history]


def test_killed_in_the_middle_of_a_step_ends_with_the_bits_of_a_run_that_was_not(run, killed, tmp_path: Path) -> None:
    straight, _ = run(folder="straight", checkpoint_steps=3)
    killed(8, folder="killed", checkpoint_steps=3)
    assert load_checkpoint(tmp_path / "killed")[1]["step"] == 6
    resumed, _ = run(folder="killed", checkpoint_steps=3)
    assert_same_bits(tmp_path / "straight", tmp_path / "killed")
    assert without_clock(resumed.history) == without_clock(straight.history)
    assert resumed.validation == straight.validation


def test_a_forked_process_that_hangs_fails_its_test(exit_code) -> None:
    if (child := os.fork()) == 0:
        time.sleep(60)
        os._exit(0)
    with pytest.raises(pytest.fail.Exception, match=r"^the forked process did not end within 0\.05 s$"):
        exit_code(child, 0.05)


def test_stopped_while_it_validates_goes_on_from_trained_weights(run, tmp_path: Path) -> None:
    straight, _ = run(folder="straight", validations=2)
    validating: list[str] = []
    cut, _ = run(
        folder="cut",
        validations=2,
        progress=lambda state: validating.append(state.stage) if state.stage else None,
        stop=lambda: len(validating) == 2,
    )
    assert validating == ["validating, 4 of 64 masked windows", "validating, 8 of 64 masked windows"]
    assert (cut.stopped, cut.steps, cut.validation) == ("interrupted", 20, None)
    resumed, _ = run(folder="cut", validations=2)
    assert (resumed.stopped, resumed.validation) == ("budget", straight.validation)
    assert_same_bits(tmp_path / "straight", tmp_path / "cut")
    assert without_clock(resumed.history) == without_clock(straight.history)


def test_a_last_validation_of_before_windows_were_kept_is_repeated(run, tmp_path: Path) -> None:
    first, _ = run()
    (path,) = (tmp_path / "run" / "checkpoint").glob("*.json")
    meta = json.loads(path.read_text())
    meta["ledger"]["final"] = {name: meta["ledger"]["final"][name] for name in ("value", "low", "high")}
    path.write_text(json.dumps(meta))
    again, _ = run()
    assert again.validation == first.validation and len(first.validation.nats) == 8


@pytest.mark.parametrize("stop_at", [1, 4, 5, 13, 19])
def test_stopped_anywhere_and_resumed_is_the_same_run(run, tmp_path: Path, stop_at: int) -> None:
    straight, network = run(folder="straight", validations=4)
    calls = iter(range(1, 100))
    cut, _ = run(folder="cut", validations=4, stop=lambda: next(calls) == stop_at)
    assert cut.stopped == "interrupted" and cut.steps == stop_at
    resumed, other = run(folder="cut", validations=4)
    assert (resumed.stopped, resumed.steps, resumed.tokens) == ("budget", 20, straight.tokens)
    assert_same_bits(tmp_path / "straight", tmp_path / "cut")
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), other.parameters(), strict=True))
    lines = [line for line in without_clock(resumed.history) if "loss" in line]
    assert lines == [line for line in without_clock(straight.history) if "loss" in line]
    assert len(resumed.history) == len((tmp_path / "cut" / "history.jsonl").read_text().splitlines())


def test_a_finished_run_is_not_trained_again(run) -> None:
    first, network = run()
    again, other = run(network=None)
    assert again.steps == 20 and again.validation == first.validation and again.history == first.history
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), other.parameters(), strict=True))


def test_loaded_weights_are_the_averaged_ones_by_name(run, tmp_path: Path) -> None:
    result, network = run(ema=0.9)
    state, meta = load_checkpoint(tmp_path / "run")
    assert meta["step"] == 20 and result.checkpoint.name == "step-000000020.json"
    assert all(torch.equal(state[name], value) for name, value in network.state_dict().items())
    last, _ = load_checkpoint(tmp_path / "run" / "checkpoint", weights="weights")
    assert any(not torch.equal(last[name], state[name]) for name in state)
    assert [path.suffix for path in sorted((tmp_path / "run" / "checkpoint").iterdir())] == [".json", ".safetensors"]


def test_shared_tensors_are_stored_once_and_load_by_both_names(run, tmp_path: Path) -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.head = nn.Embedding(8, 16), nn.Linear(16, 8)
            self.head.weight = self.embed.weight
            self.register_buffer("calls", torch.zeros(()))

        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            self.calls += self.training
            return self.head(self.embed(tokens))

    torch.manual_seed(0)
    _, network = run(network=Tied())
    assert "weights/head.weight" not in tensors(tmp_path / "run")
    torch.manual_seed(1)
    other = Tied()
    other.load_state_dict(load_checkpoint(tmp_path / "run")[0])
    assert torch.equal(other.head.weight, network.embed.weight) and other.calls == 20


@pytest.mark.parametrize("damage", ["cut", "changed", "no tensors", "json", "format"])
def test_a_damaged_checkpoint_is_refused_and_left_alone(run, tmp_path: Path, damage: str) -> None:
    run()
    path = next((tmp_path / "run" / "checkpoint").glob("*.json"))
    whole = path.with_suffix(".safetensors").read_bytes()
    if damage == "cut":
        path.with_suffix(".safetensors").write_bytes(whole[:-100])
    elif damage == "changed":
        path.with_suffix(".safetensors").write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    elif damage == "no tensors":
        path.with_suffix(".safetensors").unlink()
    elif damage == "json":
        path.write_text(path.read_text()[:-40])
    else:
        path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 99}))
    before = sorted((p.name, p.read_bytes()) for p in path.parent.iterdir())
    with pytest.raises(TrainingError, match=r"^checkpoint: .*(truncated or was changed|cannot be read|format 99)"):
        run()
    assert sorted((p.name, p.read_bytes()) for p in path.parent.iterdir()) == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch": 2}, r"train.batch: 4, now 2"),
        ({"steps": 30}, r"train.steps: 20, now 30"),
        ({"seed": 6}, r"seed: 5, now 6"),
        ({"loss": "elbo"}, r"diffusion.loss: reweighted_elbo, now elbo"),
        ({"windows": np.zeros((40, 24), dtype=np.uint16)}, r"data.train: "),
    ],
)
def test_a_changed_run_does_not_resume(run, change: dict, message: str) -> None:
    run()
    with pytest.raises(TrainingError, match=message):
        run(**change)


def test_another_backbone_or_vocabulary_does_not_resume(run, tmp_path: Path) -> None:
    run()
    with pytest.raises(TrainingError, match=r"weights/0.weight is \(8, 16\), the backbone needs \(8, 32\)"):
        run(network=nn.Sequential(nn.Embedding(8, 32), nn.Linear(32, 8)))

    class Config:
        def __init__(self, vocab_size: int) -> None:
            self.vocab_size = vocab_size

        def to_dict(self) -> dict:
            return {"vocab_size": self.vocab_size}

    class Backbone(nn.Sequential):
        def __init__(self, vocab_size: int) -> None:
            super().__init__(nn.Embedding(vocab_size, 8), nn.Linear(8, vocab_size))
            self.config = Config(vocab_size)

    run(folder="other", network=Backbone(8))
    with pytest.raises(TrainingError, match=r"model.vocab_size: 8, now 9"):
        run(folder="other", network=Backbone(9))


def test_a_full_disk_keeps_the_checkpoint_before(run, tmp_path: Path) -> None:
    folder = tmp_path / "run" / "checkpoint"
    seen: list[int] = []
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(progress) -> None:
        seen.append(progress.step)
        if progress.step == 10:  # from here on no file can be as long as the tensors
            resource.setrlimit(resource.RLIMIT_FSIZE, (3000, limit[1]))

    try:
        with pytest.raises(TrainingError, match=r"checkpoint: cannot write .*the one before it is kept") as caught:
            run(checkpoint_steps=5, log_steps=1, progress=fill)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert isinstance(caught.value.__cause__, OSError) and caught.value.__cause__.errno
    assert sorted(path.name for path in folder.iterdir()) == ["step-000000005.json", "step-000000005.safetensors"]
    resumed, _ = run(checkpoint_steps=5, log_steps=1)
    assert resumed.steps == 20 and max(seen) == 10


def test_what_a_kill_in_mid_write_left_is_ignored_and_cleared(run, tmp_path: Path) -> None:
    calls = iter(range(1, 100))
    run(stop=lambda: next(calls) == 5)
    folder = tmp_path / "run" / "checkpoint"
    whole = (folder / "step-000000005.safetensors").read_bytes()
    (folder / "step-000000010.safetensors").write_bytes(whole)  # its JSON was never written
    (folder / "step-000000012.partial").write_bytes(whole[:50])
    (folder / ".step-000000010.json.abcd").write_text("{")
    result, _ = run()
    assert result.steps == 20
    assert sorted(path.name for path in folder.iterdir()) == ["step-000000020.json", "step-000000020.safetensors"]


def test_no_checkpoint_to_load(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="checkpoint: none in"):
        load_checkpoint(tmp_path)
