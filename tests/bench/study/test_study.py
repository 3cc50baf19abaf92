"""A study file is read strictly, and its cells are named by what decides their result."""

import json
import math
import textwrap
from dataclasses import fields
from pathlib import Path
from typing import get_type_hints

import pytest
import yaml

from architectures import CATALOG, BackboneConfig
from architectures.denoiser import BUILT_IN
from bench.errors import UserError
from bench.run.plan import make_plan
from bench.study.content import StudyFile
from bench.study.grid import STUDIES_FOLDER, Cell, load_study
from bench.study.settings import ModelSettings, given
from bench.study.yaml import load_yaml
from bench.training import TrainSettings

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
    assert given(wide.model) == {"stride": 4, "width": 64}
    assert wide.train == TrainSettings(steps=2) and given(wide.train) == {"steps": 2}
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


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("steps: 2", "steps: 2, leraning_rate: 1"), "tiny.yaml:6: baseline.train.leraning_rate: unknown key; did you"),
        (("steps: 2", "batch: 2"), "tiny.yaml:6: baseline.train: budget: none given; allowed: exactly one of steps"),
        (("steps: 2", "steps: 2, batch: 6, accumulation: 4"), "baseline.train: accumulation: 4 parts do not divide"),
        (("model: {width: 64}", "model: {width: wide}"), "axes.arm.2.model.width: input should be a valid integer"),
        (("length: 32", "model: {depth: 0}"), "tiny.yaml:5: baseline.model.depth: input should be greater than or"),
        (("length: 32", "tokenizer: {pitch: 0}"), "tiny.yaml:5: baseline.tokenizer.pitch: unknown key"),
        (("axes:", "axes:\n  train.clip: [1, -1]"), "tiny.yaml:8: axes.train.clip: input should be greater than 0 (gi"),
        (("axes:", "axes:\n  model.widht: [1]"), "tiny.yaml:8: axes.model.widht: unknown key; did you mean 'width'"),
        (("axes:", "axes:\n  kernels.scan: [fast]"), "tiny.yaml:8: axes.kernels.scan: input should be 'auto', 'refere"),
        (("axes:", "axes:\n  tokenizer.pitch_low: [120]"), "baseline.tokenizer: pitch_low (120) must not be above"),
    ],
)
def test_settings_of_a_group_are_refused_where_they_stand(
    tmp_path: Path, change: tuple[str, str], message: str
) -> None:
    assert change[0] in GOOD
    with pytest.raises(UserError) as caught:
        load_study(study_file(tmp_path, GOOD.replace(*change)))
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_a_size_that_a_backbone_does_not_have_is_refused_before_data_are_read(tmp_path: Path) -> None:
    study = load_study(study_file(tmp_path, GOOD.replace("model: {width: 64}", "model: {widht: 64}")))
    with pytest.raises(UserError, match=r"tiny.yaml:8: axes.arm.2.model.widht: unknown key; did you"):
        make_plan(study)


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ("oa_men: 0.02", "tiny.yaml:17: matters.oa_men: 'oa_men' is no known quantity; the nearest one is 'oa_mean'"),
        (
            "oa_mean: 0",
            "tiny.yaml:17: matters.oa_mean: must be a number above 0, or a percentage such as 2% (given: 0)",
        ),
        ("oa_mean: -0.1", "tiny.yaml:17: matters.oa_mean: must be a number above 0"),
        ("oa_mean: .nan", "tiny.yaml:17: matters.oa_mean: must be a number above 0"),
        ("oa_mean: .inf", "tiny.yaml:17: matters.oa_mean: must be a number above 0"),
        ("oa_mean: true", "tiny.yaml:17: matters.oa_mean: must be a number above 0"),
        ("step_latency: 0%", "tiny.yaml:17: matters.step_latency: must be a number above 0"),
        ("oa_mean: 2%", "tiny.yaml:17: matters.oa_mean: oa_mean is a share, so a percentage of it means nothing"),
        ("drift_oa: 2%", "tiny.yaml:17: matters.drift_oa: drift_oa may be 0 or below, so a percentage of it means"),
        (
            "validation_bits_per_token: 1",
            "tiny.yaml:17: matters.validation_bits_per_token: choices are made on it and no verdict is of it; allowed: "
            "bits_per_token",
        ),
    ],
)
def test_a_margin_is_refused_where_it_stands(tmp_path: Path, stated: str, message: str) -> None:
    text = f"{GOOD}matters:\n  {stated}\n  bits_per_token: 0.5\n"
    with pytest.raises(UserError) as caught:
        load_study(study_file(tmp_path, text))
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_what_matters_is_recorded_and_decides_no_cell(tmp_path: Path) -> None:
    text = GOOD.replace("match: params\n", "")
    plain = load_study(study_file(tmp_path, text))
    stated = load_study(study_file(tmp_path, f"{text}matters: {{bits_per_token: 0.03, step_latency: 2%}}\n"))
    assert [cell.id for cell in make_plan(plain).cells] == [cell.id for cell in make_plan(stated).cells]
    recorded = stated.content.model_dump(mode="json")
    assert recorded["matters"] == {"bits_per_token": 0.03, "step_latency": "2%"}
    assert "matters" not in plain.content.model_dump(mode="json")


