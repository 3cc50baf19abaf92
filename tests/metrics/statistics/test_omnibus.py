"""The permutation test of all arms: arrangements counted on paper and one by one."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from metrics.statistics.omnibus import omnibus


def test_four_arms_and_three_seeds_have_576_arrangements():
    ordered = {name: {0: i + 0.1, 1: 2 * i + 0.7, 2: 10.0 * i} for i, name in enumerate("abcd")}
    found = omnibus(ordered)
    # the same order in every seed gives the largest statistic; its mirror image is another arrangement of all seeds,
    # which is the same one once the first seed stays in place
    assert (found.arrangements, found.exact, found.p_value) == (576, True, pytest.approx(1 / 576))


def test_two_arms_are_the_sign_flip_test():
    # differences 1, 2, -4: |sum| of 1 is reached by all of the 4 patterns; -1, 2, 4: 5 by 2 of 4
    assert omnibus({"a": {0: 1.0, 1: 2.0, 2: -4.0}, "b": dict.fromkeys(range(3), 0.0)}).p_value == 1.0
    assert omnibus({"a": {0: -1.0, 1: 2.0, 2: 4.0}, "b": dict.fromkeys(range(3), 0.0)}).p_value == 0.5


def test_every_arrangement_is_counted():
    table = np.random.default_rng(1).normal(0, 1, (3, 3)).round(1)  # seeds, arms
    observed = np.var(table.sum(axis=0))
    orders = [list(itertools.permutations(row)) for row in table]
    hits = [np.var(np.sum(one, axis=0)) >= observed - 1e-9 for one in itertools.product(*orders)]
    found = omnibus({str(arm): dict(enumerate(table[:, arm])) for arm in range(3)})
    assert found.p_value == pytest.approx(np.mean(hits)) and found.arrangements == 36


def test_many_arrangements_are_sampled():
    generator = np.random.default_rng(2)
    values = {str(arm): dict(enumerate(generator.normal(0, 1, 5))) for arm in range(6)}
    found = omnibus(values)
    assert not found.exact and found.arrangements == 720**4 and found == omnibus(values)
    apart = {arm: {seed: value + 100 * int(arm) for seed, value in row.items()} for arm, row in values.items()}
    assert omnibus(apart).p_value == pytest.approx(1 / 20_001)


def test_equal_arms_have_small_p_as_rarely_as_p_says():
    generator = np.random.default_rng(3)
    found = [
        omnibus({str(arm): dict(enumerate(row)) for arm, row in enumerate(generator.exponential(size=(4, 3)))}).p_value
        for _ in range(1500)
    ]
    assert np.mean(np.array(found) <= 0.05) == pytest.approx(0.05, abs=0.017)


def test_too_little_to_permute():
    assert math.isnan(omnibus({"a": {0: 1.0}, "b": {0: 2.0}}).p_value) and math.isnan(omnibus({}).p_value)
    assert math.isnan(omnibus({"a": {0: 1.0, 1: 2.0}, "b": {0: math.nan, 1: 2.0}}).p_value)
