"""Citing, ablation sentences, growth with length, and two studies side by side."""

from __future__ import annotations

import math

import pandas as pd
import pytest
from scipy import stats

from bench.errors import UserError
from bench.report.analysis.changes import changes
from bench.report.analysis.effects import effects, factors
from bench.report.pages.citing import citation, find_table
from bench.report.pages.content import all_tables
from bench.report.tables.ablation import ablation_tables, interaction_words
from bench.report.tables.changes import change_tables, differing_settings
from bench.report.tables.growth import scaling_table


def test_a_figure_is_traced_to_its_cells(frame, tmp_path):
    table = find_table(all_tables(frame, tmp_path), "quality")
    lines = citation(frame, table, "smdim", "OA mean")
    assert lines[1] == "smdim, OA mean: 0.790 [0.663, 0.917]"
    assert lines[2].startswith("1. cell_id quality-smdim-0, seed 0, value 0.78")
    assert lines[3].startswith("2. cell_id quality-smdim-1, seed 1, value 0.8")
    assert len(lines) == 4


def test_a_cost_is_traced_at_its_own_length(frame, tmp_path):
    table = find_table(all_tables(frame, tmp_path), "cost_step_latency")
    lines = citation(frame, table, "mamba", "L = 512")
    assert len(lines) == 3 and "value 24.0" in lines[2] and "kernel scan=numba" in lines[2]
    assert "(oom: 14.2 GiB asked" in citation(frame, table, "fam", "L = 2048")[1]


def test_places_without_a_figure_and_unknown_tables_are_named(frame, tmp_path):
    tables = all_tables(frame, tmp_path)
    with pytest.raises(UserError, match="tables are summary, efficiency, quality, differences, ranks"):
        find_table(tables, "speed")
    with pytest.raises(UserError, match="MFA\\*4, no measurement"):
        citation(frame, find_table(tables, "quality"), "smdim", "pattern")


@pytest.mark.parametrize(
    ("axes", "pattern", "expected"),
    [
        (
            "",
            "MFA*4",
            {"place of attention": "late", "Mamba layers": "4", "cycle": "AMF*4", "direction": "forward"},
        ),
        ("model.stride=2", "MAF*4", {"edges (first to last layer)": "M to F", "axis stride": "2"}),
        ("", "AMFMFM*2", {"place of attention": "early", "Mamba layers": "6"}),
        ("", "A2(MF)2", {"place of attention": "early", "cycle": "none", "Mamba layers": "2"}),
        ("", "AF*6", {"Mamba in the block": "without", "Mamba layers": "0"}),
        ("train.steps=9\nsample.steps=8", "AF*6", {"axis train.steps": "9", "axis sample.steps": "8"}),
    ],
)
def test_factors_of_a_pattern(axes, pattern, expected):
    assert expected.items() <= factors(axes, pattern, "forward").items()


def test_main_effect_is_the_paired_difference_of_level_means(varied):
    first = varied[(varied["sample_steps"] != 32).fillna(True)]
    found = {(one.factor, one.level, one.compared.quantity.name): one for one in effects(first)}
    late = found["place of attention", "late", "kernel_distance"]
    # smdim 0.12, 0.10 against the mean of maf (+0.02) and afm (-0.03): 0.115, 0.095; fam has no figure
    assert (late.arms, late.against) == (("smdim",), ("maf", "afm"))
    assert late.difference.value == pytest.approx(0.005) and late.difference.seeds == 2
    # from the model of all five arms, 4 degrees of freedom, one of 15 effects on this metric at 97.5 %
    asked = [key for key in found if key[2] == "kernel_distance"]
    sigma = late.compared.block.sigma
    half = stats.t.isf(0.025 / 2 / len(asked), 4) * sigma * math.sqrt((1 + 1 / 2) / 2)
    assert late.compared.block.freedom == 4
    assert late.difference.interval.high == pytest.approx(0.005 + half)
    assert late.verdict.word == "open"


def test_effects_have_the_verdicts_of_the_differences(frame):
    (table,) = ablation_tables(frame)
    words = {row[0].text: row[-1].text for row in table.rows}
    attention = words["attention in the block: with (Kernel distance)"]
    assert ": open (2 seeds): " in attention and "2 against 1 arms, 2 seeds" in attention
    assert ablation_tables(frame[frame["kind"] == "efficiency"]) == []
    third = frame[(frame["kind"] == "quality") & (frame["seed"] == 0)]
    third = third.assign(seed=2, cell_id=third["cell_id"] + "-2", value=third["value"] + 0.01)
    apart = pd.concat([frame, third], ignore_index=True)
    transformer = (apart["arm"] == "transformer") & (apart["metric"] == "bits_per_token")
    apart.loc[transformer, "value"] -= 5
    (table,) = ablation_tables(apart)
    words = {row[0].text: row for row in table.rows}
    effect = words["Mamba in the block: with (Test)"]
    assert effect[2].text == "worse" and effect[1].low > 4
    assert "Mamba in the block: with against without: Test is 5.1" in effect[-1].text


