"""Growth with length: exponents and crossings of known curves, intervals, and words where nothing crosses."""

from __future__ import annotations

import math

import numpy as np
import pytest

from metrics.statistics.scaling import crossover, growth_exponent, length_polynomial, local_slopes

LENGTHS = [256, 362, 512, 724, 1024, 1448, 2048, 2896, 4096]
L = np.array(LENGTHS, dtype=float)


def noisy(curve, rounds=5, share=0.01, seed=0):
    return curve * np.exp(np.random.default_rng(seed).normal(0.0, share, (rounds, len(curve))))


def test_slopes_of_a_power_law_are_its_exponent():
    slopes = local_slopes(LENGTHS, [3.0 * L**1.5])
    assert [slope.value for slope in slopes] == pytest.approx([1.5] * 8)
    assert len(slopes) == len(LENGTHS) - 1
    assert "one value" in slopes[0].reason and math.isnan(slopes[0].low)
    assert growth_exponent(LENGTHS, [3.0 * L**1.5]).value == pytest.approx(1.5)


def test_slopes_of_a_sum_rise_from_linear_to_quadratic():
    # y = L + L^2 / 1000: slope between L and 2L is log2((2 + 4 L/1000) / (1 + L/1000))
    slopes = local_slopes([1000, 2000], [[1000 + 1000, 2000 + 4000]])
    assert slopes[0].value == pytest.approx(math.log2(3))


def test_slopes_over_rounds_have_intervals_that_cover():
    covered = []
    for seed in range(200):
        slopes = local_slopes(LENGTHS, noisy(2 * L, seed=seed))
        covered += [one.low <= 1 <= one.high for one in slopes]
    assert 0.92 <= np.mean(covered) <= 0.98


def test_the_closed_form_of_flops_is_recovered_exactly():
    fitted = length_polynomial(LENGTHS, 7e6 * L + 300 * L**2)
    assert fitted.linear == pytest.approx(7e6) and fitted.quadratic == pytest.approx(300)
    assert fitted.constant == pytest.approx(0, abs=1) and fitted.worst_error < 1e-9
    assert fitted(100) == pytest.approx(7e8 + 3e6)


def test_a_curve_of_another_form_shows_its_error():
    assert length_polynomial(LENGTHS, L**3).worst_error > 0.2


def test_crossover_of_linear_and_quadratic_time():
    found = crossover(LENGTHS, noisy(1000 * L, seed=1), noisy(L**2, seed=2), names=("mamba", "transformer"))
    assert found.length == pytest.approx(1000, rel=0.05) and found.low < 1000 < found.high
    assert found.words.startswith("mamba is cheaper beyond")


def test_the_interval_of_a_crossover_covers():
    covered = []
    for seed in range(200):
        found = crossover(LENGTHS, noisy(1000 * L, seed=2 * seed), noisy(L**2, seed=2 * seed + 1))
        covered.append(found.low <= 1000 <= found.high)
    assert np.mean(covered) >= 0.92


def test_no_crossover_is_an_answer():
    found = crossover(LENGTHS, noisy(L), noisy(2 * L, seed=1), names=("a", "b"))
    assert math.isnan(found.length) and found.words == "not reached from 256 to 4096: a is cheaper"
    blurred = crossover(LENGTHS, noisy(L, share=0.5), noisy(1.05 * L, share=0.5, seed=1))
    assert "not significantly" in blurred.words or "cheaper beyond" in blurred.words
    assert crossover(LENGTHS, [L, L], [L, L]).words == "equal from 256 to 4096"


def test_a_crossover_that_the_lengths_do_not_bound_says_so():
    flat = np.array([[-0.02, 0.02], [0.03, -0.01], [-0.02, 0.03]])
    found = crossover([1000, 2000], np.exp(flat), np.ones((3, 2)))
    assert (found.low, found.high) == (0.0, math.inf) and "(under 1000 to over 2000)" in found.words


def test_one_round_gives_a_crossover_without_interval():
    found = crossover([500, 2000], [[500 * 1000.0, 2000 * 1000.0]], [[500.0**2, 2000.0**2]])
    assert found.length == pytest.approx(1000) and math.isnan(found.low)


@pytest.mark.parametrize(
    ("lengths", "values", "words"),
    [([1, 2], [[1.0]], "do not fit"), ([2, 1], [[1.0, 2.0]], "rising"), ([1, 2], [[1.0, 0.0]], "positive")],
)
def test_input_that_cannot_be_fitted_is_refused(lengths, values, words):
    with pytest.raises(ValueError, match=words):
        local_slopes(lengths, values)
    with pytest.raises(ValueError, match="3 or more"):
        length_polynomial([1, 2], [1.0, 2.0])
