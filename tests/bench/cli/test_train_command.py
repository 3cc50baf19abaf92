"""`smdim-bench train` as a person types it: run, stop, go on, and the words for what cannot be."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner, Result

from architectures import registry
from bench.cli import app
from bench.cli import displays as train_display
from bench.cli import train as command
from bench.cli.options import settings_of
from bench.errors import UserError
from bench.run import plan
from bench.store.cells import CellFolder
from bench.study.grid import Cell, load_study
from bench.training.checkpoint import load_checkpoint
from bench.training.progress import Progress

RUN = "AF-folder-music-32-seed0"


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory, write_midi: Callable[..., Path]) -> Path:
    folder, random = tmp_path_factory.mktemp("corpus") / "music", np.random.default_rng(0)
    for index in range(12):
        write_midi(folder / f"{index}.mid", [(beat, 1.0, int(random.integers(50, 80)), 64) for beat in range(24)])
    return folder


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def train(music: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Runs the command on twelve small pieces."""
    monkeypatch.setenv("SMDIM_BENCH_CACHE", str(cache))
    monkeypatch.setenv("COLUMNS", "200")

    def run(*options: str, arm: str = "AF*2", budget: str = "12steps") -> Result:
        return CliRunner().invoke(
            app,
            ["train", arm, "--corpus", f"folder:{music}", "--length", "32", "--batch", "4", "--budget", budget,
             "--model", "width=32", "--model", "head_width=16", "--train", "validations=1", "--name", RUN,
             "--train", "log_steps=1", "--train", "device=cpu", "--results", str(tmp_path / "results"), *options],
        )  # fmt: skip

    return run


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Ctrl-C as in a foreground program; a suite started in the background ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_train_stop_and_go_on(train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "results" / "train" / RUN
    shown = train_display.TrainDisplay.show

    def interrupt(display: train_display.TrainDisplay, progress: Progress) -> None:
        shown(display, progress)
        if progress.step == 7:
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(train_display.TrainDisplay, "show", interrupt)
        stopped = train()
    assert stopped.exit_code == 130 and "stopped at step 8; the same command goes on from there" in stopped.stdout
    assert CellFolder(folder).status().state == "running"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler

    done = train()
    assert done.exit_code == 0, done.output
    assert "12 steps, " in done.stdout and "without a network: unigram" in done.stdout
    assert CellFolder(folder).status().state == "done"
    rows = {row["metric"]: row for row in CellFolder(folder).rows()}
    assert 3 < rows["bits_per_token"]["value"] < 9 and rows["bits_per_token"]["train_steps"] == 12
    settings = CellFolder(folder).configuration()["settings"]
    assert settings["train"]["steps"] == 12 and settings["model"]["width"] == 32 and settings["length"] == 32
    assert json.loads((folder / "environment.json").read_text())["libraries"]["torch"]
    steps = [json.loads(line)["step"] for line in (folder / "history.jsonl").read_text().splitlines()]
    assert steps == [*range(1, 13), 12, 12]  # a point of the curve, and the larger validation

    straight = train("--name", "straight")
    assert straight.exit_code == 0
    one, other = load_checkpoint(folder)[0], load_checkpoint(folder.parent / "straight")[0]
    assert all(torch.equal(one[name], other[name]) for name in other)

    assert train().exit_code == 0  # a finished run says again what it came to
    with pytest.raises(UserError, match=r"holds another run \(train.steps: 12, now 13\); choose another --name"):
        raise train(budget="13steps").exception


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--budget", "0m"], r"--budget '0m': nothing would be trained"),
        (["--budget", "10"], r"--budget '10': allowed: a number and a unit: 90s, 10m"),
        (["--budget", "1.5steps"], r"--budget '1.5steps': nothing would be trained; allowed: more than 0, steps whole"),
        (["--train", "leraning_rate=1"], r"train.leraning_rate: no such setting"),
        (["--train", "steps"], r"--train 'steps': allowed: key=value"),
        (["--train", "seconds=3"], r"exactly one of steps, seconds, flops"),
        (["--model", "depth=0"], r"--model: depth: input should be greater than or equal to 1 \(given: 0\)"),
        (["--model", "widht=3"], r"--model: widht: unknown key; did you mean 'width'\? allowed: .*width"),
        (["--tokenizer", "pitch_hi=3"], r"--tokenizer: pitch_hi: unknown key; did you mean 'pitch_high'\? allowed: "),
        (["--diffusion", "loss=huber"], r"loss: 'huber' is not known"),
        (["--diffusion", "steps=0"], r"--diffusion: steps: input should be greater than or equal to 1 \(given: 0\)"),
        (
            ["--diffusion", "mask_id=3"],
            r"--diffusion: mask_id: unknown key; allowed: block, loss, objective, powers, .*, steps",
        ),
        (["--length", "30"], r"30"),
        (["--batch", "400"], r"for a batch of 400"),
    ],
)
def test_what_cannot_be_used_is_one_line(train, options: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        raise train(*options).exception
    assert len(str(caught.value).splitlines()) == 1


STUDY = """
name: same
question: are the settings of train those of a study
baseline:
  arm: AF*2
  corpus: folder:{music}
  length: 32
  model: {{width: 32, head_width: 16}}
  tokenizer: {{velocities: 8}}
  diffusion: {{steps: 64, schedule: cosine}}
  train: {{steps: 12, batch: 4, validations: 1, log_steps: 1, device: cpu, clip: 2}}
seeds: [3]
measure: {{quality: {{}}}}
"""


def test_a_run_has_the_settings_of_the_cell_of_a_study(train, music: Path, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "same.yaml").write_text(STUDY.format(music=music))
    monkeypatch.setattr(plan, "_check_held_out", lambda *_: None)  # 16 pieces, of which only the id is read
    (planned,) = [cell for cell in plan.make_plan(load_study(tmp_path / "same.yaml")).cells if cell.kind == "quality"]
    made: list[Cell] = []
    monkeypatch.setattr(command, "run_cell", lambda cell, *_: made.append(cell))
    options = ("--seed", "3", "--train", "clip=2", "--tokenizer", "velocities=8")
    assert train(*options, "--diffusion", "steps=64", "--diffusion", "schedule=cosine").exit_code == 0
    assert {"kind", "format", "parts", "model", "seed", "train", "diffusion", "sample"} < set(planned.settings)
    for key in planned.settings | made[0].settings:
        assert made[0].settings[key] == planned.settings[key], key
    assert made[0].id == planned.id
    assert made[0].labels == {key: planned.labels[key] for key in planned.labels if key not in ("batch", "threads")}


def test_the_environment_is_that_of_the_device_trained_on(train, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("metrics.cost.device.resolve_device", lambda name: f"what {name} is here")
    monkeypatch.setattr("metrics.cost.device.describe_environment", lambda device="cpu": {"device": str(device)})
    assert train("--train", "validations=0").exit_code == 0
    environment = json.loads((tmp_path / "results" / "train" / RUN / "environment.json").read_text())
    assert environment == {"device": "what cpu is here"}


PLUGIN = """
from architectures.feed_forward import FeedForward
from architectures.registry import register_mixer

@register_mixer("Q", name="quiet")
class Quiet(FeedForward):
    pass
"""


def test_a_plugin_is_loaded_and_recorded(train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="Q"):
        raise train(arm="QA*2").exception
    with pytest.raises(UserError, match="plug-in 'no_such_block' cannot be imported: ModuleNotFoundError"):
        raise train("--plugin", "no_such_block").exception
    (tmp_path / "quiet_block.py").write_text(PLUGIN)
    monkeypatch.chdir(tmp_path)
    for registered in ("_BY_LETTER", "_BY_NAME"):  # registrations end with the test
        monkeypatch.setattr(registry, registered, dict(getattr(registry, registered)))
    done = train("--plugin", "quiet_block", arm="QA*2")
    assert done.exit_code == 0, done.output
    configuration = CellFolder(tmp_path / "results" / "train" / RUN).configuration()
    assert configuration is not None and configuration["settings"]["plugins"] == ["quiet_block"]


def test_the_topic_that_the_help_names_exists(train) -> None:
    from bench.cli.listing import Topic

    named = re.findall(r"`list (\w+)`", train("--help").output)
    assert named and set(named) <= set(Topic)


def test_an_unknown_arm_is_named(train) -> None:
    with pytest.raises(UserError, match="train: name: an arm needs a name with a visible character"):
        raise train(arm="").exception
    with pytest.raises(UserError, match=r"no arm 'smdin'; did you mean 'smdim'[?] known: smdim"):
        raise train(arm="smdin").exception


def test_budgets_and_pairs_are_read() -> None:
    assert command.parse_budget("10m") == {"seconds": 600.0} and command.parse_budget("1.5 h") == {"seconds": 5400.0}
    assert command.parse_budget("5000steps") == {"steps": 5000} and command.parse_budget("1e15flops") == {"flops": 1e15}
    assert settings_of(["learning_rate=5e-4", "crops=any", "patience=null", "compile=true"], "--train") == {
        "learning_rate": 5e-4, "crops": "any", "patience": None, "compile": True,
    }  # fmt: skip
    assert command.default_name("MFA*4", "demo/lieder", 512, 3) == "MFA-4-demo-lieder-512-seed3"


def test_words_of_the_progress_line() -> None:
    nan = float("nan")
    begun = Progress(1, None, 0.0, 0.75, 5.0, nan, 1000.0, 2**30, 1.0, nan)
    assert train_display.describe(begun) == "step 1, loss 0.750, 1,000 tokens/s, 1.00 GiB"
    later = Progress(50, 100, 0.5, 0.5, 4.0, 4.25, 12_345.0, 3 * 2**29, 70.0, 70.0)
    assert train_display.describe(later) == (
        "step 50/100, loss 0.500, 4.250 bits/token, 12,345 tokens/s, 1.50 GiB, 1:10 min left"
    )


def test_one_process_trains_a_run(tmp_path: Path) -> None:
    with (
        command.sole_process(tmp_path / "a[b"),
        pytest.raises(UserError, match=r"a\[b: another process trains this run \(or ended less than 90 s ago on "),
        command.sole_process(tmp_path / "a[b"),
    ):
        pass
    with command.sole_process(tmp_path / "a[b"), command.sole_process(tmp_path / "other"):
        pass


@pytest.mark.parametrize(
    ("options", "held", "message"),
    [
        (["--train", "device=cuda"], False, "^train.device: cuda is not available here; allowed: auto, cpu"),
        (["--train", "precision=float16"], False, "^train.precision: float16 needs a GPU"),
        ([], True, "another process trains this run"),
    ],
)
def test_what_is_refused_is_refused_before_other_processes_are_joined(
    train, options: list[str], held: bool, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr("bench.training.devices._join", lambda *_: pytest.fail("joined"))
    given = {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": "29500"}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    with (
        command.sole_process(tmp_path / "results" / "train" / (RUN if held else "other")),
        pytest.raises(UserError, match=message),
    ):
        raise train(*options).exception


def test_a_stop_has_the_exit_code_of_its_signal() -> None:
    assert [train_display.Stop(number).exit_code for number in (signal.SIGTERM, signal.SIGINT, 0)] == [143, 130, 130]
