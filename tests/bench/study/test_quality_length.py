"""An arm trained at one length that plays at several, beside arms trained at each."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.errors import UserError
from bench.report.claims.paper import load_paper
from bench.report.claims.verdict import judge
from bench.run.plan import make_plan
from bench.store.table import load_results
from bench.study.grid import load_study

STUDY = """\
name: lengths
question: does one model play at every length
baseline:
  arm: transformer
  corpus: demo/lieder
  model: {width: 32, stride: 4, layers: 6}
  diffusion: {steps: 32}
  train: {steps: 2, batch: 2, warmup_steps: 1, validations: 0, final_validation_windows: 2,
    final_validation_draws: 2}
  sample: {pieces: 3, steps: 4}
axes:
  arm:
    - smdim
    - {name: one, arm: smdim, length: 128, sample_lengths: [64, 128]}
  length: [64, 128]
measure:
  quality: {}
"""


@pytest.fixture
def study(tmp_path: Path, dichterliebe: Path) -> Path:
    path = tmp_path / "lengths.yaml"
    path.write_text(STUDY.replace("demo/lieder", f"folder:{dichterliebe}"))
    return path


def test_one_training_serves_all_lengths_and_each_has_its_reference(study: Path) -> None:
    cells = make_plan(load_study(study)).cells
    kinds = [(cell.kind, cell.labels["arm"], cell.labels["length"]) for cell in cells]
    assert sorted(kinds) == [
        ("quality", "one", 128),
        ("quality", "smdim", 64),
        ("quality", "smdim", 128),
        ("reference", "reference", 64),
        ("reference", "reference", 128),
    ]
    (one,) = [cell for cell in cells if cell.labels["arm"] == "one"]
    assert one.settings["sample_lengths"] == [64, 128]
    assert all("sample_lengths" not in cell.settings for cell in cells if cell.labels["arm"] != "one")


@pytest.mark.parametrize(("played", "pieces", "length"), [("[64, 128]", 10_000, 64), ("[64, 8192]", 3, 8192)])
def test_more_pieces_than_held_out_windows_stop_the_plan(study: Path, played: str, pieces: int, length: int) -> None:
    study.write_text(study.read_text().replace("length: 128, sample_lengths: [64, 128]", f"sample_lengths: {played}"))
    with pytest.raises(UserError, match=rf"lengths\.yaml:10: .*full windows of {length} tokens, {pieces} are wanted"):
        make_plan(load_study(study, [f"sample.pieces={pieces}"]))


@pytest.mark.usefixtures("cells_here")
def test_rows_carry_the_length_that_was_played(study: Path, tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from bench.cli import app

    alone = study.read_text().replace("    - smdim\n", "")
    study.write_text(alone.replace("length: [64, 128]\nmeasure", "length: [64]\nmeasure"))
    outcome = CliRunner().invoke(app, ["run", str(study), "--results", str(tmp_path / "results")])
    assert outcome.exit_code == 0, outcome.output
    folder = tmp_path / "results" / "lengths"
    frame = load_results(folder).frame
    assert set(frame[(frame["arm"] == "one") & (frame["metric"] == "oa_mean")]["length"]) == {64, 128}
    assert set(frame[(frame["arm"] == "real-vs-real") & (frame["metric"] == "oa_mean")]["length"]) == {64, 128}
    assert set(frame[(frame["arm"] == "one") & (frame["metric"] == "train_loss")]["length"]) == {128}
    names = sorted(path.name for path in next(folder.glob("quality-one-*")).glob("samples/*.mid"))
    assert names[0] == "00064-000.mid" and len(names) == 6
    changes = [one for one in judge(load_paper("smdim"), frame) if one.claim.id == "oa-flat"]
    assert changes  # the shipped claim speaks of 2048 tokens, which this study has not
    assert "L = 64" in (folder / "report.md").read_text()


def test_a_length_that_the_stem_cannot_take_is_refused(study: Path) -> None:
    study.write_text(STUDY.replace("sample_lengths: [64, 128]", "sample_lengths: [64, 126]"))
    with pytest.raises(UserError, match="length 126 is not a multiple of the stem's stride 4"):
        make_plan(load_study(study))


def test_the_shipped_study_trains_at_each_length_and_plays_one_model_at_each() -> None:
    points = load_study("lengths").combinations()
    lengths = {(point.label, point.length, point.played_lengths) for point in points}
    every = (256, 512, 1024, 2048)
    assert {("smdim", length, (length,)) for length in (every[0], every[-1])} <= lengths
    assert ("smdim-2048", 2048, every) in lengths and len([one for one in lengths if one[0] == "smdim-2048"]) == 1
