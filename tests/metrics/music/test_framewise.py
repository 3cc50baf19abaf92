"""Framewise overlap: equal to NormalDist, windows counted by hand, consistency and variance by formula."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest

from metrics import Notes, oa_framewise
from metrics.music.framewise import adjacent_overlaps, gaussian_overlap


def test_the_overlap_of_two_normals_is_that_of_the_standard_library():
    generator = np.random.default_rng(0)
    means, deviations = generator.normal(60, 8, (2, 300)), generator.lognormal(1, 1, (2, 300))
    deviations[:, :20] = 1e-6
    deviations[1, 20:40] = deviations[0, 20:40]
    means[1, 30:35] = means[0, 30:35]
    deviations[1, 40:60] = deviations[0, 40:60] * (1 + 1e-9)
    ours = gaussian_overlap(means[0], deviations[0], means[1], deviations[1])
    for index, overlap in enumerate(ours):
        theirs = NormalDist(means[0, index], deviations[0, index]).overlap(
            NormalDist(means[1, index], deviations[1, index])
        )
        assert overlap == pytest.approx(theirs, abs=1e-9)


@pytest.mark.parametrize("relative", [0, 1e-16, 2.3e-16, 1e-15, 1e-14, 1e-12, -1e-12, 1e-10])
def test_the_overlap_of_normals_of_nearly_one_deviation(relative: float):
    # of one deviation they cross halfway between the means: 2 Phi(-d / 2 s)
    for mean, deviation, apart in ((60.0, 3.1, 2.6), (-5.0, 0.7, 0.0), (71.3, 2.9, 40.0), (0.0, 1e-6, 1e-6)):
        expected = 2 * NormalDist().cdf(-apart / 2 / deviation)
        for sign in (-1, 1):
            other = (np.array([mean + sign * apart]), np.array([deviation * (1 + relative)]))
            found = gaussian_overlap(np.array([mean]), np.array([deviation]), *other)
            assert found[0] == pytest.approx(expected, abs=1e-9)


def bars(*pitches_of_bars: list[int]) -> Notes:
    """A piece of 4-beat bars, the pitches of each spread over its beats."""
    notes = [
        (4 * bar + beat, pitch) for bar, pitches in enumerate(pitches_of_bars) for beat, pitch in enumerate(pitches)
    ]
    return Notes.from_arrays([n[0] for n in notes], [1] * len(notes), [n[1] for n in notes])


HIGH, LOW = [72, 74, 76, 77], [48, 50, 52, 53]


def test_windows_of_four_bars_hop_two():
    piece = bars(*[LOW] * 4, *[HIGH] * 4)  # windows: low; half and half; high
    overlaps = adjacent_overlaps(piece, "pitch")
    low, both, high = (NormalDist(np.mean(p), np.std(p) + 1e-6) for p in (LOW, LOW + HIGH, HIGH))
    assert overlaps.tolist() == pytest.approx([low.overlap(both), both.overlap(high)])
    assert adjacent_overlaps(piece, "duration").tolist() == [1, 1]


def test_short_pieces_have_no_pair_and_silent_windows_none_either():
    assert len(adjacent_overlaps(bars(*[HIGH] * 5), "pitch")) == 0
    assert len(adjacent_overlaps(bars(*[HIGH] * 6), "pitch")) == 1
    silent = bars(HIGH, HIGH, [], [], [], [], HIGH, HIGH)  # windows 0-3, 2-5 (silent), 4-7
    assert len(adjacent_overlaps(silent, "pitch")) == 0


def test_consistency_and_variance_follow_the_formula():
    steady, turning = bars(*[HIGH] * 6), bars(*[LOW] * 4, *[HIGH] * 2)
    a, b = 1.0, float(adjacent_overlaps(turning, "pitch")[0])
    reference, generated = [steady, turning], [steady, steady, turning]
    means = ((a + b) / 2, (2 * a + b) / 3)
    variances = ((a - b) ** 2 / 4, 2 * (a - b) ** 2 / 9)
    consistency = oa_framewise(generated, reference, "pitch", "consistency", intervals=False)
    variance = oa_framewise(generated, reference, "pitch", "variance", intervals=False)
    assert consistency.value == pytest.approx(1 - abs(means[1] - means[0]) / means[0])
    assert variance.value == pytest.approx(1 - abs(variances[1] - variances[0]) / variances[0])
    assert consistency.parts["mean_reference"] == pytest.approx(means[0])
    assert consistency.name == "oa_framewise_pitch_consistency"


def test_sets_without_enough_bars_are_nan_with_a_reason():
    short, steady = [bars(HIGH)], [bars(*[HIGH] * 6)]
    assert "1 generated pieces of at least 6 bars" in oa_framewise(short, steady).reason
    assert "2 generated pieces" in oa_framewise(steady, steady, "pitch", "variance").reason
    assert oa_framewise(steady * 2, steady * 2, "pitch", "variance").reason == "the reference's own variance is 0"
    with pytest.raises(ValueError, match="statistic 'median' is unknown"):
        oa_framewise(steady, steady, "pitch", "median")
    with pytest.raises(ValueError, match="attribute 'velocity' is unknown"):
        oa_framewise(steady, steady, "velocity")
