"""Whole denoisers as arms of a study: sizes, arms that cannot be built, loaded weights and their errors."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import pytest
import torch
import yaml
from safetensors.torch import save_file

from architectures import denoiser
from bench.errors import UserError
from bench.run.plan import Plan, make_plan
from bench.study.content import StudyFile
from bench.study.grid import Study, load_study
from bench.study.yaml import Place

NETS = """
import torch
from torch import nn
from architectures import register_denoiser

@register_denoiser("small", size="width")
class Small(nn.Module):
    def __init__(self, *, vocab_size: int, width: int = 8):
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, width)
        self.head = nn.Linear(width, vocab_size, bias=False)
    def check_length(self, length):
        if length % 2:
            raise ValueError("must be even")
    def forward(self, tokens_BL):
        return self.head(self.embedding(tokens_BL))

@register_denoiser("broken")
def broken(*, vocab_size: int):
    raise RuntimeError("no network here")
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a module of denoisers; what it registers is gone afterwards."""
    (tmp_path / "small_nets.py").write_text(NETS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    denoiser.registered_denoisers()  # built-in ones register once a process: before, or they end with the test
    with patch.dict(denoiser._BY_NAME):
        yield tmp_path
    sys.modules.pop("small_nets", None)


def plan_of(tiny_study: Path, arms: list, **changes: object) -> Plan:
    content = yaml.safe_load(tiny_study.read_text()) | {"plugins": ["small_nets"], "axes": {"arm": arms}} | changes
    content["baseline"]["arm"] = "smdim"
    tiny_study.write_text(yaml.safe_dump({key: value for key, value in content.items() if value is not None}))
    return make_plan(load_study(tiny_study))


def loaded(**more: object) -> dict:
    return {"name": "ours", "arm": "small", "checkpoint": "ours.safetensors", "train": "none", **more}


def weights(vocab_size: int = 222, width: int = 8, **more: torch.Tensor) -> dict[str, torch.Tensor]:
    return {"embedding.weight": torch.zeros(vocab_size, width), "head.weight": torch.ones(vocab_size, width), **more}


def test_an_arm_that_cannot_be_built_leaves_the_others_their_plan(folder: Path, tiny_study: Path) -> None:
    plan = plan_of(tiny_study, ["smdim", {"name": "small", "arm": "small", "model": {"width": 16}}, "broken"])
    labels = {(cell.kind, cell.labels["arm"]): cell.labels for cell in plan.cells}
    sizes = {arm: labels["quality", arm].get("parameters") for arm in ("smdim", "small", "broken")}
    assert sizes["broken"] is None
    assert abs(sizes["small"] / sizes["smdim"] - 1) <= 0.01
    assert "broken: denoiser broken: cannot be built: RuntimeError: no network here" in plan.notes


@pytest.mark.parametrize(
    ("arm", "words"),
    [
        (
            {"name": "x", "arm": "small", "model": {"depth": 2}},
            "denoiser small: unknown setting 'depth'; allowed: width",
        ),
        ({"name": "x", "arm": "small", "model": {"width": 2.5}}, "model.width: input should be a valid integer"),
        ({"name": "x", "arm": "small", "length": 33}, "arm 'x': denoiser small: length 33: ValueError: must be even"),
        ({"name": "x", "arm": "tiny"}, "no arm 'tiny'; known: .*small"),
        (
            {"name": "x", "arm": "small", "train": "none"},
            "`checkpoint`, a file of weights, and `train: none` are given",
        ),
        (loaded(), r"arm 'ours': checkpoint: .*ours.safetensors is no .safetensors file"),
        (
            loaded(checkpoint="small_nets.py"),
            r"small_nets.py is no .safetensors file; allowed: such a file, or the folder",
        ),
    ],
)
def test_what_cannot_be_is_one_line(folder: Path, tiny_study: Path, arm: dict, words: str) -> None:
    with pytest.raises(UserError, match=words) as refused:
        plan_of(tiny_study, ["smdim", arm], match=None)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        (weights(width=6), r"embedding.weight is \(222, 6\), the network's is \(222, 8\)"),
        ({"embedding.weight": torch.zeros(222, 8)}, r"has no network.head.weight; its tensors: embedding.weight"),
        (weights(more=torch.zeros(1)), r"has more, the network has not; its tensors: network.embedding.weight, "),
    ],
)
def test_weights_of_another_network_are_one_line(
    folder: Path, tiny_study: Path, tensors: dict[str, torch.Tensor], words: str
) -> None:
    save_file(tensors, folder / "ours.safetensors")
    with pytest.raises(UserError, match=words) as refused:
        plan_of(tiny_study, [loaded()], match=None)
    assert "\n" not in str(refused.value)


def test_a_file_that_is_no_safetensors_is_never_unpickled(folder: Path, tiny_study: Path) -> None:
    torch.save(weights(), folder / "ours.safetensors")
    with pytest.raises(UserError, match=r"ours\.safetensors cannot be read"):
        plan_of(tiny_study, [loaded()], match=None)


def test_loaded_weights_need_no_budget_and_their_content_is_the_cell(folder: Path, tiny_study: Path) -> None:
    from bench.measure.quality.training import CellTraining
    from bench.training.errors import TrainingError

    save_file(weights(), folder / "ours.safetensors")
    first = next(cell for cell in plan_of(tiny_study, [loaded()], match=None).cells if cell.kind == "quality")
    content = yaml.safe_load(tiny_study.read_text())
    content["baseline"]["train"] = {"batch": 4, "final_validation_windows": 4, "final_validation_draws": 2}
    content["measure"] = {"quality": {}}
    tiny_study.write_text(yaml.safe_dump(content))
    again = next(cell for cell in make_plan(load_study(tiny_study)).cells if cell.kind == "quality")
    assert again.id == first.id
    assert set(first.settings["train"]) == {
        "batch", "device", "final_validation_windows", "final_validation_draws",
    }  # fmt: skip
    training = CellTraining.of(json.loads(json.dumps(first.settings)))
    result = training.run(folder, lambda progress: None)
    assert (result.steps, result.stopped) == (0, "budget")
    assert float(training.backbone.network.head.weight.detach().mean()) == 1.0
    assert result.validation is not None
    assert result.validation.value == pytest.approx(math.log2(222 - 2))  # equal logits; MASK and PAD are never drawn

    save_file(weights(head=torch.ones(1)) | {"head.weight": torch.zeros(222, 8)}, folder / "ours.safetensors")
    with pytest.raises(TrainingError, match="is gone or was changed since the study was planned"):
        CellTraining.of(json.loads(json.dumps(first.settings)))
    save_file({"embedding.weight": torch.ones(222, 8), "head.weight": torch.ones(222, 8)}, folder / "ours.safetensors")
    other = next(cell for cell in make_plan(load_study(tiny_study)).cells if cell.kind == "quality")
    assert other.id != first.id


def test_given_weights_are_not_matched(folder: Path, tiny_study: Path) -> None:
    save_file(weights(), folder / "ours.safetensors")
    plan = plan_of(tiny_study, ["smdim", loaded()])
    assert "ours: not matched, since its weights are given" in plan.notes
    (ours,) = {cell.labels["parameters"] for cell in plan.cells if cell.labels["arm"] == "ours"}
    assert ours == 2 * 222 * 8


@pytest.mark.parametrize(("ledger", "value"), [({}, 2.0), ({"kept_at": 3}, 2.0), ({"kept_at": 2}, 4.0)])
def test_the_folder_of_a_training_gives_the_averaged_weights_that_are_evaluated(
    folder: Path, ledger: dict, value: float
) -> None:
    from architectures import Inputs, build
    from bench.plugins import load_plugins
    from bench.training.checkpoint import save_checkpoint
    from bench.training.errors import TrainingError
    from bench.training.weights import load_weights, weights_file

    load_plugins(["small_nets"])
    network = build("small", vocab_size=5, inputs=Inputs(8, 1, 0), width=2)
    names = list(network.state_dict())
    tensors = {f"{kind}/{name}": torch.full((5, 2), value) for name in names for kind, value in KINDS.items()}
    save_checkpoint(folder / "run" / "checkpoint", tensors, {"step": 3, "ledger": ledger})
    load_weights(weights_file(folder / "run"), network)
    assert {float(value.mean()) for value in network.state_dict().values()} == {value}
    file = weights_file(folder / "run")
    file.with_suffix(".json").unlink()
    with pytest.raises(TrainingError, match="its JSON is not beside it; give the run's folder"):
        load_weights(file, network)


KINDS = {"weights": 1.0, "ema": 2.0, "kept": 4.0, "optimiser": 8.0}


def test_weights_beside_the_study_are_found_from_what_a_run_recorded(folder: Path, tiny_study: Path) -> None:
    save_file(weights(), folder / "ours.safetensors")
    plan = plan_of(tiny_study, [loaded()], match=None)
    record = folder / "results" / "tiny" / "study.json"
    content = StudyFile.model_validate(plan.study.content.model_dump(mode="json"))
    again = make_plan(Study(content, Place(record)))  # as `retry` reads it
    assert [cell.id for cell in again.cells] == [cell.id for cell in plan.cells]


def test_settings_of_a_training_that_is_not_run_are_no_hindrance(folder: Path, tiny_study: Path) -> None:
    """Steps between updates of the average exceed the budget of an arm that is not trained."""
    save_file(weights(), folder / "ours.safetensors")
    content = yaml.safe_load(tiny_study.read_text())
    content["baseline"]["train"] |= {"ema_steps": 4, "evaluation_precision": "bfloat16"}
    tiny_study.write_text(yaml.safe_dump(content))
    cells = [cell for cell in plan_of(tiny_study, [loaded()], match=None).cells if cell.kind == "quality"]
    assert [cell.settings["train"]["evaluation_precision"] for cell in cells] == ["bfloat16"]


def test_a_module_without_registrations_or_with_an_error_is_one_line(folder: Path, tiny_study: Path) -> None:
    (folder / "small_nets.py").write_text("raise OSError('no such\\nlibrary')")
    with pytest.raises(UserError, match=r"plug-in 'small_nets' cannot be imported: OSError: no such$"):
        plan_of(tiny_study, ["smdim"])
    (folder / "small_nets.py").write_text("x = 1")
    with pytest.raises(UserError, match="registers no mixer and no denoiser; decorate a class"):
        plan_of(tiny_study, ["smdim"])
