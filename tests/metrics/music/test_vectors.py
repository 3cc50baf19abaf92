"""Frechet distance and MMD: closed forms, and what they say of equal and unequal sets."""

from __future__ import annotations

import numpy as np
import pytest

from metrics import Notes, frechet_distance, vector_distance
from metrics.music.vectors import _discrepancy, _kernels


def pieces(seed: int, count: int, width: int = 24) -> list[Notes]:
    generator = np.random.default_rng(seed)
    return [
        Notes.from_arrays(
            np.cumsum(generator.choice([0.25, 0.5, 1], 60)),
            generator.choice([0.25, 0.5, 1], 60),
            generator.integers(60 - width, 60 + width, 60),
        )
        for _ in range(count)
    ]


def test_frechet_of_a_square_and_a_wider_one_moved_by_three_and_four():
    # covariances 2/3 and 8/3 times one: 9 + 16 + 2 (sqrt(2/3) - sqrt(8/3))^2 = 25 + 4/3
    square = np.array([[1.0, 0], [-1, 0], [0, 1], [0, -1]])
    assert frechet_distance(square, 2 * square + [3, 4]) == pytest.approx(25 + 4 / 3, rel=1e-6)
    assert frechet_distance(square, square) == pytest.approx(0, abs=1e-7)


def test_frechet_of_covariances_that_do_not_commute():
    scipy_linalg = pytest.importorskip("scipy.linalg")
    generator = np.random.default_rng(0)
    a, b = generator.normal(size=(50, 3)) @ [[2, 1, 0], [0, 1, 0], [0, 0, 1]], generator.normal(size=(60, 3))
    left, right = np.cov(a.T), np.cov(b.T)
    root = scipy_linalg.sqrtm(left @ right).real
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(left + right - 2 * root)
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-6)


def test_discrepancy_of_four_points_by_hand():
    # distances within the second set: 1, so the kernel is exp(-d^2 / 2)
    first, second = np.array([[0.0], [0.0]]), np.array([[0.0], [1.0]])
    ones = np.ones((1, 2))
    half = np.exp(-0.5)
    expected = 1 + half - 2 * (2 * 1 + 2 * half) / 4
    assert _discrepancy(_kernels(first, second, [np.arange(2), np.arange(2)]), ones, ones)[0] == pytest.approx(expected)


@pytest.mark.parametrize("kind", ["frechet", "mmd"])
def test_other_music_is_farther_than_more_of_the_same(kind: str):
    reference = pieces(0, 40)
    same = vector_distance(pieces(1, 40), reference, kind)
    other = vector_distance(pieces(2, 40, width=6), reference, kind)
    assert same.value < other.low
    assert (same.better, same.n, same.parts["dimension"]) == ("lower", 40, 29)


def test_the_larger_set_is_cut_to_the_smaller():
    result = vector_distance(pieces(1, 12), pieces(0, 40), intervals=False)
    assert (result.n, result.parts["n_reference"]) == (12, 12)


def test_the_plug_in_frechet_distance_grows_as_pieces_get_fewer():
    few = vector_distance(pieces(1, 10), pieces(0, 10), intervals=False).value
    many = vector_distance(pieces(1, 120), pieces(0, 120), intervals=False).value
    assert few > 3 * many


def test_too_few_pieces_is_a_reason():
    assert "needs 3 pieces" in vector_distance(pieces(0, 2), pieces(1, 5)).reason
    assert "got 0 generated" in vector_distance([Notes.from_arrays([], [], [])], pieces(1, 5)).reason
    with pytest.raises(ValueError, match="vector distance 'euclid' is unknown"):
        vector_distance(pieces(0, 3), pieces(1, 3), "euclid")
