"""The cells of a study are named by what decides their result."""

import json
from dataclasses import fields
from pathlib import Path
from typing import get_type_hints

import pytest
import yaml
from study_files import GOOD, study_file

from architectures import CATALOG, BackboneConfig
from architectures.denoiser import BUILT_IN
from bench.errors import UserError
from bench.run.plan import make_plan, slow_precision
from bench.study.content import StudyFile
from bench.study.grid import STUDIES_FOLDER, Cell, load_study
from bench.study.settings import ModelSettings, given
from bench.training import TrainSettings
from metrics.cost import device


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
    included = yaml.safe_load((path.parent / written["include"]).read_text()) if "include" in written else {}
    for group in ("model", "tokenizer", "train"):
        parts = [one.get("baseline", {}).get(group, {}) for one in (included, written)]
        assert recorded["baseline"][group] == parts[0] | parts[1]
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


def test_ten_million_cells_are_asked_about(tmp_path: Path) -> None:
    text = GOOD.replace("seeds: [0, 1]", f"seeds: {list(range(2_000))}").replace("exclude:", "exclude: []\nnot:")
    text = text.replace("  - {arm: wide, model.stride: 2}\n", "").replace("not:\n", "")
    text = text.replace("model.stride: [2, 4]", f"model.width: {list(range(8, 13_416, 8))}")
    with pytest.raises(UserError, match=r"10,056,000 combinations \(3 arm x 1676 model\.width x 2000 seeds\).*--yes"):
        load_study(study_file(tmp_path, text))


def test_an_exclusion_of_a_value_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"'broad' is not a value of this axis; values: smdim, transformer, wide"):
        load_study(study_file(tmp_path, GOOD.replace("{arm: wide,", "{arm: broad,")))


def test_long_adds_half_octaves_and_no_prune_tries_every_length(tiny_study):
    study = load_study(tiny_study).timing_more(long=True, prune=False)
    efficiency = study.content.measure.efficiency
    assert efficiency is not None and not efficiency.prune
    assert efficiency.lengths == (64, 128, 2896, 4096, 5792, 8192, 11584, 16384)
    untried = load_study(tiny_study).timing_more(prune=False).timing_more(long=True)
    assert untried.content.measure.efficiency is not None and not untried.content.measure.efficiency.prune
    assert load_study("aa").timing_more(prune=True).content.measure.efficiency.lengths == (512,)
    with pytest.raises(UserError, match="about timing"):
        load_study("orders").timing_more(long=True)


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
    if path.stem == "efficiency_short":
        assert {"smdim", "transformer", "mamba"} <= set(labels) and efficiency.lengths == (512, 2048, 16384)
    elif path.stem.startswith("efficiency"):
        assert set(labels) == {*CATALOG, *BUILT_IN} and {256, 512, 1024, 2048, 16384} <= set(efficiency.lengths)


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


@pytest.mark.parametrize(
    ("part", "key"),
    [("train", "precision"), ("train", "evaluation_precision"), ("sample", "precision"), ("measure", "precision")],
)
def test_a_plan_warns_of_bfloat16_on_a_cpu_without_it(part: str, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device.torch.cuda, "is_available", lambda: False)
    half, plain = (Cell("quality", {}, {part: {key: name}, "seed": 0}) for name in ("bfloat16", "float32"))
    for flags, warned in (("fpu avx2", True), ("fpu avx512_bf16", False)):
        monkeypatch.setattr(device, "_read", lambda path, flags=flags: f"flags: {flags}")
        assert slow_precision([plain]) == []
        assert len(slow_precision([plain, half])) == warned
