"""The process that a study names, from its file to cells, and what is refused before anything is trained."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from bench.diffusion import AbsorbingDiffusion, MultiScaleDiffusion
from bench.errors import UserError
from bench.measure.quality.cell import measure_quality
from bench.measure.quality.music import load_tokens
from bench.measure.quality.process import build_diffusion
from bench.run.plan import make_plan
from bench.store.vectors import read_vectors
from bench.study.grid import load_study
from bench.study.settings import DiffusionSettings, SampleSettings

STUDY = """\
name: tiny
question: is it refused
baseline:
  arm: transformer
  corpus: demo/lieder
  length: 256
  model: {width: 32, stride: 4, layers: 2}
  train: {steps: 2, batch: 2, validations: 0, final_validation_windows: 4, final_validation_draws: 2}
  diffusion: {DIFFUSION}
  sample: {SAMPLE}
measure:
  quality: {}
"""


def plan(folder: Path, diffusion: str, sample: str):
    path = folder / "tiny.yaml"
    path.write_text(STUDY.replace("{DIFFUSION}", diffusion).replace("{SAMPLE}", sample))
    return make_plan(load_study(path))


@pytest.mark.parametrize(
    ("diffusion", "sample", "words"),
    [
        (
            "{schedule: multi-scale}",
            "{sampler: confidence}",
            "follow a multi-scale schedule; allowed: ancestral",
        ),
        ("{schedule: multi-scale, powers: {Chord: 2}}", "{}", "powers: 'Chord' is no token type; allowed: Bar"),
        ("{schedule: multi-scale, powers: {Bar: 0}}", "{}", "powers.Bar: 0.0 is not allowed"),
        ("{powers: {Bar: 2}}", "{}", "powers: given with schedule 'linear'; allowed: with multi-scale"),
        ("{}", "{sampler: cached, eta: 0.1}", "eta: the sampler 'cached' has no such setting; allowed: with 'remask'"),
        (
            "{}",
            "{sampler: cached, schedule: cosine}",
            "schedule: the sampler 'cached' has no such setting; allowed: with 'confidence'",
        ),
        ("{}", "{sampler: confidence, schedule: square}", "input should be 'linear', 'cosine' or 'geometric'"),
        ("{}", "{sampler: leap}", "input should be 'ancestral', 'cached', 'first-hitting'"),
        ("{}", "{steps: 0}", "sample.steps"),
        ("{}", "{top_p: 0}", "sample.top_p"),
    ],
)
def test_what_cannot_be_sampled_is_refused_before_training(
    tmp_path: Path, diffusion: str, sample: str, words: str
) -> None:
    with pytest.raises(UserError) as caught:
        plan(tmp_path, diffusion, sample)
    assert words in str(caught.value) and "\n" not in str(caught.value) and "tiny.yaml" in str(caught.value)


def test_what_is_not_given_leaves_the_identity_of_a_cell_alone(tmp_path: Path) -> None:
    (cell,) = [cell for cell in plan(tmp_path, "{}", "{}").cells if cell.kind == "quality"]
    assert cell.settings["sample"] == {"pieces": 16, "steps": 128, "sampler": "cached", "temperature": 1.0}
    assert cell.settings["diffusion"] == {
        "steps": 512, "schedule": "linear", "loss": "reweighted_elbo", "times": "low_discrepancy",
    }  # fmt: skip
    given = SampleSettings(sampler="remask", remasking="loop", eta=0.1)
    assert given.options() == {"temperature": 1.0, "remasking": "loop", "eta": 0.1}


def test_powers_come_from_the_words_of_the_tokens() -> None:
    tokens = load_tokens("demo/lieder", {})
    settings = DiffusionSettings(schedule="multi-scale", powers={"Pitch": 2.5}, steps=64)
    process = build_diffusion(tokens, settings.deciding())
    assert isinstance(process, MultiScaleDiffusion)
    power = dict(zip(tokens.vocabulary, process.powers_V.tolist(), strict=True))
    assert (power["Pitch_60"], power["Bar_None"], power["MASK_None"]) == (2.5, 8.0, 1.0)
    # eight positions a beat, four beats a bar
    assert [power[f"Position_{place}"] for place in (0, 8, 12, 13)] == [6.0, 5.0, 4.0, 3.0]
    plain = build_diffusion(tokens, DiffusionSettings().deciding())
    assert type(plain) is AbsorbingDiffusion


def test_a_multi_scale_cell_trains_plays_and_has_both_figures(tmp_path: Path) -> None:
    made = plan(tmp_path, "{schedule: multi-scale, steps: 64}", "{pieces: 3, steps: 6}")
    (cell,) = [cell for cell in made.cells if cell.kind == "quality"]
    folder = tmp_path / "results" / "tiny" / cell.id
    folder.mkdir(parents=True)
    rows = {row["metric"]: row for row in measure_quality(cell.settings, folder, lambda **event: None)}
    found = read_vectors(folder)
    generated = found[found["side"] == "generated"]
    for metric in ("empty_beat_rate", "token_entropy"):
        of_metric = generated[generated["metric"] == metric]
        assert of_metric["piece"].tolist() == [0, 1, 2] and set(of_metric["song"]) == {""}
        assert rows[metric]["value"] == pytest.approx(of_metric["value"].mean(), rel=1e-12, nan_ok=True)
    assert set(found[found["side"] == "validation"]["metric"]) == {"nats"}
    vectors = found[found["side"] == "test"].groupby("metric")[["value", "tokens"]].sum()
    own, uniform = rows["state_dependent_bits_per_token"], rows["bits_per_token"]
    assert own["definition"] == "state-dependent ELBO of the test side, 64 steps, float32 v2"
    assert uniform["definition"] == "count-form ELBO of the test side, float32 v2"
    assert 4 < own["value"] < 12 and 4 < uniform["value"] < 12
    for found, metric in ((uniform, "nats"), (own, "state_dependent_nats")):
        nats, count = vectors.loc[metric]
        assert found["value"] == pytest.approx(nats / count / math.log(2), rel=1e-14)
        assert found["low"] < found["value"] < found["high"] and (found["n"], found["songs"]) == (4, 4)
    assert rows["token_entropy"]["nfe"] == 6 and len(list((folder / "samples").glob("*.mid"))) == 3