def test_interaction_of_place_and_depth():
    patterns = {"a": "AMF*2", "b": "MFA*2", "c": "AMF*4", "d": "MFA*4"}
    bits = {"a": 5.0, "b": 4.9, "c": 4.5, "d": 4.0}  # late gains 0.1 at two blocks and 0.5 at four
    rows = [
        {"cell_id": f"{arm}{seed}", "kind": "quality", "arm": arm, "pattern": patterns[arm], "seed": seed}
        | {"metric": "bits_per_token", "value": bits[arm] + seed}
        for arm in patterns
        for seed in (0, 1)
    ]
    from bench.report.rows.frame import as_frame

    (sentence,) = interaction_words(as_frame(pd.DataFrame(rows)))
    assert "4 against 2 blocks" in sentence and "changes by -0.400 (" in sentence


def test_growth_table_gives_exponents_and_meeting_lengths(frame):
    (table,) = scaling_table(frame, None, "transformer")
    row = table.entry("transformer: Forward pass", "exponent")
    assert row.value == pytest.approx(1.4) and row.text == "1.40 [1.40, 1.40]"
    last = table.columns[-1]
    assert table.entry("mamba: Forward pass", last).text == "not reached from 256 to 2048: mamba is cheaper"


def test_two_runs_side_by_side(frame):
    slower = frame.copy()
    larger = (slower["arm"] == "mamba") & slower["metric"].isin(["peak_memory_inference", "forward_gflops"])
    slower.loc[larger, ["value", "low", "high"]] *= 1.5
    slower["version"] = "study=2"
    assert differing_settings(frame, slower) == [("versions", "study=1", "study=2")]
    verdicts = {(c.first.arm, c.first.metric, c.first.length): c.verdict for c in changes(frame, slower)}
    assert verdicts["mamba", "peak_memory_inference", 256] == verdicts["mamba", "forward_gflops", 256] == "worse"
    assert verdicts["smdim", "peak_memory_inference", 256] == "open: the intervals meet"
    assert verdicts["smdim", "forward_gflops", 256] == "same"
    assert verdicts["smdim", "step_latency", 256] == "open (one process per arm): 3 replicates would decide"
    assert verdicts["smdim", "kernel_distance", 512].startswith("open (2 seeds)")
    assert verdicts["smdim", "oa_mean", 512] == "not compared: no primary metric"
    settings, table = change_tables(frame, slower, ("old", "new"))
    assert settings.columns == ("setting", "old", "new") and "new against old" in table.columns


def test_figures_of_two_versions_of_a_definition_are_not_compared(frame):
    older = frame.copy()
    names = {"peak_memory_inference": "peak growth over the process v2", "kernel_distance": "90-features v1, one draw"}
    older["definition"] = older["metric"].map(names).fillna(older["definition"])
    newer = older.copy()
    newer["definition"] = newer["definition"].replace(
        {text: text.replace("v2", "v3").replace("v1", "v2") for text in names.values()}
    )
    before = {(c.first.arm, c.first.metric, c.first.length): c.verdict for c in changes(frame, frame)}
    found = {(c.first.arm, c.first.metric, c.first.length): c.verdict for c in changes(older, newer)}
    assert found["smdim", "peak_memory_inference", 256] == "not compared: definition v2 and v3"
    assert found["smdim", "kernel_distance", 512] == "not compared: definition v1 and v2"
    rest = {key for key in before if key[1] not in {*names, "bits_per_token"}}  # whose level is that of one score less
    assert rest and all(found[key] == before[key] for key in rest)
    forced = {(c.first.arm, c.first.metric, c.first.length): c for c in changes(older, newer, force=True)}
    assert forced["smdim", "peak_memory_inference", 256].forced
    assert not forced["smdim", "forward_gflops", 256].forced


def test_different_kernels_are_refused_unless_forced_and_then_marked(frame):
    other = frame.copy()
    other.loc[other["kernel"] == "scan=numba", "kernel"] = "scan=torch"
    found = next(c for c in changes(frame, other) if (c.first.arm, c.first.metric) == ("smdim", "step_latency"))
    assert found.verdict == "not compared: kernel scan=numba and scan=torch"
    tables = change_tables(frame, other, force=True)
    marked = [row[0].text for row in tables[-1].rows if row[0].mark == "*"]
    assert "smdim L=256" in marked and "transformer L=256" not in marked
    assert "--force" in tables[-1].notes[0]
