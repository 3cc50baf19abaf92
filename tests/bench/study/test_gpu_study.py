"""A study whole on a GPU: training and sampling in bfloat16, cost, generation from what was trained."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

import bench
from bench.cli import app

pytestmark = pytest.mark.gpu


def smdim_bench(*words: str) -> str:
    done = CliRunner().invoke(app, [*words], catch_exceptions=False, env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    return done.output


def test_a_study_runs_on_a_gpu_from_training_to_midi(tiny_study: Path, tmp_path: Path) -> None:
    results = tmp_path / "results"
    on_gpu = ["train.device=cuda", "train.precision=bfloat16", "sample.precision=bfloat16"]
    on_gpu += [f"measure.efficiency.{word}" for word in ("device=cuda", "precision=bfloat16", "graphs=true")]
    words = [word for setting in on_gpu for word in ("--set", setting)]
    smdim_bench("run", str(tiny_study), "--results", str(results), *words)
    frame = bench.load_results(results / "tiny").frame
    assert set(frame.status) <= {"done", "timeout"}  # a sample that did not fit into the time cap
    quality = frame[frame.kind == "quality"]
    assert not quality.device.str.contains("CPU", case=False).any()
    assert quality[quality.metric == "bits_per_token"].value.between(4, 9).all()
    assert quality[quality.metric == "sampling_time"].note.str.startswith("CUDA graphs").all()
    cost = frame[(frame.kind == "efficiency") & (frame.metric == "step_latency")]
    assert (cost.value > 0).all() and cost.kernel.str.contains("precision=bfloat16").all()
    trained = next((results / "tiny").glob("quality-smdim-*"))
    assert json.loads((trained / "environment.json").read_text())["gpu"]["name"]
    output = tmp_path / "pieces"
    smdim_bench("generate", str(trained), "-n", "3", "-o", str(output), "--steps", "8", "--precision", "bfloat16")
    assert len(list(output.glob("*.mid"))) == 3
    assert json.loads((output / "settings.json").read_text())["device"].startswith("cuda")
