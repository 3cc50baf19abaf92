"""Two processes give the run of one with the same global batch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.training.checkpoint import load_checkpoint

SCRIPT = """
import sys
sys.path.insert(0, {here!r})
import conftest, torch
from bench.diffusion import AbsorbingDiffusion
from bench.training import TrainSettings
from bench.training.trainer import train

network, seen = conftest.Recurrent(16), []
network.load_state_dict(torch.load(sys.argv[1]))
network.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]) if module.training else None)
settings = TrainSettings(device="cpu", batch=8, accumulation=2, warmup_steps=5, log_steps=5, steps=30, validations=2,
                         checkpoint_steps=10, learning_rate=0.01)
result = train(network, conftest.make_windows(), conftest.make_windows(7, seed=9),
               AbsorbingDiffusion(conftest.MASK, conftest.PAD, steps=50), settings, seed=5, folder=sys.argv[2])
assert torch.distributed.get_world_size() == 2
torch.save(torch.stack(seen), sys.argv[2] + f"/seen{{torch.distributed.get_rank()}}.pt")
"""


def test_two_processes_have_the_loss_curve_of_one(run, tmp_path: Path) -> None:
    from importlib.util import module_from_spec, spec_from_file_location

    spec = spec_from_file_location("run_fixtures", Path(__file__).parent / "conftest.py")
    assert spec is not None and spec.loader is not None
    fixtures = module_from_spec(spec)
    spec.loader.exec_module(fixtures)
    network = fixtures.make_network("recurrent")
    torch.save(network.state_dict(), tmp_path / "start.pt")
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(here=str(Path(__file__).parent)))
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*launch, script, tmp_path / "start.pt", tmp_path / "two"], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    seen: list[torch.Tensor] = []
    network.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]) if module.training else None)
    one, _ = run(
        folder="one", network=network, validation=fixtures.make_windows(7, seed=9), batch=8, accumulation=2, steps=30,
        validations=2, checkpoint_steps=10, learning_rate=0.01,
    )  # fmt: skip
    batches = [torch.load(tmp_path / "two" / f"seen{rank}.pt").view(30, 4, 24) for rank in (0, 1)]
    assert torch.equal(torch.cat(batches, dim=1), torch.stack(seen).view(30, 8, 24))  # bit-equal data and masks
    state, meta = load_checkpoint(tmp_path / "two")
    assert meta["ledger"]["tokens"] == one.tokens
    assert meta["ledger"]["final"]["value"] == pytest.approx(one.validation.value, abs=1e-4)
    for name, value in network.state_dict().items():
        assert torch.allclose(state[name], value, atol=1e-4), name
    curves = [curve(tmp_path / name / "history.jsonl") for name in ("one", "two")]
    assert curves[0].shape == (6, 5) and np.abs(curves[0] - curves[1]).max() < 1e-4


def curve(path: Path) -> np.ndarray:
    import json

    names = ("step", "loss", "elbo_bits_per_token", "masked_cross_entropy", "gradient_norm")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return np.array([[line[name] for name in names] for line in lines if "loss" in line])
