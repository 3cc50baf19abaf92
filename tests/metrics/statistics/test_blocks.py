"""The block model: figures counted on paper, missing seeds, unequal spreads."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from metrics.statistics.blocks import BlockModel
from metrics.statistics.simultaneous import shared_rate

# errors by hand: arm means 1, 4, 4; seed means 2, 3, 4; grand mean 3
PAPER = {"a": {0: 0.0, 1: 1.0, 2: 2.0}, "b": {0: 4.0, 1: 3.0, 2: 5.0}, "c": {0: 2.0, 1: 5.0, 2: 5.0}}


def table(arms, seeds, generator, spread=1.0):
    luck = generator.normal(0, 5, seeds)
    return {f"arm{i}": dict(enumerate(luck + generator.normal(0, spread, seeds))) for i in range(arms)}


def test_the_model_on_paper():
    model = BlockModel.fit(PAPER)
    # residuals a: 0 0 0; b: 1 -1 0; c: -1 1 0, so 4 over (3 - 1)(3 - 1) = 4 degrees
    assert model.sigma == pytest.approx(1.0) and model.freedom == 4 and model.full and model.note == ""
    assert model.means == pytest.approx({"a": 1.0, "b": 4.0, "c": 4.0})
    found = model.against("a")["b"]
    assert found.value == 3.0 and found.standard_error == pytest.approx(math.sqrt(2 / 3)) and found.seeds == 3
    assert found.by_seed == (4.0, 2.0, 3.0) and found.components.seed == pytest.approx(2.0)
    # Dunnett's critical value of 3 arms at 4 degrees, 0.0426 of the 0.05 for both families: 3.494
    assert found.interval.high - 3.0 == pytest.approx(3.4938 * math.sqrt(2 / 3), abs=0.02)


def test_the_intervals_are_dunnetts_and_tukeys_at_the_shared_rate():
    model = BlockModel.fit(PAPER)
    rate = 0.05 * shared_rate(3, 4)
    tukey = stats.studentized_range.isf(rate, 3, 4) / math.sqrt(2)
    assert model.pairs()["a", "b"].interval.half_width == pytest.approx(tukey * math.sqrt(2 / 3), rel=1e-6)
    shape, half = [[1, 0.5], [0.5, 1]], model.against("a")["b"].interval.half_width
    size = np.full(2, half / math.sqrt(2 / 3))
    covered = stats.multivariate_t.cdf(size, shape=shape, df=4, lower_limit=-size, random_state=1, maxpts=200_000)
    assert covered == pytest.approx(1 - rate, abs=2e-5)


def test_two_arms_are_the_paired_t_test():
    generator = np.random.default_rng(1)
    values = table(2, 5, generator)
    model = BlockModel.fit(values)
    found = model.against("arm0")["arm1"]
    expected = stats.ttest_rel(list(values["arm1"].values()), list(values["arm0"].values()))
    assert found.p_value == pytest.approx(expected.pvalue) and found.freedom == 4
    low, high = expected.confidence_interval(0.95)
    assert (found.interval.low, found.interval.high) == pytest.approx((low, high))
    assert (found.paired.low, found.paired.high) == pytest.approx((low, high))
    other = model.pairs()["arm0", "arm1"]
    assert (-other.interval.high, -other.interval.low) == pytest.approx((low, high))
    assert other.reversed().interval == found.interval and other.reversed().by_seed == found.by_seed


def test_the_spread_is_pooled_over_arms():
    values = PAPER | {"b": {0: 4.0, 1: 4.0, 2: 4.0}, "a": {0: 1.0, 1: 1.0, 2: 1.0}}
    found = BlockModel.fit(values).pairs()["a", "b"]
    assert found.paired.half_width == 0.0 and found.interval.half_width > 1.0


def test_the_luck_of_a_seed_cancels():
    moved = {arm: {seed: value + 100 * seed for seed, value in row.items()} for arm, row in PAPER.items()}
    one, other = BlockModel.fit(PAPER).against("a")["c"], BlockModel.fit(moved).against("a")["c"]
    assert one.interval.low == pytest.approx(other.interval.low) and one.p_value == pytest.approx(other.p_value)


def test_missing_seeds_leave_each_pair_its_common_seeds():
    values = {"a": PAPER["a"] | {3: 9.0}, "b": PAPER["b"], "c": {0: 2.0, 2: 5.0, 3: math.nan}}
    model = BlockModel.fit(values)
    assert model.note == "b lacks seed 3; c lacks seed 1, 3" and not model.full
    # seed 3 stands alone: it is fitted exactly. 9 cells, 3 arms + 4 seeds - 1 parameters
    assert model.freedom == 9 - 6
    found = model.against("a")
    assert (found["b"].value, found["b"].seeds) == (3.0, 3) and (found["c"].value, found["c"].seeds) == (2.5, 2)
    assert found["c"].standard_error == pytest.approx(model.sigma)  # sqrt(2 / 2 seeds)


def test_a_full_table_and_least_squares_agree():
    values = table(4, 3, np.random.default_rng(2))
    lacking = {arm: dict(row) for arm, row in values.items()} | {"more": {7: 1.0}}  # a seed that one arm has alone
    assert BlockModel.fit(lacking).sigma == pytest.approx(BlockModel.fit(values).sigma)
    assert BlockModel.fit(lacking).freedom == 6
    nothing = BlockModel.fit(lacking).against("more")["arm0"]
    assert nothing.interval.reason == "no seed in common" and math.isnan(nothing.value) and math.isnan(nothing.p_value)


def test_one_seed_has_no_interval():
    found = BlockModel.fit({"a": {0: 1.0}, "b": {0: 3.0}}).against("a")["b"]
    assert found.value == 2.0 and math.isnan(found.interval.low) and found.interval.reason == "one seed has no interval"


def test_equal_values_differ_by_nothing():
    found = BlockModel.fit({"a": {0: 0.1, 1: 0.3}, "b": {0: 0.1, 1: 0.3}, "c": {0: 0.2, 1: 0.4}}).pairs()
    assert (found["a", "b"].interval.low, found["a", "b"].interval.high, found["a", "b"].p_value) == (0, 0, 1)
    assert found["a", "c"].interval.half_width == 0 and found["a", "c"].p_value == 0


@pytest.mark.parametrize(("wide", "named"), [(10.0, "arm2"), (1.0, "")])
def test_an_arm_that_spreads_widely_is_named(wide, named):
    generator = np.random.default_rng(3)
    values = table(5, 8, generator)
    values["arm2"] = {seed: value + generator.normal(0, wide) - 0.0 for seed, value in values["arm2"].items()}
    assert BlockModel.fit(values).unequal_spread == named


def test_two_arms_or_two_seeds_show_no_unequal_spread():
    assert BlockModel.fit({"a": {0: 0.0, 1: 0.0, 2: 0.0}, "b": {0: 0.0, 1: 9.0, 2: 1.0}}).unequal_spread == ""
    assert BlockModel.fit({name: {0: 0.0, 1: float(ord(name))} for name in "abcd"}).unequal_spread == ""


def test_contrasts_are_means_of_arms():
    model = BlockModel.fit(PAPER)
    found = model.contrast(["b", "c"], ["a"], comparisons=2)
    assert found.value == 3.0 and found.standard_error == pytest.approx(math.sqrt(1.5 / 3))
    half = stats.t.isf(0.025 / 2, 4) * math.sqrt(1.5 / 3)
    assert found.interval.half_width == pytest.approx(half) and found.first == "b + c"
    with pytest.raises(ValueError, match="different arms out of a, b, c"):
        model.contrast(["a"], ["a"])


def test_log_times_have_a_ratio():
    times = {"slow": {0: math.log(2.0), 1: math.log(4.0)}, "fast": {0: math.log(1.0), 1: math.log(2.0)}}
    ratio = BlockModel.fit(times).against("fast")["slow"].ratio()
    assert (ratio.value, ratio.low, ratio.high) == pytest.approx((2.0, 2.0, 2.0))


def test_nothing_to_compare_is_refused():
    with pytest.raises(ValueError, match="no arm has a finite value"):
        BlockModel.fit({"a": {0: math.nan}})
    with pytest.raises(ValueError, match="allowed: a, b, c"):
        BlockModel.fit(PAPER).against("d")
