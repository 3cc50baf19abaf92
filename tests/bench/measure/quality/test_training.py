"""Cells that differ only in how they sample share one training."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.measure.quality import music
from bench.measure.quality.cell import measure_quality
from bench.measure.quality.music import held_out_windows, load_tokens, token_results
from bench.measure.quality.training import TEST_BITS, CellTraining, shared_training, training_id
from bench.run.plan import make_plan
from bench.study.grid import load_study

SETTINGS = {
    "kind": "quality", "model": {"width": 8}, "seed": 0, "train": {"steps": 3}, "sample": {"steps": 4},
    "parts": {"training": 1, "sampling": 1, "metrics": 1},
}  # fmt: skip
STUDY = """\
name: samplers-tiny
question: do samplers share a training
baseline:
  arm: transformer
  corpus: demo/lieder
  length: 64
  model: {width: 32, stride: 4, layers: 2}
  diffusion: {steps: 64}
  train: {steps: 6, batch: 4, warmup_steps: 2, validations: 1, validation_windows: 2, final_validation_windows: 2,
    final_validation_draws: 2}
  sample: {pieces: 4, steps: 8}
axes:
  sample.sampler: [cached, first-hitting, confidence]
measure:
  quality: {}
"""


def test_a_training_is_named_by_what_decides_it() -> None:
    name = training_id(SETTINGS)
    assert training_id(SETTINGS | {"sample": {"steps": 9}, "sample_lengths": [4]}) == name
    assert training_id(SETTINGS | {"parts": {"training": 1, "sampling": 2, "metrics": 5}}) == name
    for change in ({"seed": 1}, {"train": {"steps": 4}}, {"parts": {"training": 2}}, {"regulariser": "pitch"}):
        assert training_id(SETTINGS | change) != name


def cell(folder: Path, settings: dict, stopped: str | None) -> Path:
    folder.mkdir(parents=True)
    (folder / "cell.json").write_text(json.dumps({"settings": settings}))
    if stopped is not None:
        import torch

        from bench.training.checkpoint import save_checkpoint

        save_checkpoint(
            folder / "checkpoint", {"weights/w": torch.ones(2)}, {"step": 3, "ledger": {"stopped": stopped}}
        )
        (folder / "history.jsonl").write_text('{"step": 3}\n')
        trainings = folder.parent.parent / ".trainings"
        trainings.mkdir(exist_ok=True)
        with (trainings / training_id(settings)).open("a") as known:
            known.write(f"{folder.parent.name}/{folder.name}\n")
    return folder


def take(folder: Path) -> bool:
    with shared_training(SETTINGS, folder, lambda **event: None):
        return (folder / "checkpoint").exists()


@pytest.mark.parametrize("study", ["here", "elsewhere"])
def test_a_finished_training_is_taken_over(tmp_path: Path, study: str) -> None:
    other = cell(tmp_path / study / "quality-a-1", SETTINGS | {"sample": {"steps": 9}}, "budget")
    mine = cell(tmp_path / "here" / "quality-b-2", SETTINGS, None)
    assert take(mine)
    assert {path.name for path in (mine / "checkpoint").iterdir()} == {
        path.name for path in (other / "checkpoint").iterdir()
    }
    assert (mine / "history.jsonl").read_text() == '{"step": 3}\n'


def test_what_is_not_finished_not_whole_or_of_another_run_is_left(tmp_path: Path) -> None:
    cell(tmp_path / "here" / "quality-a-1", SETTINGS | {"seed": 1}, "budget")
    cell(tmp_path / "here" / "quality-b-2", SETTINGS, "")
    cut = cell(tmp_path / "here" / "quality-c-3", SETTINGS, "budget")
    tensors = next((cut / "checkpoint").glob("*.safetensors"))
    tensors.write_bytes(tensors.read_bytes()[:-1])
    (cell(tmp_path / "here" / "quality-d-4", SETTINGS, None) / "cell.json").write_text("{")
    mine = cell(tmp_path / "here" / "quality-e-5", SETTINGS, None)
    assert not take(mine)
    assert not (mine / "history.jsonl").exists()


def test_only_the_cells_of_the_training_are_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(1, 6):
        cell(tmp_path / "here" / f"quality-a-{seed}", SETTINGS | {"seed": seed}, "budget")
    cell(tmp_path / "there" / "quality-b-1", SETTINGS, "budget")
    mine, read = cell(tmp_path / "here" / "quality-c-1", SETTINGS, None), list[Path]()
    whole = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: [read.append(path), whole(path)][1])
    assert take(mine)
    assert [path.parent.name for path in read if path.name == "cell.json"] == ["quality-b-1"]


@pytest.mark.parametrize("line", ["/etc/quality-x", "../quality-x", "one", "a/b/c", "", "gone/quality-x"])
def test_a_list_of_trainings_that_was_edited_leads_nowhere(tmp_path: Path, line: str) -> None:
    mine = cell(tmp_path / "here" / "quality-a-1", SETTINGS, None)
    (tmp_path / ".trainings").mkdir()
    known = tmp_path / ".trainings" / training_id(SETTINGS)
    known.write_text(f"{line}\n")
    assert not take(mine)
    assert known.read_text() == f"{line}\nhere/quality-a-1\n"


def test_a_second_cell_waits_for_the_first(tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    mine = cell(tmp_path / "here" / "quality-b-2", SETTINGS, None)
    code = (
        "import json, sys\n"
        "from bench.measure.quality.training import shared_training\n"
        "from pathlib import Path\n"
        "with shared_training(json.loads(sys.argv[1]), Path(sys.argv[2]), lambda **e: print(e['stage'], flush=True)):\n"
        "    print('mine', flush=True)\n"
    )
    first = tmp_path / "here" / "quality-a-1"
    first.mkdir()
    with shared_training(SETTINGS, first, lambda **event: None):
        second = subprocess.Popen(
            [sys.executable, "-c", code, json.dumps(SETTINGS), str(mine)], stdout=subprocess.PIPE, text=True
        )
        assert second.stdout is not None
        assert second.stdout.readline() == "waiting for another cell's training\n"
        assert second.poll() is None
    assert second.communicate()[0] == "mine\n"


def test_a_study_of_samplers_trains_once_and_its_figures_differ(
    tmp_path: Path, dichterliebe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "study.yaml").write_text(STUDY.replace("demo/lieder", f"folder:{dichterliebe}"))
    cells = [cell for cell in make_plan(load_study(tmp_path / "study.yaml")).cells if cell.kind == "quality"]
    assert len({training_id(cell.settings) for cell in cells}) == 1 < len({cell.id for cell in cells}) == 3
    found, stages, decoded = {}, list[list[str | None]](), list[str]()
    to_notes = music.to_notes
    for path in load_tokens(cells[0].settings["corpus"], cells[0].settings["tokenizer"]).folder.glob("decoded-*"):
        path.unlink()
    monkeypatch.setattr(music, "to_notes", lambda *given: [decoded.append(given[2]), to_notes(*given)][1])
    for cell in cells:
        folder = tmp_path / "results" / "tiny" / cell.id
        folder.mkdir(parents=True)
        (folder / "cell.json").write_text(json.dumps({"settings": cell.settings}))
        stages.append([])
        rows = measure_quality(cell.settings, folder, lambda **event: stages[-1].append(event.get("stage")))
        found[cell.settings["sample"]["sampler"]] = {row["metric"]: row for row in rows}
    assert len({rows["training_time"]["value"] for rows in found.values()}) == 1  # to the last bit: one training
    assert decoded == ["train"]  # the training windows are decoded in the first cell alone
    assert {rows["kept_step"]["value"] for rows in found.values()} == {6.0}
    assert ["training" in seen for seen in stages] == [True, False, False]
    for metric in ("bits_per_token", "validation_bits_per_token"):
        assert len({rows[metric]["value"] for rows in found.values()}) == 1
    assert ["masked test windows" in seen for seen in stages] == [True, False, False]
    assert len({rows["token_entropy"]["value"] for rows in found.values()}) == 3
    training = CellTraining.of(cells[-1].settings)
    assert not set(training.validation.songs) & set(training.test.songs)
    result, kept = training.run(folder, lambda progress: None), folder / TEST_BITS
    bits = training.test_bits(result, folder)
    kept.write_text(kept.read_text().replace(str(bits.value), "9.0"))
    assert training.test_bits(result, folder).value == 9.0  # read, for it is of this checkpoint
    kept.write_text(kept.read_text().replace('"metrics": ', '"metrics": 1'))
    assert training.test_bits(result, folder) == bits
    assert found["first-hitting"]["token_entropy"]["nfe"] == found["confidence"]["token_entropy"]["nfe"] == 8
    assert all(rows["grammar_errors"]["value"] > 0.3 for rows in found.values())  # six steps teach no grammar


def test_real_music_has_no_grammar_errors() -> None:
    tokens = load_tokens("demo/lieder", {})
    found = {result.name: result for result in token_results(tokens, held_out_windows(tokens, 64, 8))}
    assert found["grammar_errors"].value == 0.0 and 3.5 < found["token_entropy"].value < 6.0