def test_an_axis_completes_what_the_baseline_leaves_out(tmp_path: Path) -> None:
    text = GOOD.replace("train: {steps: 2}", "train: {processes: 3}").replace("axes:", "axes:\n  train.batch: [9, 12]")
    study = load_study(study_file(tmp_path, text.replace("axes:", "axes:\n  train.steps: [5]")))
    found = {(one.train.steps, one.train.batch) for one in study.combinations() if one.train}
    assert found == {(5, 9), (5, 12)}
    timed = GOOD.replace("train: {steps: 2}", "train: {}").replace("quality: {}", "efficiency: {}")
    assert {one.train for one in load_study(study_file(tmp_path, timed)).combinations()} == {None}


def test_an_axis_of_splits_is_every_fold_of_the_corpus(tmp_path: Path) -> None:
    text = GOOD.replace("axes:", "axes:\n  splits: 3").replace("  model.stride: [2, 4]\n", "")
    text = text.replace("exclude:\n  - {arm: wide, model.stride: 2}\n", "exclude:\n  - {arm: wide, splits: 2of3}\n")
    study = load_study(study_file(tmp_path, text))
    found = [(one.label, one.corpus) for one in study.combinations()]
    assert [corpus for label, corpus in found if label == "smdim"] == ["demo@0of3", "demo@1of3", "demo@2of3"]
    assert [corpus for label, corpus in found if label == "wide"] == ["demo@0of3", "demo@1of3"]
    some = load_study(study_file(tmp_path, text.replace("splits: 3\n", "splits: [0of5, 2of3]\n")))
    assert {one.corpus for one in some.combinations()} == {"demo@0of5", "demo@2of3"}


