"""Tables of arms: false claims stay rare, real differences are found, few seeds are called few."""

from __future__ import annotations

import math

import numpy as np
import pytest

from metrics.statistics.power import minimum_detectable_effect, paired_power, seeds_needed
from metrics.statistics.ranking import best_arm, rank_arms


def table(seeds, shifts, generator):
    """Arms that share each seed's luck and have noise of standard deviation 1 of their own."""
    luck = generator.normal(0, 1, seeds)
    return {f"arm{i}": dict(enumerate(shift + luck + generator.normal(0, 1, seeds))) for i, shift in enumerate(shifts)}


def test_equal_arms_rarely_get_a_claim():
    generator = np.random.default_rng(0)
    claims = 0
    for _ in range(500):
        claims += best_arm(table(10, [0, 0, 0, 0], generator), better="higher").arm is not None
    assert claims / 500 <= 0.07


def test_bold_is_never_given_falsely_even_when_two_arms_tie_for_the_lead():
    generator = np.random.default_rng(1)
    bold = [best_arm(table(10, [3, 3, 0, 0], generator), better="higher").arm for _ in range(500)]
    assert np.mean([arm is not None for arm in bold]) <= 0.05


def test_a_planted_difference_is_found():
    generator = np.random.default_rng(2)
    named = 0
    for _ in range(200):
        planted = table(10, [0, 1.5 * math.sqrt(2)], generator)  # 1.5 sd of the paired differences
        named += best_arm(planted, better="higher").arm == "arm1"
    assert named / 200 >= 0.8


def test_lower_can_be_better():
    values = {
        "a": dict(enumerate([1.0, 1.1, 1.2, 1.3, 1.0, 1.1])),
        "b": dict(enumerate([2.0, 2.2, 2.1, 2.4, 2.0, 2.3])),
    }
    assert best_arm(values, better="lower").arm == "a"


def test_two_seeds_cannot_decide_anything():
    values = {"a": {0: 1.0, 1: 1.0}, "b": {0: 9.0, 1: 9.1}}
    assert best_arm(values, better="higher").reason == "cannot be decided with 2 seeds"


def test_arms_without_common_seeds_are_not_ranked():
    values = {"a": {0: 1.0, 1: 2.0}, "b": {7: 1.0}}
    with pytest.raises(ValueError, match="no seed that every arm"):
        rank_arms(values, better="higher")


def test_power_of_the_textbook_case():
    # Cohen: paired t test, d = 0.5, n = 34, two-sided 0.05 gives power 0.81
    assert paired_power(0.5, 1.0, 34) == pytest.approx(0.808, abs=0.002)
    assert seeds_needed(0.5, 1.0) == 34 and seeds_needed(5.0, 10.0) == 34
    assert minimum_detectable_effect(2.0, 34) == pytest.approx(2 * 0.4949, rel=0.01)


def test_power_stands_for_the_sign_flip_test_too():
    generator = np.random.default_rng(4)
    from metrics.statistics.comparison import sign_flip_p_value

    found = np.mean([sign_flip_p_value(generator.normal(1.0, 1.0, 10)) <= 0.05 for _ in range(400)])
    assert found == pytest.approx(paired_power(1.0, 1.0, 10), abs=0.06)


def test_effects_that_no_seeds_settle():
    assert seeds_needed(0.0, 1.0) is None and seeds_needed(1e-6, 1.0) is None
    assert seeds_needed(100.0, 1.0) == 6  # 2^(1-6) is the first p under 0.05
    assert minimum_detectable_effect(1.0, 5) == math.inf and paired_power(9.0, 1.0, 5) == 0.0
    assert minimum_detectable_effect(0.0, 6) == 0.0


def test_ranks_of_clear_and_of_equal_arms():
    generator = np.random.default_rng(5)
    clear = rank_arms(table(5, [0, 20, 40], generator), better="higher")
    assert [one.arm for one in clear] == ["arm2", "arm1", "arm0"]
    assert clear[0].probability_best > 0.999 and (clear[0].low_rank, clear[0].high_rank) == (1, 1)
    same = rank_arms({name: {0: 1.0, 1: 2.0, 2: 3.0} for name in "abcd"}, better="lower")
    assert [one.probability_best for one in same] == pytest.approx([0.25] * 4)


def test_one_seed_ranks_but_knows_nothing_of_chances():
    ranked = rank_arms({"a": {0: 1.0}, "b": {0: 2.0}}, better="lower")
    assert ranked[0].arm == "a" and math.isnan(ranked[0].probability_best)
    assert (ranked[0].low_rank, ranked[0].high_rank) == (1, 2)


def test_two_seeds_leave_ranks_open():
    generator = np.random.default_rng(6)
    leaders = [rank_arms(table(2, [0, 0], generator), better="higher")[0].probability_best for _ in range(300)]
    assert np.mean(np.array(leaders) > 0.975) <= 0.08


@pytest.mark.parametrize("call", [best_arm, rank_arms])
def test_a_direction_that_does_not_exist_is_refused(call):
    with pytest.raises(ValueError, match="higher, lower"):
        call({"a": {0: 1.0}}, better="up")
