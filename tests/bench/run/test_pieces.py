"""Predicted cost of one piece of the arms of a plan, as `plan` prints it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from architectures import build_config, resolve
from bench.cli import app
from bench.errors import UserError
from bench.run.pieces import piece_costs
from bench.study.grid import Cell

STUDY = """\
name: pieces
question: how many calls
baseline:
  arm: A(causal)F
  corpus: demo/irish
  length: 64
  model: {width: 16, stride: 1, layers: 2}
  diffusion: {objective: OBJECTIVE, steps: null, loss: mdlm}
  train: {steps: 2}
  sample: {sampler: SAMPLER, pieces: 2}
axes:
  arm: [A(causal)F]
seeds: [0]
measure:
  efficiency: {lengths: [32, 64], threads: 1}
"""


def cell(sample: dict[str, Any], diffusion: dict[str, Any], seed: int = 0, **more: Any) -> Cell:
    model = resolve("A(causal)F", 20, width=16, head_width=8, stride=1, layers=2).to_dict()
    settings = {"model": model, "sample": {"steps": 8} | sample, "diffusion": diffusion, "length": 32, "corpus": "demo"}
    labels = {"arm": "a", "seed": seed, "length": 32, "corpus": "demo"}
    return Cell("quality", labels, settings | {"seed": seed} | more)


def test_a_piece_in_numbers() -> None:
    block = {"objective": "block", "block": 8}
    cells = [
        *(cell({"sampler": "block", "reveal": 2, "pieces": 4}, block, seed) for seed in (0, 1)),
        cell({"sampler": "autoregressive"}, {"objective": "autoregressive"}, sample_lengths=[32, 64]),
        cell({"sampler": "cached"}, {"schedule": "linear"}),
        cell({"sampler": "semi-autoregressive"}, {}),
        Cell("tuning", {"arm": "a"}, {"model": {}}),
    ]
    blocks, first, second, whole = piece_costs(cells)
    assert [one.calls for one in (blocks, first, second, whole)] == [4 * 4 + 3, 32, 64, 8]
    assert [one.process for one in (blocks, first, whole)] == [
        "block 8, block", "autoregressive, autoregressive", "absorbing, cached"
    ]  # fmt: skip
    assert (blocks.most, whole.most) == (False, True) and (first.length, second.length) == (32, 64)
    assert first.state_bytes == 4 * 2 * 16 * 32 and math.isnan(whole.state_bytes)
    made = build_config(resolve("A(causal)F", 20, width=16, head_width=8, stride=1, layers=2))
    assert whole.flops == 8 * made.flops(32).total
    assert first.flops == pytest.approx(sum(made.extend_flops(past, 1).total for past in range(32)))


def planned(folder: Path, objective: str, sampler: str) -> str:
    path = folder / "pieces.yaml"
    path.write_text(STUDY.replace("OBJECTIVE", objective).replace("SAMPLER", sampler))
    arguments = ["plan", str(path), "--results", str(folder)]
    done = CliRunner().invoke(app, arguments, env={"COLUMNS": "200"}, catch_exceptions=False)
    return " ".join(done.output.split())


def test_a_plan_says_calls_and_flops_before_anything_runs(tmp_path: Path) -> None:
    text = planned(tmp_path, "block, block: 16", "block, reveal: 2")
    assert "one piece of ┃ process, sampler ┃ corpus ┃ length ┃ calls ┃ GFLOPs ┃ cached state" in text
    assert "block 16, block │ │ 32 │ 17 │" in text and "block 16, block │ │ 64 │ 35 │" in text
    with pytest.raises(UserError, match=r"'cached' does not follow a process of objective block; allowed: block$"):
        planned(tmp_path, "block, block: 16", "cached")
    with pytest.raises(UserError, match=r"block: 5 tokens do not divide the length 32; allowed: whole blocks$"):
        planned(tmp_path, "block, block: 5", "block")
    assert "one piece of" not in planned(tmp_path, "absorbing", "cached")
