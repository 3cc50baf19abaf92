"""An arm's own training: its settings go over the baseline's and the axes', its budget replaces theirs."""

from pathlib import Path

import pytest

from bench.errors import UserError
from bench.study.grid import Study, load_study

FILE = """\
name: tiny
question: does an arm train as it says
baseline: {train: {steps: 10, learning_rate: 0.002, batch: 4}}
axes:
  arm: [smdim, {name: own, arm: transformer, train: TRAIN}]
  train.warmup_steps: [0, 5]
measure: {quality: {}}
"""


def study(folder: Path, train: str) -> Study:
    path = folder / "tiny.yaml"
    path.write_text(FILE.replace("TRAIN", train))
    return load_study(path)


def test_own_settings_go_over_the_baselines_and_the_axes(tmp_path: Path) -> None:
    found = [one.train for one in study(tmp_path, "{learning_rate: 0.5, warmup_steps: 2}").combinations()]
    assert [(one.learning_rate, one.warmup_steps, one.steps, one.batch) for one in found if one] == [
        (0.002, 0, 10, 4),
        (0.002, 5, 10, 4),
        (0.5, 2, 10, 4),
        (0.5, 2, 10, 4),
    ]


def test_an_own_budget_replaces_the_baselines(tmp_path: Path) -> None:
    own = study(tmp_path, "{seconds: 3}").combinations()[-1].train
    assert own is not None and (own.steps, own.seconds) == (None, 3.0)


@pytest.mark.parametrize(
    ("train", "words"),
    [
        ("{learning_rat: 1}", "did you mean 'learning_rate'?"),
        ("{learning_rate: -1}", "train.learning_rate: input should be greater than 0"),
        ("never", "must be settings of the trainer, or none (given: 'never')"),
        ("{accumulation: 3}", "3 parts do not divide a batch of 4"),
    ],
)
def test_wrong_settings_are_one_line_with_what_is_allowed(tmp_path: Path, train: str, words: str) -> None:
    with pytest.raises(UserError) as error:
        study(tmp_path, train)
    assert words in str(error.value) and "tiny.yaml:5" in str(error.value) and "\n" not in str(error.value)
