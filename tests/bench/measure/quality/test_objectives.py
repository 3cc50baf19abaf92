"""Quality cells of networks that draw block by block or token by token: their figures and what these say they are."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace

import pytest

from architectures import config_of, without_weights
from bench.diffusion.block import BlockDiffusion
from bench.errors import UserError
from bench.measure.quality.cell import measure_quality
from bench.measure.quality.piece import gflops_row
from bench.measure.quality.sampled import unknown_law
from bench.run.plan import Plan, make_plan
from bench.run.trainings import training_costs
from bench.store.vectors import read_vectors
from bench.study.grid import load_study
from metrics.cost.quantities import likelihood_kind

STUDY = """
name: tiny
question: what do blocks change?
baseline:
  arm: MF
  corpus: folder:{corpus}
  length: 32
  model: {{width: 8, stride: {stride}, head_width: 4, kernel: {kernel}}}
  diffusion: {{objective: {objective}, loss: mdlm, steps: null{block}}}
  train: {{steps: 4, batch: 4, warmup_steps: 1, validations: 1, validation_windows: 2, final_validation_windows: 2,
          final_validation_draws: 2, regularisers: {regularisers}}}
  sample: {{pieces: 3, {sampler}}}
axes: {{arm: [{arm}]}}
seeds: [0]
measure: {{quality: {{threads: 1}}}}
"""


def planned(folder: Path, corpus: Path, objective: str, sampler: str, **more: str) -> Plan:
    given = {"stride": "1", "kernel": "null", "block": "", "arm": "M(bidirectional)FA", "regularisers": "none"} | more
    file = folder / "study.yaml"
    file.write_text(STUDY.format(corpus=corpus, objective=objective, sampler=sampler, **given))
    return make_plan(load_study(file))


def measured(folder: Path, corpus: Path, objective: str, sampler: str, **more: str):
    """Rows by metric of the one quality cell, its vectors and the plan."""
    plan = planned(folder, corpus, objective, sampler, **more)
    (cell,) = [cell for cell in plan.cells if cell.kind == "quality"]
    place = folder / "results" / "tiny" / cell.id
    place.mkdir(parents=True)
    rows = {row["metric"]: row for row in measure_quality(cell.settings, place, lambda **event: None)}
    return rows, read_vectors(place), plan


def test_an_autoregressive_cell_has_exact_figures_of_its_causal_twin(tmp_path: Path, dichterliebe: Path) -> None:
    rows, vectors, plan = measured(tmp_path, dichterliebe, "autoregressive", "sampler: autoregressive")
    assert "M(bidirectional)FA: MFA(causal), the causal twin of M(bidirectional)FA" in plan.notes
    (cell,) = [cell for cell in plan.cells if cell.kind == "quality"]
    assert cell.labels["pattern"] == "MFA(causal)" and cell.labels["direction"] == "Mamba forward"
    whole, sampled = rows["bits_per_token"], rows["sampler_bits_per_token"]
    assert whole["definition"] == "exact -log2 p by the chain rule of the test side, float32 v2"
    assert {likelihood_kind(rows[name]["definition"]) for name in rows if "bits_per" in name} == {"exact"}
    assert whole["parts"] == {"half_width_over_masks": 0} and (sampled["n"], whole["n"]) == (32, 2)
    assert 4 < sampled["value"] < 10 and sampled["low"] < sampled["value"] < sampled["high"]
    nats = vectors[vectors["metric"] == "sampler_nats"]
    assert len(nats) == 32 and set(nats["tokens"]) == {32}
    assert (
        rows["drift_bits"]["definition"].startswith("objective autoregressive: ")
        and rows["piece_calls"]["value"] == 32
        and rows["token_entropy"]["nfe"] == 32
    )


def test_a_cell_of_blocks_has_a_bound_and_the_exact_figure_of_its_sampler(tmp_path: Path, dichterliebe: Path) -> None:
    more = {"block": ", block: 4", "stride": "2"}
    rows, _, plan = measured(tmp_path, dichterliebe, "block", "sampler: block, reveal: 2", **more)
    assert not any("twin" in note for note in plan.notes)
    bound, sampled = rows["bits_per_token"], rows["sampler_bits_per_token"]
    assert bound["definition"] == "count-form ELBO by blocks of 4 of the test side, float32 v2"
    assert likelihood_kind(bound["definition"]) == "bound"
    assert sampled["definition"].startswith("exact law of 2 tokens a call by blocks of 4: -log2 p of the test side")
    assert likelihood_kind(sampled["definition"]) == "exact" and 4 < sampled["value"] < 12
    assert rows["piece_calls"]["value"] == 8 * 2 + 7  # eight blocks, two tokens a call; the last commits nothing
    (cell,) = [cell for cell in plan.cells if cell.kind == "quality"]
    network = without_weights(config_of(cell.settings["model"]))
    drawn = sum(2 * network.extend_flops(4 * index, 4).total for index in range(8))
    committed = sum(network.extend_flops(4 * index, 4, head=False).total for index in range(7))
    assert rows["piece_gflops"]["value"] == pytest.approx((drawn + committed) / 1e9)
    alone = rows["piece_time"]
    assert alone["n"] == 3 and 0 < alone["low"] <= alone["value"] <= alone["high"]
    assert rows["piece_time_together"]["n"] == 3 and rows["piece_time_together"]["value"] > 0
    assert cell.labels["process"] == "block 4"


def test_plans_count_the_targets_and_both_streams_of_a_training(tmp_path: Path, dichterliebe: Path) -> None:
    block = planned(tmp_path, dichterliebe, "block", "sampler: block", block=", block: 4", arm="AF")
    ahead = planned(tmp_path, dichterliebe, "autoregressive", "sampler: autoregressive", arm="AF")
    (one,), (other,) = training_costs(block.cells), training_costs(ahead.cells)
    assert (one.process, one.steps, one.tokens, one.supervised) == ("block 4", 4, 512, 320)  # 5 of 8 tokens
    assert (other.process, other.tokens, other.supervised) == ("autoregressive", 512, 512)
    assert 1.4 < one.flops / other.flops < 2.2


REFUSED = [
    (
        "block",
        "block: 6",
        "sampler: block",
        {"stride": "4"},
        "diffusion: arm 'MF': block: 6 tokens do not divide a length",
    ),
    (
        "block",
        "block: 2",
        "sampler: block",
        {"stride": "4"},
        "block: 2 tokens is not a multiple of the stem's stride 4",
    ),
    (
        "block",
        "block: 8",
        "sampler: block",
        {"stride": "4", "kernel": "8"},
        "kernel 8 of the stem reads tokens of later",
    ),
    ("block", "block: 8", "sampler: block", {"arm": "HF"}, r"mixer \[hyena\] has no finite state"),
    ("block", "", "sampler: block", {}, "diffusion: block: no block with objective block; allowed: a block with"),
    ("absorbing", "block: 8", "steps: 4", {}, "block: a block of 8 tokens with objective absorbing; allowed: a block"),
    ("block", "block: 8", "sampler: block", {"regularisers": "pitch=1"}, "regularisers: pitch=1 with objective block"),
    ("block", "block: 8, schedule: multi-scale", "sampler: block", {}, "objective: block with schedule multi-scale"),
    (
        "block",
        "block: 8",
        "steps: 4",
        {},
        "sampler: 'cached' does not follow a process of objective block; allowed: block",
    ),
    ("autoregressive", "", "sampler: autoregressive", {"stride": "4"}, "with the stem's stride 4; allowed: stride 1"),
    (
        "autoregressive",
        "",
        "sampler: autoregressive",
        {"arm": "mamba-vim"},
        r"twin M\(separate\)F\*12 has \S+ parameters",
    ),
]


@pytest.mark.parametrize(("objective", "block", "sampler", "more", "words"), REFUSED)
def test_plans_refuse_what_a_run_could_not_do(
    objective: str, block: str, sampler: str, more: dict, words: str, tmp_path: Path, dichterliebe: Path
) -> None:
    with pytest.raises(UserError, match=words) as error:
        planned(
            tmp_path, dichterliebe, objective, sampler, **({"arm": "MF", "block": f", {block}" * bool(block)} | more)
        )
    assert "\n" not in str(error.value)


def test_no_constraint_changes_no_law_and_one_block_has_a_reason_of_its_own() -> None:
    process = BlockDiffusion(1, 0, block=4)
    assert unknown_law(process, {"constraints": "none"}, 8) == ""
    assert unknown_law(process, {"constraints": "scale"}, 8).startswith("sample.constraints changes the law")
    assert unknown_law(process, {}, 4) == "one block of 4 tokens is the whole piece; the bound stands alone"


def test_flops_of_a_network_that_cannot_be_counted_have_a_reason() -> None:
    settings = {"diffusion": {"objective": "autoregressive"}, "sample": {"sampler": "autoregressive", "steps": 8}}
    network = SimpleNamespace(uncounted="[fla.x] counts no FLOPs", state_size=lambda length: 0.0)
    row = gflops_row(network, settings, 8)
    assert math.isnan(row["value"]) and row["reason"] == "[fla.x] counts no FLOPs"
