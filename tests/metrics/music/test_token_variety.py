"""Token entropy of sequences whose answer is known."""

import math

import pytest

from metrics import token_entropy


def test_entropy_is_that_of_the_frequencies_averaged_over_pieces():
    result = token_entropy([[5, 5, 5, 5], [1, 2, 3, 4], [1, 1, 2, 2]])
    assert (result.value, result.n, result.unit, result.better) == (1.0, 3, "bits", "nearest")
    assert result.parts == {"lowest": 0.0} and math.copysign(1, result.parts["lowest"]) == 1
    assert result.low < 1.0 < result.high
    assert token_entropy([[7, 7, 7, 9]]).value == pytest.approx(0.811278, abs=1e-6)


def test_nothing_has_no_entropy_and_says_so():
    result = token_entropy([])
    assert math.isnan(result.value) and result.reason == "no token sequences"
