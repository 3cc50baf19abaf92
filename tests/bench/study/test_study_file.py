"""A study file is read strictly: YAML 1.2, includes and overrides, each error where it stands."""

import math
from pathlib import Path

import pytest
from study_files import GOOD, study_file

from bench.errors import UserError
from bench.study.grid import load_study
from bench.study.settings import given
from bench.study.yaml import load_yaml


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
        (
            ("[smdim, transf", "[{name: wide, arm: mamba}, transf"),
            ["yaml:7", "differ and are both called 'wide stride=4'"],
        ),
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


def test_included_files_are_merged_and_the_including_one_wins(tmp_path: Path) -> None:
    (tmp_path / "sizes.yaml").write_text("baseline:\n  length: 64\n  train: {steps: 9, batch: 3}\nseeds: [7]\n")
    study = load_study(study_file(tmp_path, "include: sizes.yaml\n" + GOOD.replace("seeds: [0, 1]\n", "")))
    assert study.content.seeds == (7,)
    assert study.content.baseline.length == 32
    assert given(study.content.baseline.train) == {"steps": 2, "batch": 3}


def test_values_of_two_axes_that_read_alike_are_not_one_arm(tmp_path: Path) -> None:
    axes = "diffusion.block: [null, 8]\n  sample.block: [null, 8]"
    with pytest.raises(UserError, match="two arms that differ and are both called 'smdim block=8'"):
        load_study(study_file(tmp_path, GOOD.replace("model.stride: [2, 4]", axes).replace(", model.stride: 2}", "}")))


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


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ('"\\0"', "1: include: embedded null byte"),
        ("x" * 300, "1: include: [Errno 36] File name too long: "),
        ('"\\ud83d"', "1: not valid YAML: half of a surrogate pair is no character"),
    ],
)
def test_names_that_no_file_can_have_are_refused(name: str, words: str, tmp_path: Path) -> None:
    path = study_file(tmp_path, f"include: {name}\n{GOOD}")
    with pytest.raises(UserError) as refused:
        load_study(path)
    assert str(refused.value).startswith(f"{path}:{words}")


@pytest.mark.parametrize(
    ("key", "problem"),
    [
        ("1", 'key 1 is a number; allowed: names, or "1" in quotation marks'),
        ("1.5", 'key 1.5 is a number; allowed: names, or "1.5" in quotation marks'),
        ("true", 'key true is a boolean; allowed: names, or "true" in quotation marks'),
        ("~", 'key ~ is null; allowed: names, or "~" in quotation marks'),
        ("!t a", 'key a is of type !t; allowed: names, or "a" in quotation marks'),
        ("?", "a key that is empty; allowed: names"),
        ("? {a: 1}", "a key that is a mapping; allowed: names"),
        ("? [a, b]", "a key that is a list; allowed: names"),
        ("? !!str [a]", "not valid YAML: expected a scalar node, but found sequence"),
    ],
)
def test_a_key_that_is_no_name_is_refused(key: str, problem: str, tmp_path: Path) -> None:
    path = study_file(tmp_path, GOOD.replace("model.stride: [2, 4]", f"train.checkpoint_steps: [{{{key} : 2}}]"))
    with pytest.raises(UserError) as refused:
        load_study(path)
    assert str(refused.value) == f"{path}:9: {problem}"


def test_a_character_that_json_escapes_as_a_pair_is_one(tmp_path: Path) -> None:
    text = GOOD.replace("question: does it run", r'question: "\ud83c\udfb5 \u65e5"')
    assert load_study(study_file(tmp_path, text)).content.question == "\U0001f3b5 \u65e5"


def test_overrides_reach_the_baseline_the_axes_and_the_rest(tmp_path: Path) -> None:
    path = study_file(tmp_path, GOOD)
    words = ["train.steps=500", "axes.model.stride=[4]", "seeds=[3]", "match.tolerance=0.05", "limits.time_s=60"]
    study = load_study(path, [*words, "exclude=[]", "tune.train.learning_rate=[0.1, 0.2]", "tune.seeds=[7]"])
    assert study.content.tune is not None and study.content.tune.grid == {"train.learning_rate": [0.1, 0.2]}
    assert study.content.tune.seeds == (7,)
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


def test_aliases_that_unfold_without_end_are_refused(tmp_path: Path) -> None:
    bomb = "a: &a [x, x]\n" + "".join(
        f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(20)
    )
    with pytest.raises(UserError, match=r"nested deeper than|more than 200,000 values"):
        load_study(study_file(tmp_path, bomb))
    with pytest.raises(UserError, match=r"nested deeper than|not valid YAML"):
        load_study(study_file(tmp_path, "a: &a [*a]\n"))


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
        (
            "axes: {train.clip: [1.0, .inf]}",
            "axes.train.clip: holds an infinite number or NaN; allowed: finite numbers",
        ),
        ("axes: {train.learning_rate: [1e-3, 0.001]}", "axes.train.learning_rate: lists a value twice"),
        ("axes: {train.learning_rate: [1, 1.0]}", "axes.train.learning_rate: lists a value twice"),
    ],
)
def test_a_value_of_another_type_is_named_with_file_line_and_key(line: str, words: str, tmp_path: Path) -> None:
    text = f"name: a\nquestion: q\nmeasure: {{quality: {{}}}}\n{line}\n"
    with pytest.raises(UserError) as caught:
        load_study(study_file(tmp_path, text))
    assert str(caught.value).startswith(f"{tmp_path / 'tiny.yaml'}:4: {words}")


@pytest.mark.parametrize("value", ["!!bool maybe", "!!timestamp soon"])
def test_a_tag_with_another_value_is_one_line(tmp_path: Path, value: str) -> None:
    with pytest.raises(UserError, match=r"tiny.yaml: not valid YAML: "):
        load_study(study_file(tmp_path, GOOD.replace("does it run", value)))
    with pytest.raises(UserError, match=r"^--set question=!!"):
        load_study(study_file(tmp_path, GOOD), [f"question={value}"])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("model.stride: [2, 4]", f"model.stride: [1{'0' * 400}, 3]"),
        ("seeds: [0, 1]", f"seeds: [0x{'f' * 5000}]"),
        ("name: tiny", f"name: 0x{'f' * 5000}"),
    ],
)
def test_numbers_of_many_digits_are_one_line(tmp_path: Path, old: str, new: str) -> None:
    assert old in GOOD
    with pytest.raises(UserError) as caught:
        load_study(study_file(tmp_path, GOOD.replace(old, new)))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("betas", ["[1.0, 0.99]", "[0.9, 2.0]", "[-0.1, 0.9]"])
def test_decays_that_adam_refuses_are_refused_in_the_plan(tmp_path: Path, betas: str) -> None:
    with pytest.raises(UserError, match=r"baseline.train.betas"):
        load_study(study_file(tmp_path, GOOD.replace("steps: 2", f"steps: 2, betas: {betas}")))
