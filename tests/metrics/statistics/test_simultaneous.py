"""Critical values of families: against scipy's integrals, tables in print and simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from metrics.statistics.simultaneous import Family, shared_rate


@pytest.mark.parametrize(
    ("arms", "freedom", "printed"),
    # Dunnett (1964), table II: two-sided 5 %, comparisons = arms - 1
    [(4, 6, 3.10), (3, 10, 2.57), (10, 20, 2.95), (2, 5, 2.57), (6, 60, 2.58)],
)
def test_dunnett_as_in_print(arms, freedom, printed):
    assert Family("baseline", arms).critical(freedom) == pytest.approx(printed, abs=0.005)


@pytest.mark.parametrize(("arms", "freedom"), [(3, 2), (4, 6), (9, 16), (4, 3.7)])
def test_dunnett_is_the_multivariate_t(arms, freedom):
    shape = np.full((arms - 1, arms - 1), 0.5) + 0.5 * np.eye(arms - 1)
    size = np.full(arms - 1, Family("baseline", arms).critical(freedom))
    covered = stats.multivariate_t.cdf(size, shape=shape, df=freedom, lower_limit=-size, random_state=1, maxpts=200_000)
    assert covered == pytest.approx(0.95, abs=2e-5)


@pytest.mark.parametrize(("arms", "freedom"), [(3, 1), (3, 2), (4, 6), (9, 16), (4, 3.7)])
def test_tukey_is_the_studentized_range(arms, freedom):
    expected = stats.studentized_range.ppf(0.95, arms, freedom) / math.sqrt(2)
    assert Family("pairs", arms).critical(freedom) == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize("kind", ["baseline", "pairs", "chosen"])
def test_two_arms_are_students_t(kind):
    assert Family(kind, 2).critical(2) == pytest.approx(4.302653, abs=1e-6)
    assert Family(kind, 2).p_value(4.302653, 2) == pytest.approx(0.05, abs=1e-7)


def test_chosen_comparisons_share_the_error_rate():
    assert Family("chosen", 5, 1 / 3).critical(6) == pytest.approx(stats.t.isf(0.05 / 6, 6))
    assert Family("chosen", 5, 1 / 3).p_value(2.5, 6) == pytest.approx(6 * stats.t.sf(2.5, 6))


@pytest.mark.parametrize("family", [Family("baseline", 4), Family("pairs", 5, 0.8), Family.together("baseline", 6, 10)])
def test_p_is_one_less_level_at_the_critical_value(family):
    assert family.p_value(family.critical(5.3, 0.9), 5.3) == pytest.approx(0.1, abs=1e-6)
    assert family.p_value(0.0, 5) == 1.0 and family.p_value(math.inf, 5) == 0.0


def test_no_freedom_no_critical_value():
    assert math.isnan(Family("pairs", 4).critical(0)) and math.isnan(Family("baseline", 1).critical(5))
    assert math.isnan(Family("pairs", 4).p_value(3.0, 0))


def test_many_degrees_are_interpolated_closely():
    family = Family.together("pairs", 9, 16)
    freedom = np.array([1.3, 2.0, 2.9, 7.77, 61.3, 4000.5, math.inf])
    expected = [family.critical(one) for one in freedom]
    assert family.criticals(freedom) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("arms", "freedom", "rate"), [(2, 5, 0.05), (3, 4, 0.0426), (4, 6, 0.0388), (9, 16, 0.0327)])
def test_baseline_and_pairs_hold_together(arms, freedom, rate):
    assert 0.05 * shared_rate(arms, freedom) == pytest.approx(rate, abs=1e-4)
    families = [Family.together(kind, arms, freedom).critical(freedom) for kind in ("baseline", "pairs")]
    generator, tables = np.random.default_rng(3), 200_000
    place = generator.standard_normal((tables, arms))
    scale = np.sqrt(2 * generator.chisquare(freedom, tables) / freedom)
    largest = np.abs(place[:, 1:] - place[:, :1]).max(axis=1), np.ptp(place, axis=1)
    missed = (largest[0] > families[0] * scale) | (largest[1] > families[1] * scale)
    assert missed.mean() == pytest.approx(0.05, abs=0.002)


def test_separate_families_miss_more_often_together():
    # the fault that `share` is there for: 4 arms at 6 degrees, each family at 5 %
    generator = np.random.default_rng(4)
    place = generator.standard_normal((200_000, 4))
    scale = np.sqrt(2 * generator.chisquare(6, 200_000) / 6)
    sizes = Family("baseline", 4).critical(6) * scale, Family("pairs", 4).critical(6) * scale
    missed = (np.abs(place[:, 1:] - place[:, :1]).max(axis=1) > sizes[0]) | (np.ptp(place, axis=1) > sizes[1])
    assert missed.mean() == pytest.approx(0.063, abs=0.002)


def test_a_level_that_is_none_is_refused():
    with pytest.raises(ValueError, match="between 0 and 1"):
        Family("pairs", 4).critical(5, 1.5)
