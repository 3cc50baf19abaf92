"""Comparisons: verdicts at few seeds, no false "better" among equal arms, and a planted difference that is found."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from bench.report.analysis.comparisons import best_arms, comparisons, losses, verdict
from bench.report.rows.frame import as_frame
from bench.report.rows.summaries import Summaries, quality_summaries, reference_summaries
from bench.report.tables.comparisons import rank_tables
from metrics.headlines import PRIMARY
from metrics.quantities import quantity_of
from metrics.statistics.comparison import paired_difference

ARMS = ("transformer", "smdim", "mamba", "fam")


def study_of(values: np.ndarray) -> pd.DataFrame:
    """A table of quality rows from values (metric, arm, seed)."""
    rows = [
        {"cell_id": f"{arm}-{seed}", "kind": "quality", "arm": arm, "metric": metric, "seed": seed, "value": value}
        for metric, arms in zip(PRIMARY, values, strict=True)
        for arm, seeds in zip(ARMS, arms, strict=True)
        for seed, value in enumerate(seeds)
    ]
    return as_frame(pd.DataFrame(rows))


def shared_seeds(generator: np.random.Generator, seeds: int) -> np.ndarray:
    """Equal arms whose seeds share data and noise: a seed effect of sd 1 plus noise of sd 1/sqrt(2) an arm.

    So the difference of two arms on one seed has sd 1.
    """
    effect = generator.normal(size=(len(PRIMARY), 1, seeds))
    return effect + generator.normal(scale=np.sqrt(0.5), size=(len(PRIMARY), len(ARMS), seeds))


def called(frame: pd.DataFrame) -> bool:
    verdicts = {found.verdict for found in comparisons(frame, "transformer")}
    return bool(verdicts & {"better", "worse"}) or bool(best_arms(quality_summaries(frame), Summaries()))


def test_two_seeds_cannot_decide_and_say_so():
    values = np.array([[[5, 5.1], [1, 1.1], [3, 3.1], [4, 4.1]], [[0.1, 0.2], [0.8, 0.9], [0.3, 0.4], [0.2, 0.3]]])
    frame = study_of(values)
    found = comparisons(frame, "transformer")
    assert {one.verdict for one in found} == {"cannot be decided with 2 seeds"}
    assert {one.detectable for one in found} == {math.inf}
    assert best_arms(quality_summaries(frame), Summaries()) == {}


def test_ten_seeds_decide_a_large_difference_in_the_right_direction():
    generator = np.random.default_rng(0)
    values = shared_seeds(generator, 10)
    values[0, 1] -= 8  # smdim: fewer bits/token is better
    values[1, 2] -= 8  # mamba: less overlap is worse
    found = {(one.arm, one.metric): one.verdict for one in comparisons(study_of(values), "transformer")}
    assert found["smdim", PRIMARY[0]] == "better"
    assert found["mamba", PRIMARY[1]] == "worse"
    assert best_arms(quality_summaries(study_of(values)), Summaries()) == {PRIMARY[0]: "smdim"}


def test_differences_are_arm_minus_baseline_over_shared_seeds():
    values = np.zeros((2, 4, 3))
    values[0, 1] = [-1, -2, -3]
    values[0, 1, 2] = np.nan
    one = next(found for found in comparisons(study_of(values), "transformer") if found.arm == "smdim")
    assert (one.difference.value, one.difference.n) == (-1.5, 2)


def test_what_a_corrected_table_needs_in_seeds():
    # p = 2^(1-n): 6 seeds reach 0.05 alone, 6 comparisons need 0.05 / 6, which takes 8 seeds (2^-7 = 0.0078)
    generator = np.random.default_rng(3)
    for seeds, decided in ((7, False), (8, True)):
        values = shared_seeds(generator, seeds)
        values[0, 1:] -= 50
        values[1, 1:] += 50
        verdicts = {found.verdict for found in comparisons(study_of(values), "transformer")}
        assert verdicts == ({"better"} if decided else {"cannot be decided with 7 seeds"})


def test_arms_without_common_seeds_are_not_compared():
    values = np.zeros((2, 4, 3))
    values[:, 1, :2], values[:, 0, 2] = np.nan, np.nan
    found = {one.arm: one.verdict for one in comparisons(study_of(values), "transformer")}
    assert found["smdim"] == "not compared: no seed in common"


def nearest_frame(metric: str, ceiling: float | None) -> pd.DataFrame:
    """Ten seeds of two arms on one metric: "low" at 0, "high" at 1 on average, and the row of real music."""
    luck = np.random.default_rng(4).normal(scale=0.01, size=10)
    rows = [
        {"cell_id": f"{arm}-{seed}", "kind": "quality", "arm": arm, "metric": metric, "seed": seed, "value": at + one}
        for arm, at in (("low", 0.0), ("high", 1.0))
        for seed, one in enumerate(luck)
    ]
    if ceiling is not None:
        rows.append({"cell_id": "r", "kind": "reference", "arm": "real-vs-real", "metric": metric, "value": ceiling})
    return as_frame(pd.DataFrame(rows))


@pytest.mark.parametrize(("ceiling", "best"), [(0.2, "low"), (0.9, "high"), (None, None)])
def test_a_metric_that_is_best_near_real_music_ranks_by_the_distance(monkeypatch, ceiling, best):
    metric = "pitch_outliers_percentile"
    assert quantity_of(metric).better == "nearest"
    for module in ("bench.report.analysis.comparisons", "bench.report.tables.comparisons"):
        monkeypatch.setattr(f"{module}.PRIMARY", (metric,))
    frame = nearest_frame(metric, ceiling)
    found = best_arms(quality_summaries(frame), reference_summaries(frame))
    assert found == ({metric: best} if best else {})
    tables = rank_tables(frame)
    assert [row[0].text.split(":")[0] for table in tables for row in table.rows[:1]] == ([best] if best else [])
    if best:
        assert tables[0].rows[0][4].value == pytest.approx(float(best == "high"), abs=0.02)  # the mean, no distance


def test_a_metric_without_a_better_way_names_no_arm():
    frame = nearest_frame("novelty_longest_copy", 0.2)
    assert losses(quality_summaries(frame), reference_summaries(frame)) == {}


def test_only_metrics_with_a_better_way_of_their_own_are_primary():
    assert {quantity_of(metric).better for metric in PRIMARY} == {"lower", "higher"}


def test_without_the_baseline_nothing_is_compared():
    assert comparisons(study_of(np.zeros((2, 4, 3))), "gru") == []


def test_equal_arms_are_called_different_in_at_most_seven_percent_of_500_tables():
    generator = np.random.default_rng(20260)
    frame = study_of(np.zeros((2, 4, 10)))
    tables = (frame.assign(value=shared_seeds(generator, 10).ravel()) for _ in range(500))
    share = sum(called(table) for table in tables) / 500
    assert 0 < share <= 0.07


def test_a_difference_of_one_and_a_half_sd_is_found_at_ten_seeds():
    generator = np.random.default_rng(7)
    hits = 0
    for _ in range(100):
        values = shared_seeds(generator, 10)
        values[0, 1] -= 1.5
        hits += any(
            (one.arm, one.metric, one.verdict) == ("smdim", PRIMARY[0], "better")
            for one in comparisons(study_of(values), "transformer")
        )
    assert hits >= 80


def test_ranks_by_mean_with_chances_that_sum_to_one():
    values = shared_seeds(np.random.default_rng(3), 10)
    values[0, 2] -= 5
    (table,) = rank_tables(study_of(values))
    rows = [row for row in table.rows if "Validation" in row[0].text]
    assert [row[1].text for row in rows] == ["1", "2", "3", "4"] and rows[0][0].text.startswith("mamba")
    assert sum(row[3].value for row in rows) == pytest.approx(1)
    assert rows[0][2].text == "1 to 1" and rows[0][3].value > 0.999


def test_one_seed_gives_no_chance_of_being_best():
    (table,) = rank_tables(study_of(np.arange(8.0).reshape(2, 4, 1)))
    assert {row[3].text for row in table.rows} == {"n/a"}


def said(first, second, family: int = 1) -> str:
    pair = paired_difference(first, second)
    adjusted = min(1.0, family * pair.p_value)
    return verdict(pair.difference, adjusted, family, below="lower", above="higher")


def test_two_seeds_cannot_decide():
    assert said([10.0, 10.1], [0.0, 0.0]) == "cannot be decided with 2 seeds"


def test_six_seeds_decide_alone_but_not_among_ten_tests():
    better, worse = [2.0, 2.1, 2.2, 2.3, 2.4, 2.5], [1.0] * 6
    assert said(better, worse) == "higher"
    assert said(worse, better) == "lower"
    assert said(better, worse, family=10) == "cannot be decided with 6 seeds"


def test_no_difference_and_no_seed_in_common():
    assert said([1, 2, 1, 2, 1, 2], [2, 1, 2, 1, 2, 1]) == "no difference found"
    assert said({1: 1.0}, {2: 1.0}).startswith("not compared")
