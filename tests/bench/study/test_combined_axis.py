"""An axis of named choices: several settings that change together under one name."""

from __future__ import annotations

from pathlib import Path

import pytest
from study_files import study_file

from bench.errors import UserError
from bench.study.grid import load_study

TEXT = """\
name: tiny
question: does it run
baseline:
  diffusion: {steps: null, loss: mdlm}
  train: {steps: 2}
axes:
  arm: [mamba, smdim]
  process:
    - {name: ar, diffusion.objective: autoregressive, sample.sampler: autoregressive}
    - {name: block 4, diffusion.objective: block, diffusion.block: 4, sample.sampler: block, train.learning_rate: 0.01}
  sample.reveal: [null, 2]
exclude:
  - {process: ar, sample.reveal: 2}
  - {process: block 4, sample.reveal: null}
measure: {quality: {}}
"""


def test_a_choice_sets_all_its_settings_and_names_the_arm(tmp_path: Path) -> None:
    first, second, *others = load_study(study_file(tmp_path, TEXT)).combinations()
    assert [one.label for one in (first, second, *others)] == [
        "mamba ar", "mamba block 4 reveal=2", "smdim ar", "smdim block 4 reveal=2",
    ]  # fmt: skip
    assert (first.diffusion.objective, first.diffusion.block, first.sample.sampler) == (
        "autoregressive", None, "autoregressive",
    )  # fmt: skip
    assert first.sample.reveal is None and first.diffusion.loss == "mdlm"
    assert (second.diffusion.objective, second.diffusion.block, second.sample.reveal) == ("block", 4, 2)
    assert first.train and second.train
    assert (first.train.learning_rate, second.train.learning_rate) == (0.001, 0.01)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("name: ar,", "nam: ar,", "axes.process.0: allowed: choices with a name of their own"),
        ("name: block 4", "name: ar", "axes.process.1: allowed: choices with a name of their own"),
        ("diffusion.block: 4", "sample.reveal: 4", "axes.process.1.sample.reveal: varies on an axis of its own"),
        ("diffusion.block: 4", "length: 64", "axes.process.1.length: is not a setting of a group"),
        ("diffusion.block: 4", "diffusion.blok: 4", "axes.diffusion.blok: unknown key; did you mean 'block'"),
        ("  process:\n", "  corpus:\n", "axes.corpus.0: allowed: choices with a name of their own"),
        ("  process:\n", "  train.batch: [2]\n  proces: [1]\n  process:\n", "axes.proces: is not a setting"),
        ("process: ar, sample", "process: br, sample", "'br' is not a value of this axis; values: ar, block 4"),
        ("measure:", "tune: {train.learning_rate: [0.1, 0.2]}\nmeasure:", "learning_rate: varies on an axis"),
    ],
)  # fmt: skip
def test_a_wrong_choice_is_refused_in_one_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(UserError) as refused:
        load_study(study_file(tmp_path, TEXT.replace(old, new, 1)))
    assert message in str(refused.value) and "\n" not in str(refused.value)
