"""oa_from_features and oa_distance: equal to the definition, closed forms, edges."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import gaussian_kde, norm

from metrics import Notes, oa_distance, oa_from_features
from metrics.music.kde import ExactDensity, GridDensity, divergence_nats, scott_bandwidth, shared_mass


def transcribed(generated: np.ndarray, reference: np.ndarray, limits: str) -> float:
    """The formula with scipy's kernel density and quadrature, written apart from the package."""
    intra = [np.linalg.norm(a - b) for i, a in enumerate(reference) for j, b in enumerate(reference) if i != j]
    inter = [np.linalg.norm(a - b) for a in generated for b in reference]
    p, q = gaussian_kde(intra), gaussian_kde(inter)
    low, high = min(*intra, *inter), max(*intra, *inter)
    if limits == "full":
        reach = 9 * max(math.sqrt(p.covariance[0, 0]), math.sqrt(q.covariance[0, 0]))
        low, high = low - reach, high + reach
    edges = np.linspace(low, high, 60)
    pieces = (
        quad(lambda x: min(p(x)[0], q(x)[0]), a, b, epsabs=1e-9, epsrel=1e-9, limit=200)[0] for a, b in pairwise(edges)
    )
    return sum(pieces)


@pytest.mark.parametrize("limits", ["data", "full"])
@pytest.mark.parametrize(("pieces", "others", "columns"), [(5, 4, 1), (12, 9, 3), (25, 30, 12)])
def test_equal_to_scipy_within_a_millionth(limits: str, pieces: int, others: int, columns: int):
    generator = np.random.default_rng(pieces)
    generated = generator.normal(0.6, 1.0, (pieces, columns))
    reference = generator.normal(0.0, 1.4, (others, columns))
    expected = transcribed(generated, reference, limits)
    for method in ("exact", "grid"):
        result = oa_from_features(generated, reference, limits=limits, method=method, intervals=False)
        assert result.value == pytest.approx(expected, abs=1e-6)


def test_the_grid_agrees_with_every_kernel_at_many_distances():
    generator = np.random.default_rng(3)
    sets = [
        (generator.normal(1.0, 1.3, (120, 2)), generator.normal(0, 1, (120, 2))),
        (generator.exponential(2, (120, 1)), generator.exponential(1.5, (120, 1))),
    ]
    for generated, reference in sets:
        exact, grid = (
            oa_from_features(generated, reference, method=m, intervals=False).value for m in ("exact", "grid")
        )
        assert 0.5 < exact < 1
        assert grid == pytest.approx(exact, abs=1e-7)


def test_three_points_integrated_by_hand():
    # reference 0, 1, 3: distances 1, 2, 3, each twice; generated 0, 3: distances 0, 1, 3, 3, 2, 0
    result = oa_from_features([0.0, 3.0], [0.0, 1.0, 3.0], limits="full", intervals=False)
    width_p = math.sqrt(4 / 5) * 6 ** (-1 / 5)  # sum of squares 4 over 6 - 1
    width_q = math.sqrt((9 / 4 * 2 + 1 / 4 + 9 / 4 * 2 + 1 / 4) / 5) * 6 ** (-1 / 5)  # mean 3/2

    def smaller(x: float) -> float:
        p = np.mean(norm.pdf(x, [1, 2, 3], width_p))
        q = np.mean(norm.pdf(x, [0, 1, 3, 3, 2, 0], width_q))
        return min(p, q)

    expected = sum(quad(smaller, a, a + 0.25, epsabs=1e-10)[0] for a in np.arange(-6, 10, 0.25))
    assert result.value == pytest.approx(expected, abs=1e-7)
    assert result.parts["mean_intra"] == 2
    assert result.parts["mean_inter"] == 1.5


