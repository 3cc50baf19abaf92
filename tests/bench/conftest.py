"""A study small enough to run whole in a test."""

from pathlib import Path

import pytest

TINY = """\
name: tiny
question: does the thread from YAML to figures hold
baseline:
  arm: transformer
  corpus: demo/lieder
  length: 64
  model: {width: 64, stride: 4, layers: 6}
  diffusion: {steps: 64}
  train: {steps: 8, batch: 4, warmup_steps: 2, validations: 1, validation_windows: 4, final_validation_windows: 4,
    final_validation_draws: 2}
  sample: {pieces: 4, steps: 8}
axes:
  arm: [smdim, transformer]
match: params
seeds: [0]
measure:
  quality: {}
  efficiency: {lengths: [64, 128], rounds: 2, replicates: 1, calls_per_round: 2, threads: 1, time_cap_s: 1}
"""


@pytest.fixture
def tiny_study(tmp_path: Path, demo_music: Path) -> Path:
    """Path of a study file with two arms, one seed, two lengths of cost."""
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY.replace("demo/lieder", f"folder:{demo_music / 'lieder'}"))
    return path
