"""Intervals over pieces hold what they promise: 90 to 98 of 100 cover the value expected at that number of pieces."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from metrics import MetricResult, Notes, oa_attribute, oa_from_features, pitch_outliers
from metrics.music.resample import half_weights, interval

PIECES = 50
DRAWS = 200  # simulated studies; the coverage itself is then known to about 1.7 in 100

Draw = Callable[[np.random.Generator], MetricResult]


def covered(draw: Callable[[np.random.Generator, bool], MetricResult], truth_draws: int = 400) -> float:
    generator = np.random.default_rng(1)
    truth = np.mean([draw(generator, False).value for _ in range(truth_draws)])
    results = [draw(generator, True) for _ in range(DRAWS)]
    return float(np.mean([r.low <= truth <= r.high for r in results]))


FEATURES = {
    "equal": lambda g: (g.normal(size=PIECES), g.normal(size=PIECES)),
    "long tails": lambda g: (g.lognormal(0.3, 1, PIECES), g.lognormal(0, 0.8, PIECES)),
    "whole numbers": lambda g: (g.poisson(7, PIECES).astype(float), g.poisson(5, PIECES).astype(float)),
    "twelve shares": lambda g: (g.dirichlet(np.full(12, 2.0), PIECES), g.dirichlet(np.full(12, 0.5), PIECES)),
}


@pytest.mark.parametrize("name", FEATURES)
def test_overlap_of_distances(name: str):
    def draw(generator: np.random.Generator, intervals: bool) -> MetricResult:
        return oa_from_features(*FEATURES[name](generator), intervals=intervals, method="grid", seed=7)

    assert 0.90 <= covered(draw) <= 0.98


def key_pieces(generator: np.random.Generator, count: int, shift: float = 0.0) -> list[Notes]:
    """Pieces of 60 notes around a centre of their own: notes of one piece are alike, as in music."""
    centres = generator.normal(60 + shift, 5, count)
    return [
        Notes.from_arrays(
            np.arange(60) // generator.integers(1, 4),
            np.ones(60),
            np.clip(np.rint(generator.normal(centre, 8, 60)), 0, 127).astype(int),
        )
        for centre in centres
    ]


def test_overlap_of_attributes():
    def draw(generator: np.random.Generator, intervals: bool) -> MetricResult:
        sets = key_pieces(generator, PIECES, shift=8), key_pieces(generator, PIECES)
        return oa_attribute(*sets, "pitch", intervals=intervals)

    assert 0.90 <= covered(draw, 100) <= 0.98


def test_outlier_rate():
    train = [Notes.from_arrays([0, 1], [1, 1], [40, 80])]

    def draw(generator: np.random.Generator, intervals: bool) -> MetricResult:
        return pitch_outliers(key_pieces(generator, PIECES, 5), train, "range", intervals=intervals)

    assert 0.90 <= covered(draw, 100) <= 0.98


def test_halves_spread_as_the_mean_of_all_does():
    values = np.random.default_rng(0).exponential(size=9)
    for count in (8, 9):
        drawn = half_weights(count, 3, 20_000) @ values[:count] / count
        standard_error = values[:count].std(ddof=1) / np.sqrt(count)
        assert drawn.std() == pytest.approx(standard_error, rel=0.02)
        assert drawn.mean() == pytest.approx(values[:count].mean(), abs=0.02)


def test_intervals_keep_to_their_scale_and_hold_the_value():
    redrawn = np.random.default_rng(0).normal(0.97, 0.03, 300)
    low, high = interval(0.97, redrawn, 20, "overlap")
    assert 0 < low < 0.97 < high <= 1
    low, high = interval(0.02, np.abs(redrawn - 0.97), 20, "rate")
    assert 0 < low < 0.02 < high < 1
    assert interval(3.0, np.array([3.0] * 290 + [4.0] * 10), 20, "level") == (3.0, 4.0)
    assert np.isnan(interval(0.5, redrawn, 2)).all()
    assert np.isnan(interval(0.0, redrawn * 0, 20, "rate")).all()


def test_the_interval_of_an_overlap_holds_its_own_value():
    # a bootstrap that draws a piece twice puts distances of 0 into both sets and can miss it
    generator = np.random.default_rng(4)
    for _ in range(30):
        reference = generator.normal(size=(30, 1))
        result = oa_from_features(reference + generator.normal(0, 0.1, (30, 1)), reference)
        assert result.low <= result.value <= result.high
