"""An arm that is a folder of MIDI files: planned beside the others, measured, its cost NaN with the reason."""

import math
import shutil
from pathlib import Path

import pytest

from bench import versions
from bench.errors import UserError
from bench.measure.quality.outside import REASON, measure_outside
from bench.run.plan import make_plan
from bench.store.vectors import read_vectors
from bench.study.grid import load_study

STUDY = """
name: rivals
question: How does it compare?
baseline:
  arm: transformer
  corpus: demo/lieder
  length: 256
  model: {{width: 32, layers: 2}}
  train: {{steps: 2, batch: 2}}
  sample: {{pieces: 3, steps: 4}}
axes:
  arm: [transformer, {{name: rival, {rival}}}]
seeds: [0, 1]
measure: {measure}
"""


@pytest.fixture
def music(tmp_path: Path, demo_music: Path) -> Path:
    folder = tmp_path / "rival"
    folder.mkdir()
    for file in sorted((demo_music / "lieder").glob("*.mid"))[:4]:
        shutil.copy(file, folder)
    (folder / "broken.mid").write_bytes(b"no music")
    return folder


def plan_of(tmp_path: Path, rival: str, measure: str = "{quality: {}}"):
    path = tmp_path / "rivals.yaml"
    path.write_text(STUDY.format(rival=rival, measure=measure))
    return make_plan(load_study(path))


def test_one_cell_whatever_the_seeds_with_the_files_that_could_not_be_read_named(tmp_path, music):
    plan = plan_of(tmp_path, f"midi: {music}")
    assert [cell.labels["arm"] for cell in plan.cells] == ["reference", "transformer", "transformer", "rival"]
    assert any("of arm rival: 1 files skipped: broken.mid" in note for note in plan.notes)
    assert not versions.conflict([cell.labels["version"] for cell in plan.cells])


def test_its_music_is_measured_and_what_only_a_denoiser_has_is_missing_with_the_reason(tmp_path, music):
    plan = plan_of(tmp_path, f"midi: {music}")
    settings = plan.cells[-1].settings | {"cost_lengths": [512]}
    rows = measure_outside(settings, tmp_path / "cell", lambda **event: None)
    by_name = {row["metric"]: row for row in rows}
    assert 0 < by_name["oa_mean"]["value"] <= 1 and by_name["oa_mean"]["n"] == 4
    assert len(list((tmp_path / "cell" / "samples").glob("*.mid"))) == 4  # all that can be read
    low, high = by_name["oa_mean"]["low"], by_name["oa_mean"]["high"]
    assert low < by_name["oa_mean"]["value"] < high
    vectors = read_vectors(tmp_path / "cell")
    assert (vectors["side"] == "without_piece").sum() == 4 and (vectors["side"] == "without_reference_song").sum() == 3
    reason = f"{REASON} (4 files, 4 cut after 256 tokens)"
    for metric in ("bits_per_token", "bits_per_note", "bits_per_beat", "step_latency", "forward_gflops"):
        assert math.isnan(by_name[metric]["value"]) and by_name[metric]["reason"] == reason
    assert (by_name["step_latency"]["kind"], by_name["step_latency"]["length"]) == ("efficiency", 512)


def test_all_files_are_used_unless_told_and_what_is_cut_is_said(tmp_path, music):
    plan = plan_of(tmp_path, f"midi: {music}")
    said = "arm rival: 4 files, 4 cut after 256 tokens; against 3 held-out pieces (sample.pieces), as the other arms"
    assert said in plan.notes
    fewer = plan_of(tmp_path, f"midi: {music}, pieces: 2")
    assert any("arm rival: 2 of 4 files, 2 cut after 256 tokens" in note for note in fewer.notes)
    assert fewer.cells[-1].id != plan.cells[-1].id
    assert (plan.cells[-1].settings["files"], fewer.cells[-1].settings["files"]) == (None, 2)


def test_other_files_are_another_cell(tmp_path, music):
    before = plan_of(tmp_path, f"midi: {music}").cells[-1].id
    sorted(music.glob("*.mid"))[1].unlink()
    assert plan_of(tmp_path, f"midi: {music}").cells[-1].id != before


@pytest.mark.parametrize(
    ("rival", "measure", "words"),
    [
        ("midi: nowhere", "{quality: {}}", "arm 'rival': .*nowhere"),
        ("midi: {music}, arm: smdim", "{quality: {}}", "give either `arm`, a catalog name or pattern, or `midi`"),
        ("midi: {music}, length: 512", "{quality: {}}", "an arm of MIDI files has no model, train, kernels, length"),
        ("arm: smdim, pieces: 4", "{quality: {}}", "`pieces` is of an arm of MIDI files"),
        ("midi: {music}", "{efficiency: {lengths: [256]}}", "MIDI files have no cost to measure"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(tmp_path, music, rival, measure, words):
    with pytest.raises(UserError, match=words) as refused:
        plan_of(tmp_path, rival.format(music=music), measure)
    assert "\n" not in str(refused.value)


def test_versions_conflict_only_where_one_part_has_two_numbers():
    assert versions.conflict(["format1 data1", "format1 data2"])
    assert not versions.conflict(["format1 data1", "format1 data1 training3"])