def test_two_gaussians_of_one_width_share_twice_the_tail():
    # densities of one kernel each: overlap of normals one apart, sd 1, is 2 Phi(-1/2)
    for density in (ExactDensity, GridDensity):
        p, q = density(np.array([0.0]), 1.0), density(np.array([1.0]), 1.0)
        assert shared_mass(p, q, -10, 11) == pytest.approx(2 * norm.cdf(-0.5), abs=1e-9)
        assert divergence_nats(p, q, -10, 11) == pytest.approx(0.5, abs=1e-3)  # (difference of means)^2 / 2


def test_scotts_width_by_hand():
    assert scott_bandwidth(np.array([0.0, 2.0])) == pytest.approx(math.sqrt(2) * 2 ** (-1 / 5))
    assert scott_bandwidth(np.array([0.0, 2.0]), copies=2) == pytest.approx(math.sqrt(4 / 3) * 4 ** (-1 / 5))
    assert scott_bandwidth(np.array([0.1 + 0.2, 0.3])) == 0


def test_published_limits_lose_the_tails_of_a_set_against_itself():
    values = np.random.default_rng(0).normal(size=40)
    whole = oa_from_features(values, values, limits="full", intervals=False).value
    cut = oa_from_features(values, values, limits="data", intervals=False).value
    assert cut < whole - 0.005
    assert cut < 0.97


def test_constant_features_are_one_when_equal_and_zero_when_not():
    assert oa_from_features([5, 5, 5], [5, 5]).value == 1
    assert oa_from_features([5, 5, 5], [7, 7]).value == 0
    assert oa_from_features([5, 6, 7], [7, 7, 7]).value == 0


def test_too_few_pieces_and_missing_features_are_counted_or_reasoned():
    one = oa_from_features([1.0], [1.0, 2.0, 3.0])
    assert math.isnan(one.value) and "at least 2 generated" in one.reason
    gaps = oa_from_features([[1.0], [np.nan], [2.0]], [[1.0], [2.5], [np.nan], [4.0]], intervals=False)
    clean = oa_from_features([1.0, 2.0], [1.0, 2.5, 4.0], intervals=False)
    assert (gaps.value, gaps.parts["left_out"], gaps.n) == (clean.value, 2, 2)
    assert "one distance" in oa_from_features([1.0, 2.0], [1.0, 2.0]).reason
    with pytest.raises(ValueError, match="limits 'tails' is unknown; allowed: full, data"):
        oa_from_features([1.0, 2.0], [1.0, 2.0], limits="tails")
    with pytest.raises(ValueError, match="2 columns, reference 1"):
        oa_from_features(np.zeros((3, 2)), np.zeros((3, 1)))


def test_it_is_not_symmetric():
    narrow, wide = np.linspace(0, 1, 9), np.linspace(-4, 5, 9)
    assert oa_from_features(narrow, wide).value != pytest.approx(oa_from_features(wide, narrow).value, abs=0.05)


def test_the_mean_is_over_nine_and_fails_with_the_first_that_fails():
    generator = np.random.default_rng(1)
    pieces = [
        Notes.from_arrays(
            np.arange(30) * step, generator.choice([0.5, 1, 2], 30), generator.integers(50, 50 + width, 30)
        )
        for step, width in zip(generator.choice([0.25, 0.5, 1], 24), generator.integers(8, 30, 24), strict=True)
    ]
    mean = oa_distance(pieces[:12], pieces[12:])
    nine = [mean.parts[key] for key in mean.parts if key not in ("n_reference", "songs_reference")]
    assert len(nine) == 9
    assert mean.value == pytest.approx(sum(nine) / 9)
    assert mean.low < mean.value < mean.high
    alone = oa_distance(pieces[:12], pieces[12:], "pitch_range")
    assert alone.value == mean.parts["pitch_range"]
    singles = [Notes.from_arrays([0], [1], [60 + i]) for i in range(4)]
    assert oa_distance(singles, singles).reason.startswith("oa_distance_mean_pitch_shift: needs at least 2")
    with pytest.raises(ValueError, match="feature 'tempo' is unknown; allowed: used_pitches"):
        oa_distance(pieces, pieces, "tempo")
