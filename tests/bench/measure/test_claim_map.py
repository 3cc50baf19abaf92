"""The map of counted costs: depth follows from two blocks, matched arms are equal, and a missing stem shows."""

from __future__ import annotations

import pytest

from architectures import Backbone, count_parameters
from architectures.catalog import resolve
from bench.measure import claim_map as maps
from bench.measure.efficiency.memory import training_memory


@pytest.fixture(scope="module")
def rows():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(maps, "WIDTHS", (128, 256))
        patch.setattr(maps, "LAYERS", (6, 12))
        patch.setattr(maps, "STRIDES", (1, 4))
        found = maps.claim_map()
    return {(row["width"], row["layers"], row["stride"], row["matching"]): row for row in found}


def test_every_setting_is_there_and_the_shipped_grid_has_over_500(rows):
    assert len(rows) == 2 * 2 * 2 * 5
    assert len(maps.WIDTHS) * len(maps.LAYERS) * len(maps.STRIDES) * len(maps.MATCHINGS) >= 500


def test_depth_from_two_blocks_is_what_the_whole_backbone_costs(rows):
    row = rows[128, 12, 4, "layers"]
    counted = []
    for arm, depth in (("smdim", 4), ("transformer", 6)):
        config = resolve(arm, maps.VOCABULARY, width=128, stride=4, depth=depth)
        memory = [training_memory(config, 2048, 8, attention=kind).total_bytes for kind in ("fused", "unfused")]
        counted.append((count_parameters(Backbone(config)), Backbone(config).flops(2048).total, *memory))
    assert (row["parameters"], row["baseline_parameters"]) == (counted[0][0], counted[1][0])
    names = ("gflops_ratio", "training_memory_ratio", "unfused_training_memory_ratio")
    for index, name in enumerate(names, start=1):
        assert row[name] == pytest.approx(counted[0][index] / counted[1][index])


def test_arms_are_as_equal_as_their_matching_says(rows):
    for (_, layers, _, matching), row in rows.items():
        if matching == "parameters":
            assert row["parameters"] == pytest.approx(row["baseline_parameters"], rel=0.03)
        if matching == "flops":
            assert row["gflops_ratio"] == pytest.approx(1, abs=0.03)
        assert row["arm_layers"] == (layers * 3 // 2 if matching == "blocks" else layers)


def test_a_baseline_without_stem_costs_more_and_at_stride_1_there_is_none(rows):
    assert rows[128, 12, 1, "no stem"]["gflops_ratio"] == rows[128, 12, 1, "layers"]["gflops_ratio"]
    # four times the positions in every mixer, sixteen times the scores of attention
    assert rows[128, 12, 4, "no stem"]["gflops_ratio"] < rows[128, 12, 4, "layers"]["gflops_ratio"] / 4
    kept = rows[128, 12, 1, "layers"]
    assert kept["unfused_training_memory_ratio"] < kept["training_memory_ratio"]


def test_growth_is_between_linear_and_quadratic_and_less_behind_a_stem(rows):
    exponents = {stride: rows[128, 12, stride, "layers"]["flops_exponent"] for stride in (1, 4)}
    assert 1 < exponents[4] < exponents[1] < 2


def test_arms_that_cannot_be_matched_are_a_row_without_figures(monkeypatch):
    for name, values in (("WIDTHS", (16,)), ("LAYERS", (12,)), ("STRIDES", (1,)), ("TOLERANCE", 1e-9)):
        monkeypatch.setattr(maps, name, values)
    found = {row["matching"]: row["gflops_ratio"] for row in maps.claim_map()}
    assert found["flops"] != found["flops"] and found["layers"] < 1
