"""Drift: slopes that are known beforehand."""

from __future__ import annotations

import numpy as np
import pytest

from metrics import Notes, drift, token_drift
from metrics.music.drift import window_starts


def line(pitches: np.ndarray | list[int], name: str = "") -> Notes:
    """One note a beat."""
    return Notes.from_arrays(np.arange(len(pitches)), np.ones(len(pitches)), pitches, name=name)


def test_windows_of_sixteen_beats_hop_eight():
    assert window_starts(line([60] * 15)).tolist() == []
    assert window_starts(line([60] * 33)).tolist() == [0, 8, 16]


def test_outliers_that_grow_by_an_eighth_of_the_notes_a_segment():
    # segment k of eight beats holds k outliers: window i has (2 i + 1) / 16, from 0 to 1 over seven steps: 7 x 2 / 16
    pitches = np.concatenate([[100] * k + [60] * (8 - k) for k in range(9)])
    result = drift([line(pitches)], [line([60] * 72)], "outliers", train=[line([60] * 50)], intervals=False)
    assert result.value == pytest.approx(7 / 8)
    assert (result.parts["slope_generated"], result.parts["slope_reference"]) == (pytest.approx(7 / 8), 0)
    fair = drift([line(pitches)], [line(pitches)], "outliers", train=[line([60] * 50)])
    assert fair.value == 0


def test_density_that_doubles_half_way():
    # four segments, the last two with a second voice: windows 1, 1.5, 2 over 0, 1/2, 1
    onset, pitch = [*range(32), *range(16, 32)], [60] * 32 + [64] * 16
    fuller = Notes.from_arrays(onset, np.ones(48), pitch)
    result = drift([fuller], [line([60] * 32)], "density", intervals=False)
    assert result.value == pytest.approx(1.0)
    assert result.unit == "pitches"


def test_moving_away_from_the_reference_has_a_slope_and_staying_has_none():
    generator = np.random.default_rng(0)
    reference = [line(generator.integers(60, 72, 96)) for _ in range(30)]
    staying = [line(generator.integers(60, 72, 96)) for _ in range(30)]
    leaving = [line(generator.integers(60, 72, 96) + np.arange(96) // 6) for _ in range(30)]
    still, gone = drift(staying, reference), drift(leaving, reference)
    assert still.low < 0 < still.high
    assert gone.low > 0.05  # 12 of 12 pitches are left behind; pitch is one of four attributes
    assert gone.value < 0.3


def test_short_pieces_and_missing_training_are_reasons():
    short, long_ = [line([60] * 20)], [line([60] * 64)] * 4
    assert "no generated piece has 3 windows" in drift(short, long_).reason
    assert "needs training pieces" in drift(long_, long_, "outliers").reason
    assert drift([*long_, *short], long_, "density").parts["left_out"] == 1
    with pytest.raises(ValueError, match="measure 'tempo' is unknown; allowed: oa, outliers, density"):
        drift(long_, long_, "tempo")


def test_bits_that_grow_by_half_a_bit_a_segment():
    # four tokens a beat; segment k of eight beats costs 3 + k / 2 bits: windows 3.25, 3.75, 4.25 over 0, 1/2, 1
    beats = np.arange(129) / 4
    growing, even = 3 + (beats // 8) / 2, np.full(129, 3.0)
    result = token_drift([(beats, growing)] * 4, [(beats, even)] * 3)
    assert result.value == pytest.approx(1.0)
    assert (result.low, result.high) == (pytest.approx(1.0), pytest.approx(1.0))
    assert (result.unit, result.n, result.parts["n_reference"]) == ("bits/token", 4, 3)
    assert token_drift([(beats, growing)], [(beats, growing)]).value == 0
    assert "no generated piece has 3 windows" in token_drift([(beats[:60], even[:60])], [(beats, even)]).reason
    with pytest.raises(ValueError, match="129 beats and 128 bits"):
        token_drift([(beats, even[1:])], [(beats, even)])
