"""Constraints and regularisers as settings of a study: planned, refused, and drawn in a quality cell."""

from pathlib import Path

import pytest

from bench.errors import UserError
from bench.measure.quality.cell import measure_quality
from bench.run.plan import make_plan
from bench.study.grid import load_study


def study_of(text: str, folder: Path, **changes: str) -> Path:
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    (folder / "study.yaml").write_text(text)
    return folder / "study.yaml"


def test_each_constraint_stands_alone_against_none() -> None:
    labels = [one.label.removeprefix("smdim ") for one in load_study("constraints").combinations()]
    assert len(labels) == 10
    assert sum("regularisers=none" in label for label in labels) == 7
    assert "constraints=none regularisers=pitch=10+chord=3:1" in labels


@pytest.mark.parametrize(
    ("wrong", "message"),
    [("sample: {constraints: rhyme, ", "rhyme: not known"), ("sample: {constraints: 'pitch=0:3', ", "no pitch of the")],
)
def test_words_that_cannot_be_used_are_refused_before_anything_runs(tiny_study: Path, wrong: str, message: str) -> None:
    path = study_of(tiny_study.read_text(), tiny_study.parent, **{"sample: {": wrong})
    with pytest.raises(UserError, match=message):
        make_plan(load_study(path))


def test_a_cell_draws_under_its_constraints_and_trains_with_its_regularisers(tiny_study: Path, tmp_path: Path) -> None:
    changes = {
        "sample: {": "sample: {constraints: grammar+pitch=60:72+sounding=2, ",
        "train: {": "train: {regularisers: 'pitch=1+chord=2:1', ",
    }
    path = study_of(tiny_study.read_text(), tmp_path, **changes)
    cell = next(cell for cell in make_plan(load_study(path)).cells if cell.kind == "quality")
    folder = tmp_path / "results" / "tiny" / cell.id
    folder.mkdir(parents=True)
    rows = measure_quality(cell.settings, folder, lambda **_: None)
    found = {row["metric"]: row["value"] for row in rows}
    assert found["chord_density_sounding_max"] <= 2
    assert found["chord_density_onset_max"] <= 2
    assert found["grammar_errors"] < 0.05  # a pitch twice in a chord is all that is left
    assert found["pitch_outliers_absolute"] == 0


BLOCKS = "diffusion: {objective: block, block: 8, loss: mdlm, steps: null}"


@pytest.mark.parametrize(
    ("sample", "more", "message"),
    [
        ("sampler: semi-autoregressive, window: 16, overlap: 16", "", "window, overlap: 16 and 16 tokens; allowed"),
        ("sampler: semi-autoregressive, window: 16, overlap: 0, constraints: grammar", "", "overlap: 0 tokens with r"),
        ("sampler: semi-autoregressive, window: 18, overlap: 3", "", "length 18 is not a multiple of stride 4"),
        ("sampler: block-approximate, block: 2", "", "length 2 is not a multiple of stride 4"),
        ("sampler: block-approximate, block: 8, inner: remask, reveal: 2", "", "reveal: remask reveals no fixed numb"),
        ("sampler: block, constraints: grammar", BLOCKS, "rules over several positions do not reach over blocks"),
    ],
)
def test_a_sampler_that_could_only_fail_after_the_training_is_refused(
    tiny_study: Path, sample: str, more: str, message: str
) -> None:
    text = tiny_study.read_text().replace("sample: {", f"sample: {{{sample}, ")
    text = text.replace("diffusion: {steps: 64}", more or "diffusion: {steps: 64}")
    path = study_of(text, tiny_study.parent)
    with pytest.raises(UserError, match=message) as caught:
        make_plan(load_study(path))
    assert "\n" not in str(caught.value)
