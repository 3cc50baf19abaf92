"""Chord density of chords one can count."""

from __future__ import annotations

import math

import pytest

from metrics import Notes, chord_density
from metrics.music.chords import onset_profile, sounding_profile

# a triad for one beat, one note for three more, a rest, and the note again for a beat
PIECE = Notes.from_arrays([0, 0, 0, 6], [1, 4, 1, 1], [60, 64, 67, 64])


def value(piece: Notes, kind: str, statistic: str) -> float:
    return chord_density([piece], kind, statistic, intervals=False).value


def test_sounding_is_weighted_by_time_and_leaves_rests_out():
    profile = sounding_profile(PIECE)
    assert (profile[0], profile[1], profile[3], profile.sum()) == (0, 4, 1, 5)
    assert value(PIECE, "sounding", "mean") == pytest.approx((4 + 3) / 5)
    assert value(PIECE, "sounding", "sd") == pytest.approx(math.sqrt((4 + 9) / 5 - 1.96))
    assert value(PIECE, "sounding", "p95") == 3
    assert value(PIECE, "sounding", "max") == 3
    assert value(PIECE, "sounding", "over_4") == 0


def test_shares_above_a_number_of_pitches():
    cluster = Notes.from_arrays([0] * 7 + [1], [1] * 7 + [3], [*range(60, 67), 60])
    assert value(cluster, "sounding", "over_4") == 0.25
    assert value(cluster, "sounding", "over_6") == 0.25
    assert value(cluster, "sounding", "over_8") == 0
    assert value(cluster, "onset", "over_6") == 0.5


def test_one_pitch_struck_again_while_it_sounds_counts_once_and_is_not_cut_short():
    held = Notes.from_arrays([0, 1, 2], [4, 1, 2], [60, 60, 64])
    assert sounding_profile(held)[[1, 2]].tolist() == [2, 2]


def test_a_rolled_chord_is_one_onset():
    rolled = Notes.from_arrays([0, 0.02, 0.04, 1], [1, 1, 1, 1], [60, 64, 67, 72])
    assert onset_profile(rolled)[[1, 3]].tolist() == [1, 1]
    assert value(rolled, "onset", "mean") == 2
    assert value(rolled, "onset", "sd") == 1


def test_notes_that_touch_do_not_sound_together():
    scale = Notes.from_arrays([0, 1 / 3, 2 / 3], [1 / 3, 1 / 3, 1 / 3], [60, 62, 64])
    assert value(scale, "sounding", "max") == 1


def test_pieces_are_pooled_by_time():
    other = Notes.from_arrays([0, 0], [5, 5], [60, 64])
    result = chord_density([PIECE, other], "sounding", "mean", reference=[other])
    assert result.value == pytest.approx((7 + 10) / 10)
    assert result.parts == {"mean_over_pieces": pytest.approx((1.4 + 2) / 2), "reference": 2}
    assert (result.unit, result.better, result.name) == ("pitches", "nearest", "chord_density_sounding_mean")


def test_no_notes_and_unknown_names():
    empty = Notes.from_arrays([], [], [])
    assert chord_density([empty]).reason == "no generated piece has notes"
    with pytest.raises(ValueError, match=r"'struck' / 'mean' is unknown; allowed: sounding, onset"):
        chord_density([PIECE], "struck")