@pytest.mark.parametrize(
    ("splits", "message"),
    [("2", "2 folds; allowed: 3 or more"), ("[5of5]", "'5of5' is no fold: allowed: INDEXofFOLDS as in 0of5")],
)
def test_splits_that_are_no_folds_are_refused_where_they_stand(tmp_path: Path, splits: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as refused:
        load_study(study_file(tmp_path, GOOD.replace("axes:", f"axes:\n  splits: {splits}")))
    assert "\n" not in str(refused.value) and "axes" in str(refused.value)


def test_the_sizes_of_a_study_are_those_of_the_backbone() -> None:
    hints = get_type_hints(BackboneConfig)
    sizes = {item.name: (hints[item.name], item.default) for item in fields(BackboneConfig)}
    found = {name: (field.annotation, field.default) for name, field in ModelSettings.model_fields.items()}
    del sizes["vocab_size"], sizes["pattern"], sizes["pad_id"]  # given by the corpus, the arm
    assert found == sizes | {"depth": (int | None, None), "layers": (int | None, None)}


@pytest.mark.parametrize("path", sorted(STUDIES_FOLDER.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_study_is_recorded_as_it_was_given(path: Path) -> None:
    content = load_study(path).content
    recorded = json.loads(json.dumps(content.model_dump(mode="json")))
    again = StudyFile.model_validate(recorded)
    assert again == content
    written = yaml.safe_load(path.read_text())
    if "include" in written:
        written = yaml.safe_load((path.parent / written["include"]).read_text()) | written
    for group in ("model", "tokenizer", "train"):
        assert recorded["baseline"][group] == written.get("baseline", {}).get(group, {})
        assert given(getattr(again.baseline, group)) == recorded["baseline"][group]


def test_an_unknown_study_names_the_shipped_ones() -> None:
    with pytest.raises(UserError, match="quickstart"):
        load_study("quikstart")


def test_a_cell_is_named_by_its_settings_and_not_by_its_labels() -> None:
    one = Cell("quality", {"arm": "a", "study": "x"}, {"width": 1, "seed": 0})
    same = Cell("quality", {"arm": "a", "study": "y"}, {"seed": 0, "width": 1})
    other = Cell("quality", {"arm": "a"}, {"width": 1, "seed": 1})
    assert one.id == same.id == "quality-a-" + one.id.rsplit("-", 1)[1]
    assert one.id != other.id


def test_included_files_are_merged_and_the_including_one_wins(tmp_path: Path) -> None:
    (tmp_path / "sizes.yaml").write_text("baseline:\n  length: 64\n  train: {steps: 9, batch: 3}\nseeds: [7]\n")
    study = load_study(study_file(tmp_path, "include: sizes.yaml\n" + GOOD.replace("seeds: [0, 1]\n", "")))
    assert study.content.seeds == (7,)
    assert study.content.baseline.length == 32
    assert given(study.content.baseline.train) == {"steps": 2, "batch": 3}


def test_errors_of_an_included_file_name_that_file(tmp_path: Path) -> None:
    (tmp_path / "sizes.yaml").write_text("baseline:\n  tokenizer: {}\n  lenght: 64\n")
    with pytest.raises(UserError, match=r"sizes\.yaml:3: baseline\.lenght: unknown key; did you mean 'length'"):
        load_study(study_file(tmp_path, "include: [sizes.yaml]\n" + GOOD))


def test_files_that_include_each_other_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("include: tiny.yaml\n")
    with pytest.raises(UserError, match=r"a\.yaml:1: include: files include each other: tiny\.yaml -> a\.yaml -> tiny"):
        load_study(study_file(tmp_path, "include: a.yaml\n" + GOOD))
    with pytest.raises(UserError, match=r"tiny\.yaml:1: include: no file .*other\.yaml"):
        load_study(study_file(tmp_path, "include: other.yaml\n" + GOOD))


def test_overrides_reach_the_baseline_the_axes_and_the_rest(tmp_path: Path) -> None:
    path = study_file(tmp_path, GOOD)
    words = ["train.steps=500", "axes.model.stride=[4]", "seeds=[3]", "match.tolerance=0.05", "limits.time_s=60"]
    study = load_study(path, [*words, "exclude=[]"])
    assert given(study.content.baseline.train) == {"steps": 500}
    assert study.content.axes["model.stride"] == [4]
    assert study.content.seeds == (3,)
    assert study.content.match is not None
    assert study.content.match.tolerance == 0.05
    assert study.content.limits.time_s == 60


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("train.steps", "write KEY=VALUE"),
        ("trian.steps=5", "did you mean 'train'"),
        ("length=long", r"--set length=long: baseline\.length: input should be a valid integer.*'long'"),
        ("model.stride=2", r"varies on an axis; set axes\.model\.stride"),
        ("seeds=[1", "not valid YAML"),
    ],
)
def test_an_override_that_cannot_be_is_named(tmp_path: Path, word: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_study(study_file(tmp_path, GOOD), [word])


def test_ten_million_cells_are_asked_about(tmp_path: Path) -> None:
    text = GOOD.replace("seeds: [0, 1]", f"seeds: {list(range(2_000))}").replace("exclude:", "exclude: []\nnot:")
    text = text.replace("  - {arm: wide, model.stride: 2}\n", "").replace("not:\n", "")
    text = text.replace("model.stride: [2, 4]", f"model.width: {list(range(8, 13_416, 8))}")
    with pytest.raises(UserError, match=r"10,056,000 combinations \(3 arm x 1676 model\.width x 2000 seeds\).*--yes"):
        load_study(study_file(tmp_path, text))


def test_an_exclusion_of_a_value_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"'broad' is not a value of this axis; values: smdim, transformer, wide"):
        load_study(study_file(tmp_path, GOOD.replace("{arm: wide,", "{arm: broad,")))


def test_aliases_that_unfold_without_end_are_refused(tmp_path: Path) -> None:
    bomb = "a: &a [x, x]\n" + "".join(
        f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(20)
    )
    with pytest.raises(UserError, match=r"nested deeper than|more than 200,000 values"):
        load_study(study_file(tmp_path, bomb))
    with pytest.raises(UserError, match=r"nested deeper than|not valid YAML"):
        load_study(study_file(tmp_path, "a: &a [*a]\n"))


def test_long_adds_half_octaves_and_no_prune_tries_every_length(tiny_study):
    study = load_study(tiny_study).timing_more(long=True, prune=False)
    efficiency = study.content.measure.efficiency
    assert efficiency is not None and not efficiency.prune
    assert efficiency.lengths == (64, 128, 2896, 4096, 5792, 8192, 11584, 16384)
    assert load_study("aa").timing_more(prune=True).content.measure.efficiency.lengths == (512,)
    with pytest.raises(UserError, match="about timing"):
        load_study("block_order").timing_more(long=True)


def test_a_timed_length_that_the_stem_cannot_take_is_refused_where_it_stands(tiny_study):
    from bench.run.plan import make_plan

    tiny_study.write_text(tiny_study.read_text().replace("lengths: [64, 128]", "lengths: [64, 126]"))
    with pytest.raises(UserError, match=r"tiny\.yaml:\d+: measure\.efficiency\.lengths: .*length 126 is not"):
        make_plan(load_study(tiny_study))


def test_how_kernels_are_ranked_is_no_part_of_a_cell():
    from bench.study.settings import EfficiencySettings

    together = EfficiencySettings(rank_kernels="together")
    assert together.deciding() == EfficiencySettings().deciding()
    assert "rank_kernels" not in together.deciding() and together.deciding()["rounds"] == 5
    assert EfficiencySettings.model_json_schema()["properties"]["rank_kernels"]["enum"] == ["apart", "together"]


def test_the_shipped_timing_studies_ask_what_they_say():
    aa, efficiency = load_study("aa"), load_study("efficiency")
    arms = [combination.arm for combination in aa.combinations()]
    assert len([arm for arm in arms if arm.arm == "AF*10"]) == 7  # 21 pairs of one model
    assert {combination.label for combination in efficiency.combinations()} == {*CATALOG, *BUILT_IN}
    assert len(efficiency.content.measure.efficiency.lengths) >= 9


@pytest.mark.parametrize("path", sorted((STUDIES_FOLDER / "gpu").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_shipped_gpu_studies_are_valid_and_lie_in_results_under_their_own_name(path: Path) -> None:
    study = load_study(f"gpu/{path.stem}")
    assert study.name == f"gpu_{path.stem}"
    efficiency = study.content.measure.efficiency
    if efficiency:
        assert (efficiency.device, efficiency.precision) == ("cuda", "bfloat16")
    else:
        assert study.content.baseline.train.device == "cuda"
    labels = [combination.label for combination in study.combinations()]
    assert len(set(labels)) == len(labels) >= 3
    if path.stem.startswith("efficiency"):
        assert set(labels) == {*CATALOG, *BUILT_IN} and {256, 512, 1024, 2048, 16384} <= set(efficiency.lengths)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", "yes"),
        ("on", "on"),
        ("1:30", "1:30"),
        ("08", 8),
        ("010", 10),
        ("0o10", 8),
        ("0x1F", 31),
        ("1_000", "1_000"),
        ("1e-3", 0.001),
        ("1.", 1.0),
        (".5", 0.5),
        ("-.INF", -math.inf),
        ("~", None),
        ("", None),
        ("True", True),
        ("2026-11-28", "2026-11-28"),
        ("=", "="),
    ],
)
def test_plain_scalars_are_read_as_yaml_1_2_does(text: str, value: object) -> None:
    found = load_yaml(f"key: {text}")["key"]
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("seeds: [-1]", "seeds.0: input should be greater than or equal to 0 (given: -1)"),
        ("seeds: [9223372036854775808]", "seeds.0: input should be less than or equal to 9223372036854775807"),
        ("seeds: [0, yes]", "seeds.1: input should be a valid integer (given: 'yes')"),
        ("seeds: [true]", "seeds.0: input should be a valid integer (given: True)"),
        ("baseline: {train: {steps: 2, clip: .inf}}", "baseline.train.clip: input should be a finite number"),
        ("baseline: {train: {steps: 2, learning_rate: true}}", "baseline.train.learning_rate: input should be a valid"),
        ("baseline: {train: {steps: '2'}}", "baseline.train.steps: input should be a valid integer (given: '2')"),
        ("baseline: {sample: {temperature: .nan}}", "baseline.sample.temperature: input should be a finite number"),
        ("baseline: {tokenizer: {tempo_low: .inf}}", "baseline.tokenizer.tempo_low: input should be a finite number"),
        ("limits: {time_s: .inf}", "limits.time_s: input should be a finite number"),
        ("axes: {train.learning_rate: [1e-3, 0.001]}", "axes.train.learning_rate: lists a value twice"),
        ("axes: {train.learning_rate: [1, 1.0]}", "axes.train.learning_rate: lists a value twice"),
    ],
)
def test_a_value_of_another_type_is_named_with_file_line_and_key(line: str, words: str, tmp_path: Path) -> None:
    text = f"name: a\nquestion: q\nmeasure: {{quality: {{}}}}\n{line}\n"
    with pytest.raises(UserError) as caught:
        load_study(study_file(tmp_path, text))
    assert str(caught.value).startswith(f"{tmp_path / 'tiny.yaml'}:4: {words}")


