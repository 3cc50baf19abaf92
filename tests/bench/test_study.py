"""A study file is read strictly, and its cells are named by what decides their result."""

import textwrap
from pathlib import Path

import pytest

from bench.errors import UserError
from bench.study import Cell, load_study

GOOD = """\
name: tiny
question: does it run
baseline:
  arm: transformer
  length: 32
  train: {steps: 2}
axes:
  arm: [smdim, transformer, {name: wide, arm: transformer, model: {width: 64}}]
  model.stride: [2, 4]
exclude:
  - {arm: wide, model.stride: 2}
match: params
seeds: [0, 1]
measure:
  quality: {}
"""


def study_file(folder: Path, text: str) -> Path:
    path = folder / "tiny.yaml"
    path.write_text(textwrap.dedent(text))
    return path


def test_axes_multiply_and_exclusions_leave_out(tmp_path: Path) -> None:
    study = load_study(study_file(tmp_path, GOOD))
    labels = [combination.label for combination in study.combinations()]
    assert labels == [
        "smdim stride=2",
        "smdim stride=4",
        "transformer stride=2",
        "transformer stride=4",
        "wide stride=4",
    ]
    wide = study.combinations()[-1]
    assert wide.groups["model"] == {"stride": 4, "width": 64}
    assert wide.groups["train"] == {"steps": 2}
    assert study.content.match is not None
    assert study.content.match.by == "params"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("seeds: [0, 1]", "sedes: [0, 1]"), ["tiny.yaml:13", "sedes", "unknown key", "did you mean 'seeds'"]),
        (("length: 32", "length: long"), ["tiny.yaml:5", "baseline.length", "integer", "'long'"]),
        (("length: 32", "lenght: 32"), ["tiny.yaml:5", "baseline.lenght", "did you mean 'length'", "corpus"]),
        (("seeds: [0, 1]", "seeds: [0, 0]"), ["tiny.yaml:13", "seeds must be distinct"]),
        (("arm: [smdim, transformer, ", "arm: [smdim, smdim, "), ["tiny.yaml:8", "axes.arm", "twice"]),
        (("model.stride: [2, 4]", "model.stride: []"), ["tiny.yaml:9", "has no values"]),
        (("model.stride: [2, 4]", "stride: [2, 4]"), ["tiny.yaml:9", "not a setting that can vary", "arm"]),
        (("{arm: wide, model.stride: 2}", "{seed: 2}"), ["tiny.yaml:11", "not an axis"]),
        (("quality: {}", "quality: {treads: 1}"), ["tiny.yaml:15", "measure.quality.treads", "threads"]),
        (("match: params", "match: size"), ["tiny.yaml:12", "match.by", "params"]),
        (("name: tiny", "name: ../tiny"), ["tiny.yaml:1", "name"]),
        (("question: does it run", "name: twice"), ["tiny.yaml:2", "given twice"]),
        (("axes:", "axes: ["), ["tiny.yaml:", "not valid YAML"]),
    ],
)
def test_an_error_names_file_line_key_and_what_is_allowed(
    tmp_path: Path, change: tuple[str, str], words: list[str]
) -> None:
    assert change[0] in GOOD
    with pytest.raises(UserError) as caught:
        load_study(study_file(tmp_path, GOOD.replace(*change)))
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message


def test_an_unknown_study_names_the_shipped_ones() -> None:
    with pytest.raises(UserError, match="quickstart"):
        load_study("quikstart")


def test_a_cell_is_named_by_its_settings_and_not_by_its_labels() -> None:
    one = Cell("quality", {"arm": "a", "study": "x"}, {"width": 1, "seed": 0})
    same = Cell("quality", {"arm": "a", "study": "y"}, {"seed": 0, "width": 1})
    other = Cell("quality", {"arm": "a"}, {"width": 1, "seed": 1})
    assert one.id == same.id == "quality-a-" + one.id.rsplit("-", 1)[1]
    assert one.id != other.id
