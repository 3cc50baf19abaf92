"""Paired tests: p values counted on paper, Holm's correction."""

from __future__ import annotations

import math

import numpy as np
import pytest

from metrics.statistics.comparison import holm, paired_difference, sign_flip_p_value, smallest_p_value


def test_all_differences_of_one_sign_give_the_smallest_p():
    assert sign_flip_p_value([1.0, 2.0, 3.0]) == 0.25 == smallest_p_value(3)
    assert smallest_p_value(2) == 0.5 and smallest_p_value(10) == pytest.approx(0.001953125)


def test_sign_flip_counted_on_paper():
    # sums of +-1 +-2 +-4 that reach |1 + 2 - 4| = 1 in size: all eight; |-1 + 2 + 4| = 5: 5, 7 and their negatives
    assert sign_flip_p_value([1.0, 2.0, -4.0]) == 1.0
    assert sign_flip_p_value([-1.0, 2.0, 4.0]) == 0.5


def test_ties_from_rounding_count_as_ties():
    # 0.1 + 0.2 and 0.3 differ in the last bit; on paper both patterns below reach the observed sum
    assert sign_flip_p_value([0.1, 0.2, -0.3]) == 1.0


def test_many_pairs_are_sampled_and_agree_with_the_normal_limit():
    values = np.random.default_rng(1).normal(0.1, 1.0, 200)
    z = values.sum() / math.sqrt((values**2).sum())
    assert sign_flip_p_value(values) == pytest.approx(math.erfc(z / math.sqrt(2)), rel=0.05)


def test_seeds_are_paired_by_key():
    pair = paired_difference({1: 5.0, 2: 6.0, 9: 0.0}, {2: 4.0, 1: 4.0, 7: 1.0})
    assert pair.difference.value == 1.5 and pair.difference.n == 2


def test_nothing_in_common_has_no_p_value():
    assert math.isnan(paired_difference({1: 1.0}, {2: 1.0}).p_value)


def test_unpaired_input_is_refused():
    with pytest.raises(ValueError, match="3 and 2"):
        paired_difference([1, 2, 3], [1, 2])
    with pytest.raises(ValueError, match="one of each"):
        paired_difference({1: 1.0}, [1.0])


def test_holm_on_paper():
    # sorted 0.01, 0.02, 0.04 times 3, 2, 1, then made monotone
    assert holm([0.04, 0.01, 0.02]) == pytest.approx([0.04, 0.03, 0.04])
    assert holm([0.6, 0.9]) == pytest.approx([1.0, 1.0])


def test_holm_leaves_missing_tests_out_of_the_family():
    adjusted = holm([0.02, math.nan, 0.03])
    assert math.isnan(adjusted[1]) and adjusted[0] == pytest.approx(0.04) and adjusted[2] == pytest.approx(0.04)