def test_arms_of_equal_settings_stay_apart_whatever_their_names_share(tmp_path: Path) -> None:
    names = [f"transformer of the first paper, as written, run {run}" for run in "AB"] + ["a b", "a-b", "short"]
    arms = ", ".join(f"{{name: '{name}', arm: transformer}}" for name in names)
    text = f"""\
        name: apart
        question: q
        baseline: {{corpus: demo/irish, length: 32, model: {{width: 16, layers: 2}}, train: {{steps: 2}}}}
        axes: {{arm: [{arms}]}}
        measure: {{quality: {{}}}}
        """
    cells = [cell for cell in make_plan(load_study(study_file(tmp_path, text))).cells if cell.kind == "quality"]
    assert [cell.labels["arm"] for cell in cells] == names
    assert len({cell.id for cell in cells}) == 5
    assert [cell.settings.get("arm") for cell in cells] == [*names[:4], None]


@pytest.mark.parametrize("name", ["", "  ", "\\u200b"])
def test_an_arm_without_a_visible_name_is_refused(name: str, tmp_path: Path) -> None:
    text = f'name: a\nquestion: q\naxes: {{arm: [{{name: "{name}", arm: smdim}}]}}\nmeasure: {{quality: {{}}}}\n'
    with pytest.raises(UserError, match=r"axes\.arm\.0\.name: an arm needs a name with a visible character"):
        load_study(study_file(tmp_path, text))
