"""Trackers: asked for by name, refused where they are not installed, part of no cell's id, given the learning curve."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from bench.errors import UserError
from bench.training.errors import TrainingError
from bench.training.settings import TrainSettings
from bench.training.tracking import start_options

STUDY = """\
name: tracked
question: is a tracked run the same run
baseline:
  arm: transformer
  corpus: demo/lieder
  length: 64
  model: {width: 32, stride: 4, layers: 2}
  train: {steps: 2, batch: 4, track: TRACK}
seeds: [0]
measure: {quality: {}}
"""


@pytest.fixture
def nothing_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.training.tracking.find_spec", lambda name: None)


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> list:
    """A tracker in TensorBoard's place, which Accelerate starts, writes to and ends; what it was given."""
    from accelerate import tracking
    from accelerate.utils import LoggerType

    given: list = []

    class StandIn(tracking.GeneralTracker):
        name, requires_logging_directory, main_process_only = "tensorboard", True, True

        def __init__(self, run_name: str, logging_dir: str) -> None:
            super().__init__()
            given.append((run_name, logging_dir))

        tracker = None

        def start(self) -> None:
            pass

        def store_init_configuration(self, values: dict) -> None:
            pass

        def log(self, values: dict, step: int | None = None) -> None:
            given.append((step, values))

        def finish(self) -> None:
            given.append("end")

    monkeypatch.setitem(tracking.LOGGER_TYPE_TO_CLASS, "tensorboard", StandIn)
    monkeypatch.setattr(tracking, "get_available_trackers", lambda: [LoggerType.TENSORBOARD])
    monkeypatch.setattr("bench.training.tracking.find_spec", lambda name: object())
    return given


def test_earlier_spellings_are_trackers_too() -> None:
    names = [TrainSettings(steps=1, track=given).track for given in (False, True, "none", "wandb")]
    assert names == ["none", "tensorboard", "none", "wandb"]
    with pytest.raises(ValueError, match="'none', 'tensorboard', 'wandb', 'mlflow', 'trackio' or 'aim'"):
        TrainSettings(steps=1, track="comet")


@pytest.mark.parametrize(
    ("name", "wanted"), [("tensorboard", r"smdim-bench\[track\]"), ("wandb", "wandb"), ("aim", "aim")]
)
def test_a_tracker_that_is_not_installed_is_named(run, nothing_installed, name: str, wanted: str) -> None:
    words = rf"^train.track: {name} is not installed; install {wanted}, or allowed here: none$"
    with pytest.raises(TrainingError, match=words):
        run(track=name)


def test_a_study_is_refused_before_anything_runs(nothing_installed, tmp_path: Path) -> None:
    from bench.run.plan import make_plan
    from bench.study.grid import load_study

    (tmp_path / "study.yaml").write_text(STUDY.replace("TRACK", "mlflow"))
    with pytest.raises(UserError) as refused:
        make_plan(load_study(tmp_path / "study.yaml"))
    assert "study.yaml:8" in str(refused.value) and "mlflow is not installed; install mlflow" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_no_id_has_a_tracker_in_it(tmp_path: Path) -> None:
    from architectures import Inputs, resolve
    from bench.run.cells import quality_cell
    from bench.study.grid import load_study

    cells = {}
    tokens = SimpleNamespace(pad_id=0, fingerprint="f", mask_id=1)
    for track in ("none", "wandb"):
        (tmp_path / "study.yaml").write_text(STUDY.replace("TRACK", track))
        member = load_study(tmp_path / "study.yaml").combinations()[0]
        config = resolve("transformer", 8, inputs=Inputs(64, 1, 0), width=32, layers=2)
        cells[track] = quality_cell(member, config, tokens, 0)
    plain, tracked = cells["none"], cells["wandb"]
    assert plain.id == tracked.id
    assert tracked.settings["train"]["track"] is False  # as in the ids of versions that knew TensorBoard alone
    assert tracked.labels["track"] == "wandb" and "track" not in plain.labels


def test_a_cell_is_trained_with_the_tracker_of_its_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bench.measure.quality.training import CellTraining
    from bench.store.cells import CellFolder
    from bench.study.grid import Cell

    used = []
    monkeypatch.setattr("bench.training.batches.corpus_batches", lambda *given: None)
    monkeypatch.setattr("bench.training.batches.corpus_regulariser", lambda *given: None)
    monkeypatch.setattr("bench.training.trainer.train", lambda *given, **named: used.append(given[4].track))
    windows = SimpleNamespace(tokens=None)
    training = CellTraining(None, None, None, TrainSettings(steps=1), windows, 8, 0)
    for labels in ({"track": "trackio"}, {}):
        cell = Cell("quality", {"arm": "a"} | labels, {"train": {}})
        CellFolder(tmp_path).begin(cell)
        training.run(tmp_path, lambda progress: None)
    assert used == ["trackio", "none"]


def test_the_learning_curve_goes_to_the_tracker(run, stand_in, tmp_path: Path) -> None:
    run(steps=10, track="tensorboard")
    assert stand_in[0] == ("tensorboard", str(tmp_path / "run")) and stand_in[-1] == "end"
    assert [step for step, values in stand_in[1:-1] if "loss" in values] == [5, 10]


def test_nothing_leaves_the_machine_unless_it_is_told_to(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for variable in ("MLFLOW_TRACKING_URI", "TRACKIO_DIR"):
        monkeypatch.setenv(variable, "")
        monkeypatch.delenv(variable)
    monkeypatch.setenv("WANDB_MODE", "online")
    run = tmp_path / "study" / "cell"
    for name in ("wandb", "mlflow", "trackio", "aim", "tensorboard"):
        options = start_options(name, run)
        assert options["project_name"] == ("tensorboard" if name == "tensorboard" else "smdim-bench")
    assert os.environ["WANDB_MODE"] == "online"
    assert os.environ["MLFLOW_TRACKING_URI"] == f"sqlite:///{tmp_path}/study/mlflow.db"
    assert os.environ["TRACKIO_DIR"] == str(tmp_path / "study" / "trackio")
    assert start_options("wandb", run)["init_kwargs"] == {"wandb": {"name": "cell", "dir": str(run)}}
