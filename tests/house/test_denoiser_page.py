"""The three denoisers of docs/denoisers.md, run from the page: a BERT, a U-Net, and weights that are loaded."""

from __future__ import annotations

import math
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import yaml
from pages import ROOT, tokens

from architectures import denoiser
from architectures.denoiser_contract import check_denoiser

PAGE = ROOT / "docs" / "denoisers.md"
TINY_TRAINING = {"steps": 2, "batch": 2, "warmup_steps": 1, "validations": 0, "final_validation_windows": 2}
TINY = {
    "length": 64,
    "model": {"width": 32, "stride": 4, "layers": 3},
    "train": TINY_TRAINING | {"final_validation_draws": 2, "device": "cpu"},
    "sample": {"pieces": 2, "steps": 4},
}


def blocks(language: str) -> list[str]:
    return [token.content for token in tokens(PAGE) if token.type == "fence" and token.info == language]


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory):
    """A folder with the page's files, as a reader saves them; registrations are undone."""
    folder = tmp_path_factory.mktemp("reader")
    bert, unet, weights = blocks("python")
    (folder / "my_bert.py").write_text(bert)
    (folder / "my_unet.py").write_text(unet)
    denoiser.registered_denoisers()  # built-in ones register once a process: before, or they end with the test
    with pytest.MonkeyPatch.context() as patched, patch.dict(denoiser._BY_NAME):
        patched.chdir(folder)
        patched.setattr(sys, "path", [str(folder), *sys.path])
        exec(compile(weights.replace("length=512", "length=64"), "weights", "exec"), {})
        yield folder
    for name in ("my_bert", "my_unet"):
        sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def plan(reader: Path, dichterliebe: Path) -> Any:
    """The plan of one study with the arms of both studies of the page and the U-Net, at a tiny size."""
    from bench.run.plan import make_plan
    from bench.study.grid import load_study

    with_bert, with_weights = map(yaml.safe_load, blocks("yaml"))
    content = with_bert | {"baseline": deepcopy(TINY) | {"arm": "smdim", "corpus": f"folder:{dichterliebe}"}}
    bert = {"name": "bert", "arm": "bert", "model": {"layers": 1, "inner": 64}}
    content["axes"] = {"arm": ["smdim", bert, "unet"]}
    content |= {"seeds": [0], "plugins": ["my_bert", "my_unet"], "match": {"by": "params", "tolerance": 0.15}}
    content["measure"]["efficiency"] = {"lengths": [64], "threads": 1}
    (reader / "one.yaml").write_text(yaml.safe_dump(content))
    content["axes"] = {"arm": [with_weights["axes"]["arm"][1]]}
    del content["match"], content["measure"]["efficiency"], content["baseline"]["train"]["steps"]
    (reader / "two.yaml").write_text(yaml.safe_dump(content))
    plans = [make_plan(load_study(reader / name)) for name in ("one.yaml", "two.yaml")]
    return plans[0], {f"{cell.kind} {cell.labels['arm']}": cell for one in plans for cell in one.cells}


def test_the_code_of_bert_is_short() -> None:
    assert len([line for line in blocks("python")[0].splitlines() if line.strip()]) <= 15


@pytest.mark.parametrize("name", ["bert", "unet"])
def test_each_passes_the_contract(reader: Path, plan: Any, name: str) -> None:
    assert [point for point in check_denoiser(denoiser.find_denoiser(name)) if not point.passed] == []


def test_their_sizes_are_matched_and_shown(plan: Any) -> None:
    first, cells = plan
    sizes = [cells[f"quality {name}"].labels["parameters"] for name in ("smdim", "bert", "unet")]
    assert all(abs(size / sizes[0] - 1) < 0.15 for size in sizes)
    assert cells["quality bert"].labels["pattern"].startswith("own stem: bert(inner=")
    assert cells["quality unet"].labels["direction"] == "bidirectional, no Mamba"
    assert any(note.startswith("unet: ") and "in params against smdim; width 32 -> " in note for note in first.notes)
    assert "unet: model.stride, model.layers of the backbone; not for unet" in first.notes


@pytest.mark.parametrize("arm", ["bert", "unet", "ours"])
def test_each_is_trained_or_loaded_validated_and_sampled(plan: Any, tmp_path: Path, arm: str) -> None:
    from bench.measure.quality.cell import measure_quality

    folder = tmp_path / "study" / "cell"
    folder.mkdir(parents=True)
    rows = {row["metric"]: row for row in measure_quality(plan[1][f"quality {arm}"].settings, folder, _nothing)}
    assert 0 < rows["validation_bits_per_token"]["value"] < 20
    assert len(list((folder / "samples").glob("*.mid"))) == 2
    trained = rows["training_time"]
    if arm == "ours":
        assert math.isnan(trained["value"]) and trained["reason"] == "not trained here: weights of weights.safetensors"
        assert {row["train_steps"] for row in rows.values()} == {0}
        assert not (folder / "checkpoint").exists()
    else:
        assert trained["value"] > 0


@pytest.mark.parametrize("arm", ["bert", "unet"])
def test_each_is_timed_and_counted(plan: Any, arm: str) -> None:
    from dataclasses import asdict

    from bench.measure.efficiency.arm import TimedArm
    from bench.measure.efficiency.cell import EfficiencyCell

    model = plan[1][f"efficiency {arm}"].settings["model"]
    timed = TimedArm(asdict(EfficiencyCell(arm, arm, model, (64,), mask_id=model["mask_id"])))
    assert timed.step(64, 2)().shape == (2, 64, model["vocab_size"])
    timed.train(64, 2)()
    assert timed.model.flops_source == "counted" and timed.model.flops(64).total > 1e6


def _nothing(**event: object) -> None:
    """No events."""
