"""Degrees of freedom of a spread over songs, by hand."""

import math

import numpy as np
import pytest

from metrics.statistics.jackknife import FEWEST_DEGREES, degrees_of_freedom


def test_by_hand() -> None:
    # moves -2, -1, 0, 1, 2 twice: variance 2, fourth moment 6.8, kurtosis 1.7
    side = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    assert degrees_of_freedom([side, side + 7.0]) == pytest.approx(2 * 10 / 0.7)


def test_one_song_that_decides_leaves_the_fewest() -> None:
    assert degrees_of_freedom([np.array([0.0] * 9 + [1.0])]) == FEWEST_DEGREES  # kurtosis 8.1: 2.8


def test_songs_without_a_figure_are_left_out_and_no_spread_is_known_for_sure() -> None:
    side = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    assert degrees_of_freedom([np.append(side, math.nan)]) == degrees_of_freedom([side])
    assert degrees_of_freedom([np.ones(4)]) == degrees_of_freedom([]) == math.inf
