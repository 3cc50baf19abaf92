"""The one trainer under block diffusion and autoregression."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from architectures import build
from bench.diffusion import AbsorbingDiffusion, Autoregressive, BlockDiffusion, DiffusionError
from bench.training import TrainingError, TrainSettings
from bench.training.checks import check_process
from bench.training.progress import TrainResult
from bench.training.trainer import train

MASK, PAD = 6, 7


def network(pattern: str = "AF") -> torch.nn.Module:
    return build(pattern, vocab_size=8, width=8, head_width=4, stride=1, dropout=0.1, seed=1)


def windows(count: int, seed: int = 0) -> np.ndarray:
    """Windows in which a token is mostly the one before; the first ends in PAD."""
    random = np.random.default_rng(seed)
    tokens = random.integers(0, 6, (count, 16)).astype(np.uint16)
    for place in range(1, 16):
        keep = random.random(count) < 0.9
        tokens[keep, place] = tokens[keep, place - 1]
    tokens[0, 11:] = PAD
    return tokens


def trained(process: AbsorbingDiffusion, folder: Path, pattern: str = "AF", **settings: object):
    """Result and network of a short run."""
    model = network(pattern)
    given = {"device": "cpu", "batch": 4, "steps": 6, "validations": 2, "log_steps": 3, "warmup_steps": 1} | settings
    given = {name: value for name, value in given.items() if value is not None}
    result: TrainResult = train(
        model, windows(20), windows(4, 9), process, TrainSettings(**given), seed=3, folder=folder
    )
    return result, model


def test_a_block_as_long_as_the_window_trains_to_the_bits_of_plain_diffusion(tmp_path: Path) -> None:
    ours, first = trained(BlockDiffusion(MASK, PAD, block=16), tmp_path / "block")
    theirs, second = trained(AbsorbingDiffusion(MASK, PAD, steps=None, loss="mdlm"), tmp_path / "plain")
    for left, right in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(left, right)
    assert ours.validation == theirs.validation
    lines = [[{**line, "elapsed_s": 0} for line in one.history] for one in (ours, theirs)]
    assert lines[0] == lines[1]


@pytest.mark.parametrize(
    ("process", "pattern", "draws"),
    [(BlockDiffusion(MASK, PAD, block=4), "AF", 8), (Autoregressive(MASK, PAD), "A(causal)F", 1)],
)
def test_runs_learn_and_resume_where_they_were(process, pattern: str, draws: int, tmp_path: Path) -> None:
    more = {"steps": 60, "learning_rate": 0.02, "ema": 0.9, "checkpoint_steps": 30}
    result, model = trained(process, tmp_path / "a", pattern, **more)
    assert result.validation is not None and result.validation.n_draws == draws
    assert result.validation.value < math.log2(6) - 0.2 and not model.training
    assert result.tokens > 60 * 4 * 10 and result.stopped == "budget"
    with pytest.raises(TrainingError, match="diffusion"):
        trained(AbsorbingDiffusion(MASK, PAD, steps=None, loss="mdlm"), tmp_path / "a", pattern, **more)


def test_a_budget_in_flops_pays_for_both_streams(tmp_path: Path) -> None:
    model = network()
    both = model.two_stream_flops(16, 4).total
    assert 1.5 < both / model.flops(16).total < 3
    flops = 3 * 4 * both * 5.5
    result, _ = trained(BlockDiffusion(MASK, PAD, block=4), tmp_path / "two", steps=None, flops=flops, validations=0)
    whole, _ = trained(BlockDiffusion(MASK, PAD, block=16), tmp_path / "one", steps=None, flops=flops, validations=0)
    assert result.steps == 5 and whole.steps == int(5.5 * both / model.flops(16).total) > 9


def test_penalties_on_whole_rows_are_refused() -> None:
    settings = TrainSettings(steps=1, ema_steps=1, regularisers="pitch=1")
    check_process(AbsorbingDiffusion(MASK, PAD), network(), 16, settings)
    with pytest.raises(TrainingError) as error:
        check_process(BlockDiffusion(MASK, PAD, block=4), network(), 16, settings)
    assert str(error.value) == (
        "train.regularisers: pitch=1 with objective block; allowed: none, or objective absorbing"
    )
    with pytest.raises(DiffusionError, match=r"^block: 5 tokens do not divide a length of 16; allowed: a divisor$"):
        check_process(BlockDiffusion(MASK, PAD, block=5), network(), 16, None)
