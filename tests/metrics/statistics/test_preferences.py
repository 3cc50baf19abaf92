"""Bradley-Terry strengths: closed forms, agreement, intervals and planned listeners by simulation."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from scipy import stats

from metrics.statistics.planning import MOST
from metrics.statistics.preferences import (
    Preferences,
    agreement,
    fit_strengths,
    listeners_needed,
    listeners_planned,
)


def answers(rows, systems=2):
    """Rows of preferred system, other system, listener; every sample is new."""
    better, worse, listener = np.array(rows).T
    samples = np.arange(2 * len(rows)).reshape(-1, 2)
    return Preferences(systems, better, worse, listener, samples)


def test_two_systems_in_closed_form():
    # 30 of 40 with half an answer more on either side: log(30.5 / 10.5)
    found = fit_strengths(np.array([[[0, 30], [10, 0]]]))[0]
    assert found[0] - found[1] == pytest.approx(1.0664, abs=1e-4)
    assert found.sum() == pytest.approx(0)


def test_a_system_that_is_always_preferred_has_a_finite_strength():
    found = fit_strengths(np.array([[[0, 12], [0, 0]]]))[0]
    assert found[0] - found[1] == pytest.approx(math.log(12.5 / 0.5))


def test_three_systems_whose_odds_multiply():
    # odds 2 of the first against the second and of the second against the third, 4 of the first against the third;
    # of a million answers a pair the third of an answer more does not show
    wins = np.array([[0, 2 / 3, 4 / 5], [1 / 3, 0, 2 / 3], [1 / 5, 1 / 3, 0]]) * 1e6
    found = fit_strengths(wins[None])[0]
    assert [high - low for high, low in pairwise(found)] == pytest.approx([math.log(2)] * 2, abs=1e-5)


def test_the_interval_is_that_of_the_listeners():
    # half of the listeners always chose the first, half in 2 of 4: 30 of 40, and listeners differ by more than chance
    apart = answers([(0, 1, n) if n % 2 or k > 1 else (1, 0, n) for n in range(10) for k in range(4)])
    interval = apart.interval(0, 1)
    assert interval.value == pytest.approx(math.log(30.5 / 10.5))
    # share of a listener 1 or 1/2: standard error 0.25 / sqrt(9), over p (1 - p) for log odds, and t with 9 degrees
    assert interval.half_width == pytest.approx(2.262 * 0.25 / 3 / (0.75 * 0.25), rel=0.05)


def test_listeners_who_all_agree_prove_no_more_than_their_answers():
    # every listener chose the first in 3 of 4: the error is that of 40 independent answers
    same = answers([(0, 1, n) if k else (1, 0, n) for n in range(10) for k in range(4)])
    chance = 30.5 / 41
    assert same.interval(0, 1).half_width == pytest.approx(2.262 / math.sqrt(41 * chance * (1 - chance)), rel=1e-3)
    assert answers([(0, 1, n) for n in (0, 0, 0, 0, 1, 1, 1, 1)]).p_value(0, 1) > 0.1


THREE_OF_FOUR = [(int(k >= 3), int(k < 3), n) for n in range(12) for k in range(4)]
"""Twelve listeners who choose the first system in three of four trials."""


def of_few_samples() -> Preferences:
    """The same answers, all on four samples of each system."""
    few = answers(THREE_OF_FOUR)
    few.samples[:] = [(k, 4 + k) if k < 3 else (4 + k, k) for _ in range(12) for k in range(4)]
    return few


def test_copies_of_few_samples_widen_the_interval():
    few, many = of_few_samples(), answers(THREE_OF_FOUR)
    assert few.interval(0, 1).half_width > 3 * many.interval(0, 1).half_width
    assert few.p_value(1, 0) > 0.05 > 0.01 > many.p_value(1, 0)


def test_one_listener_has_no_interval():
    alone = answers([(0, 1, 0), (0, 1, 0), (1, 0, 0)])
    assert math.isnan(alone.interval(0, 1).low) and alone.interval(0, 1).reason
    assert math.isnan(alone.p_value(0, 1))


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([(0, 1, 0), (0, 1, 1), (0, 1, 2)], 1.0),
        ([(0, 1, 0), (1, 0, 1)], -1.0),
        ([(0, 1, 0), (0, 1, 1), (1, 0, 2)], -1 / 3),  # one of three pairs of answers agrees
        ([(0, 1, 0), (0, 1, 0)], math.nan),  # answers of one listener are no agreement
    ],
)
def test_agreement_counts_pairs_of_answers_of_two_listeners(rows, expected):
    assert agreement(answers(rows)) == pytest.approx(expected, nan_ok=True)


def test_intervals_cover_where_listeners_differ():
    generator = np.random.default_rng(0)
    inside = 0
    for _ in range(100):  # equal systems; each listener has log odds of its own, standard deviation 0.8
        chance = 1 / (1 + np.exp(-generator.normal(0, 0.8, (12, 1))))
        first = generator.random((12, 8)) < chance
        found = answers([(0, 1, n) if one else (1, 0, n) for n, row in enumerate(first) for one in row])
        inside += not found.interval(0, 1).excludes(0)
    assert inside >= stats.binom.ppf(0.001, 100, 0.95)


def test_planned_listeners_decide_seventy_to_thirty():
    # two systems, 16 answers of a listener: (1.96 + 0.84)^2 (1 / (16 * 0.21) + 2 * 0.25) / 0.847^2 = 8.7 by the normal
    # distribution, and Student's t needs more
    assert listeners_planned(7 / 3, 2, 16, 1) == 11
    assert listeners_planned(7 / 3, 5, 16, 10) > listeners_planned(7 / 3, 5, 16, 1) > listeners_planned(7 / 3, 2, 16, 1)


def test_needed_listeners_have_the_power_of_a_t_test():
    # one sample t test, effect 0.5: 34 (Cohen 1988, table 2.4.1 for dependent samples)
    assert listeners_needed(0.5, 1.0) == 34
    assert listeners_needed(0.0, 1.0) == MOST
    assert listeners_needed(100.0, 1.0) == 2


def test_more_listeners_leave_the_error_of_the_samples():
    # by the normal distribution 1 / ((0.5 / 2.80) ** 2 - 0.1 ** 2) = 45.7; by Student's t of 48 degrees, 2.0106, a
    # shift of 0.5 / sqrt(1 / 49 + 0.01) = 2.867 is above 2.0106 with chance 0.80, of 47 degrees one of 2.848 is not
    assert listeners_needed(0.5, 1.0, fixed=0.1) == 49
    assert listeners_needed(0.5, 1.0, fixed=0.2) == MOST  # 0.5 / 0.2 is under 2.80
    assert listeners_needed(0.5, 0.0, fixed=0.2) == MOST and listeners_needed(0.5, 1.0, fixed=math.nan) == MOST


def test_the_error_has_a_part_of_listeners_and_one_of_samples():
    few = of_few_samples()
    of_listeners, of_samples = few.errors(0, 1)
    assert few.error(0, 1) == pytest.approx(math.hypot(of_listeners, of_samples))
    assert of_samples > 2 * of_listeners
