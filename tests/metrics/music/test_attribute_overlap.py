"""oa_attribute: hand-worked histograms, symmetry, what it cannot see."""

from __future__ import annotations

import numpy as np
import pytest

from metrics import Notes, oa_attribute
from metrics.music.attribute import attribute_bins, histogram_overlap


def piece(pitches: list[int], *, onset: list[float] | None = None, duration: float = 1.0, velocity: int = 64) -> Notes:
    onset = list(range(len(pitches))) if onset is None else onset
    return Notes.from_arrays(onset, [duration] * len(pitches), pitches, [velocity] * len(pitches))


def test_two_histograms_worked_by_hand():
    # shares (1/2, 1/4, 1/4) and (1/4, 1/4, 1/2): minima 1/4 + 1/4 + 1/4
    assert histogram_overlap(np.array([2.0, 1, 1]), np.array([1.0, 1, 2])) == 0.75


def test_pitch_overlap_is_that_of_the_pooled_notes():
    generated = [piece([60, 60]), piece([62, 64])]  # 60: 1/2, 62: 1/4, 64: 1/4
    reference = [piece([60, 62, 65, 67])]  # a quarter each
    result = oa_attribute(generated, reference, "pitch")
    assert result.value == 0.5
    assert (result.n, result.better, result.unit) == (2, "higher", "1")
    assert result.parts == {"n_reference": 1, "songs_reference": 1, "notes_generated": 4, "notes_reference": 4}


def test_bins_lie_on_the_token_grid():
    notes = Notes.from_arrays([0, 0.01, 0.49, 6.0], [0.01, 0.51, 5.1, 40], [60, 64, 67, 70], [1, 4, 7, 127])
    assert attribute_bins(notes, "velocity").tolist() == [0, 1, 1, 31]
    # at least one step; 4 eighths; 32 + (5.1 - 4) x 4 rounded = 36; beyond 12 beats the last bin, 64
    assert attribute_bins(notes, "duration").tolist() == [1, 4, 36, 64]
    # snapped onsets 0, 0, 0.5, 6: steps 0, 0.5, 5.5
    assert attribute_bins(notes, "interval").tolist() == [0, 4, 38]


def test_each_attribute_answers_to_its_own_change_only():
    reference = [piece([60, 62, 64, 65])]
    changed = {
        "pitch": piece([72, 74, 76, 77]),
        "velocity": piece([60, 62, 64, 65], velocity=100),
        "duration": piece([60, 62, 64, 65], duration=0.5),
        "interval": piece([60, 62, 64, 65], onset=[0, 2, 4, 6]),
    }
    for attribute, moved in changed.items():
        values = {a: oa_attribute([moved], reference, a).value for a in changed}
        assert values == {a: 0.0 if a == attribute else 1.0 for a in changed}
        mean = oa_attribute([moved], reference)
        assert (mean.name, mean.value) == ("oa_mean", 0.75)
        assert mean.parts == values | {"songs_reference": 1}


def test_it_is_symmetric_and_does_not_see_order():
    first, second = [piece([60, 62, 62, 65])], [piece([62, 60, 70, 71, 72])]
    assert oa_attribute(first, second, "pitch").value == oa_attribute(second, first, "pitch").value
    assert oa_attribute([piece([65, 62, 60, 62])], first, "pitch").value == 1.0


def test_paired_bars_are_compared_bar_by_bar():
    reference = [piece([60, 60, 60, 60, 62, 62, 62, 62])]
    turned = [piece([62, 62, 62, 62, 60, 60, 60, 60])]
    half = [piece([60, 60, 60, 60, 60, 60, 62, 62])]
    assert oa_attribute(turned, reference, "pitch").value == 1.0
    assert oa_attribute(turned, reference, "pitch", paired=True).value == 0.0
    result = oa_attribute(half, reference, "pitch", paired=True)
    assert (result.value, result.parts["bars"]) == (0.75, 2)
    unequal = oa_attribute([*half, *half], reference, "pitch", paired=True)
    assert np.isnan(unequal.value) and "2 generated and 1 reference" in unequal.reason


def test_nothing_to_compare_is_nan_with_a_reason():
    empty, full = [piece([])], [piece([60, 62])]
    assert oa_attribute([], full, "pitch").reason == "no generated piece has notes"
    assert oa_attribute(full, empty, "pitch").reason == "no reference piece has notes"
    assert oa_attribute([piece([60])], full, "interval").reason == "no piece has two notes"
    mean = oa_attribute([piece([60])], full)
    assert np.isnan(mean.value) and mean.reason.startswith("oa_attribute_interval: ")
    with pytest.raises(ValueError, match="attribute 'tempo' is unknown; allowed: pitch, velocity"):
        oa_attribute(full, full, "tempo")
