"""Signed-rank test and interval, Holm's steps, Krippendorff's alpha and the checks of a listener, by literals."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from scipy import stats

from metrics.statistics.ratings import Ratings, chance_of_guessing, holm, krippendorff_alpha, signed_rank

GAP = math.nan
RATERS = [  # Krippendorff (2011), "Computing Krippendorff's alpha-reliability", example D
    [1, 2, 3, 3, 2, 1, 4, 1, 2, GAP, GAP, GAP],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, GAP, 3],
    [GAP, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, GAP],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, GAP],
]


def test_six_listeners_who_agree():
    interval, p = signed_rank([1, 2, 3, 4, 5, 6])
    assert (interval.value, interval.low, interval.high) == (3.5, 1, 6)
    assert p == pytest.approx(2 / 64)


def test_five_listeners_have_a_p_value_and_no_interval():
    interval, p = signed_rank([1, 2, 3, 4, 5, math.nan])
    assert interval.value == 3 and math.isnan(interval.low) and interval.n == 5
    assert p == pytest.approx(2 / 32)


def test_ties_are_counted_exactly():
    # all signs of the ranks 1.5, 1.5, 3, 4, 5, 6, 7 with one zero left out
    ranks, observed = np.array([1.5, 1.5, 3.5, 3.5, 5, 6]), 1.5
    sums = [sum(rank for rank, sign in zip(ranks, signs, strict=True) if sign) for signs in product((0, 1), repeat=6)]
    expected = 2 * np.mean(np.array(sums) <= observed)
    assert signed_rank([-0.5, 0.5, 1, 1, 2, 3, 0])[1] == pytest.approx(expected)


@pytest.mark.parametrize("count", [7, 25])
def test_without_ties_it_is_the_exact_test_of_scipy(count):
    values = np.arange(1, count + 1) - 0.3 * count - 0.1
    assert signed_rank(values)[1] == pytest.approx(stats.wilcoxon(values, method="exact").pvalue)


def test_equal_ratings_differ_in_nothing():
    assert signed_rank([0.0] * 8)[1] == 1
    assert signed_rank([2.0])[1] == 1  # both signs of one difference
    assert math.isnan(signed_rank([math.nan])[1])


def rated(first, second, shifts=(0.5, -0.5, 0.5, -0.5)):
    """Each listener rates two samples of each of two systems; its shift is added to those of the first."""
    rows = [
        (value + shift * (system == 0), listener, system, 2 * system + number)
        for listener, shift in enumerate(shifts)
        for system, values in enumerate((first, second))
        for number, value in enumerate(values)
    ]
    rating, *numbers = np.array(rows).T
    return Ratings(2, rating, *(column.astype(int) for column in numbers))


def test_means_of_listeners_and_a_gap():
    found = rated((4, 2), (3, 3))
    assert found.means.tolist() == [[3.5, 3], [2.5, 3], [3.5, 3], [2.5, 3]]
    some = Ratings(2, *(column[:6] for column in (found.rating, found.listener, found.system, found.sample)))
    assert some.means[1].tolist() == [2.5, pytest.approx(math.nan, nan_ok=True)]


def test_samples_that_differ_widen_the_interval():
    # of the listeners 1/12; of the samples (64 - 68/7) / 64 and -(4/7) / 64, by hand
    assert rated((4, 2), (3, 3)).design_factor(0, 1) == pytest.approx(math.sqrt(155 / 14))
    assert rated((4, 2), (3, 3)).errors(0, 1) == pytest.approx((math.sqrt(1 / 12), math.sqrt(47 / 56)))
    assert rated((4, 2), (3, 3), (0.5,)).errors(0, 1) == pytest.approx((math.nan, math.nan), nan_ok=True)
    assert rated((4, 2), (3, 3), (0.5, 0.5)).errors(0, 1) == (0, 0)
    assert rated((3, 3), (3, 3)).design_factor(0, 1) == 1
    shifts = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0)
    (alike, p), (apart, p_apart) = (rated(first, (3, 3), shifts).compare(0, 1) for first in ((3, 3), (4, 2)))
    factor = rated((4, 2), (3, 3), shifts).design_factor(0, 1)
    assert apart.half_width == pytest.approx(factor * alike.half_width) and factor > 1
    assert p == pytest.approx(2 / 2**8) and p_apart > 0.05


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, math.nan]) == pytest.approx([0.03, 0.06, 0.06, math.nan], nan_ok=True)
    assert holm([0.6, 0.5]) == [1.0, 1.0]


def test_holm_holds_the_rate_of_false_calls():
    generator = np.random.default_rng(1)
    false = [min(holm(generator.random(10).tolist())) <= 0.05 for _ in range(2000)]
    assert np.mean(false) <= stats.binom.ppf(0.999, 2000, 0.05) / 2000
    assert np.mean(false) >= stats.binom.ppf(0.001, 2000, 1 - 0.995**10) / 2000


def test_alpha_of_the_published_example():
    assert krippendorff_alpha(RATERS) == pytest.approx(0.849, abs=5e-4)


def test_alpha_without_two_ratings_of_a_unit():
    assert math.isnan(krippendorff_alpha([[1, math.nan], [math.nan, 2]]))
    assert math.isnan(krippendorff_alpha([[3, 3], [3, 3]]))


@pytest.mark.parametrize(
    ("right", "checks", "expected"), [(8, 8, 1 / 256), (7, 8, 9 / 256), (6, 8, 37 / 256), (5, 5, 1 / 32), (0, 0, 1.0)]
)
def test_chance_of_guessing_by_enumeration(right, checks, expected):
    assert chance_of_guessing(right, checks) == pytest.approx(expected)
