"""The nine features of one small piece, counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from metrics import Notes, feature_matrix
from metrics.music.features import NOTE_LENGTHS_BEATS, feature_vector

# C4 quarter, E4 + G4 eighth chord at beat 1, C5 half at beat 2, in bars of 4 beats
PIECE = Notes.from_arrays([0, 1, 1, 2], [1, 0.5, 0.5, 2], [60, 64, 67, 72])


@pytest.mark.parametrize(
    ("feature", "expected"),
    [
        ("used_pitches", 4),
        ("pitch_range", 12),
        ("notes", 4),
        ("mean_pitch_shift", (4 + 3 + 5) / 3),
        ("mean_onset_interval", (1 + 0 + 1) / 3),
        ("used_pitches_per_bar", 4),
        ("notes_per_bar", 4),
    ],
)
def test_scalars(feature: str, expected: float):
    assert feature_vector(PIECE, feature).tolist() == [expected]


def test_histograms_and_transitions():
    classes = feature_vector(PIECE, "pitch_class_histogram")
    assert classes[[0, 4, 7]].tolist() == [3 / 4, 0.5 / 4, 0.5 / 4]  # by sounding time: 1 + 2, 0.5, 0.5 of 4 beats
    assert classes.sum() == 1
    steps = feature_vector(PIECE, "pitch_class_transitions").reshape(12, 12)
    assert [steps[0, 4], steps[4, 7], steps[7, 0]] == [1 / 3, 1 / 3, 1 / 3]
    lengths = feature_vector(PIECE, "note_length_histogram")
    assert [lengths[2], lengths[3], lengths[1]] == [1 / 4, 1 / 2, 1 / 4]  # quarter, eighth, half
    moves = feature_vector(PIECE, "note_length_transitions").reshape(12, 12)
    assert [moves[2, 3], moves[3, 3], moves[3, 1]] == [1 / 3, 1 / 3, 1 / 3]
    assert feature_vector(PIECE, "pitch_class_histogram_per_bar").tolist() == classes.tolist()


def test_per_bar_forms_follow_true_bars():
    waltz = Notes.from_arrays([0, 1, 3, 4], [1, 1, 1, 1], [60, 60, 62, 64], meters=((0.0, 3.0),))
    assert feature_vector(waltz, "notes_per_bar").tolist() == [2]
    assert feature_vector(waltz, "used_pitches_per_bar").tolist() == [1.5]
    shares = feature_vector(waltz, "pitch_class_histogram_per_bar")
    assert shares[[0, 2, 4]].tolist() == [0.5, 0.25, 0.25]


def test_note_lengths_go_to_the_nearest_class_the_first_of_the_list_on_a_tie():
    # 0.34 -> a third; 0.3 -> nearer to 1/3 (0.033) than to 1/4 (0.05); 1.25 -> nearer to 4/3; 3.5 -> tie of 4 and 3
    notes = Notes.from_arrays([0, 1, 2, 4], [0.34, 0.3, 1.25, 3.5], [60, 61, 62, 63])
    lengths = feature_vector(notes, "note_length_histogram")
    assert np.flatnonzero(lengths).tolist() == [0, 9, 11]
    assert lengths[11] == 0.5


@pytest.mark.parametrize(
    ("beats", "nearest"),
    [(3.5, 4), (2.5, 2), (1.75, 2), (0.875, 1), (0.4375, 1 / 2), (7 / 6, 1), (17 / 12, 3 / 2), (17 / 48, 3 / 8),
     (7 / 24, 1 / 4), (17 / 24, 3 / 4), (7 / 12, 1 / 2), (5 / 6, 3 / 4), (0.1, 1 / 4), (9, 4)],
)  # fmt: skip
def test_a_note_length_halfway_between_two_is_the_one_that_the_list_names_first(beats: float, nearest: float):
    for error in (-1e-12, 0, 1e-12):
        lengths = feature_vector(Notes.from_arrays([0, 9], [beats + error] * 2, [60, 60]), "note_length_histogram")
        assert NOTE_LENGTHS_BEATS[np.flatnonzero(lengths)].tolist() == [nearest]


def test_pieces_without_enough_notes_give_rows_of_nan():
    single, empty = Notes.from_arrays([0], [1], [60]), Notes.from_arrays([], [], [])
    table = feature_matrix([PIECE, single, empty], "pitch_class_transitions")
    assert table.shape == (3, 144)
    assert np.isnan(table).all(1).tolist() == [False, True, True]
    assert feature_matrix([empty], "notes").shape == (1, 1)
