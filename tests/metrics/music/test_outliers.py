"""Pitch outliers: the three limits and the pooled, per-piece and any-piece rates."""

from __future__ import annotations

import numpy as np
import pytest

from metrics import Notes, pitch_outliers
from metrics.music.outliers import pitch_limits


def piece(pitches: list[int]) -> Notes:
    return Notes.from_arrays(np.arange(len(pitches)), np.ones(len(pitches)), pitches)


# 1,001 notes: five at 30, then 991 at 60, then five at 90; index 5 and 995 of 0..1000 are the percentiles
TRAIN = [piece([30] * 5 + [60] * 991 + [90] * 5)]


def test_limits():
    assert pitch_limits([], "absolute") == (21, 108)
    assert pitch_limits(TRAIN, "range") == (30, 90)
    assert pitch_limits(TRAIN, "percentile") == (60, 60)
    # one note more at 30: index 5 still counts from below, and is 30 now
    assert pitch_limits([*TRAIN, piece([30])], "percentile") == (30, 60)


def test_rates_are_pooled_and_strictly_outside():
    generated = [piece([60, 60, 60, 20, 95, 60]), piece([60, 61])]
    values = {
        kind: pitch_outliers(generated, TRAIN, kind, intervals=False) for kind in ("percentile", "range", "absolute")
    }
    assert values["percentile"].value == 3 / 8
    assert values["range"].value == 2 / 8
    assert values["absolute"].value == 1 / 8
    parts = values["percentile"].parts
    assert parts["mean_over_pieces"] == pytest.approx((2 / 6 + 1 / 2) / 2)
    assert (parts["pieces_with_any"], parts["lowest"], parts["highest"]) == (1.0, 60, 60)
    assert pitch_outliers([piece([30, 90, 60])], TRAIN, "range").value == 0


def test_the_held_out_rate_stands_beside():
    result = pitch_outliers([piece([60])], TRAIN, reference=[piece([60, 60, 60, 61])])
    assert (result.value, result.parts["reference"], result.better) == (0, 0.25, "nearest")


def test_a_rate_of_zero_has_no_interval_and_a_small_one_stays_inside():
    clean = pitch_outliers([piece([60, 60])] * 10, TRAIN)
    assert clean.value == 0 and np.isnan(clean.low)
    some = pitch_outliers([*(piece([60] * 2 * length) for length in range(1, 10)), piece([60] * 9 + [95])], TRAIN)
    assert 0 < some.low < some.value == 0.01 < some.high < 1


def test_missing_pieces_are_named():
    assert pitch_outliers([piece([])], TRAIN).reason == "no generated piece has notes"
    assert "needs training pieces" in pitch_outliers([piece([60])], []).reason
    assert pitch_outliers([piece([60])], [], "absolute").value == 0
    with pytest.raises(ValueError, match="kind 'tukey' is unknown; allowed: percentile, range, absolute"):
        pitch_outliers([piece([60])], [], "tukey")
