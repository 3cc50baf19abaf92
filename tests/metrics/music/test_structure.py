"""Structure: bars that come back."""

from __future__ import annotations

import numpy as np
import pytest

from metrics import Notes, structure_similarity_error
from metrics.music.structure import bar_similarity


def song(form: str) -> Notes:
    """Each letter a bar of four beats with two notes of its own; '.' is an empty bar."""
    notes = [
        (4 * bar + beat, 40 + 2 * (ord(letter) - 65) + beat)
        for bar, letter in enumerate(form)
        for beat in (0, 1)
        if letter != "."
    ]
    return Notes.from_arrays([n[0] for n in notes], [1] * len(notes), [n[1] for n in notes])


def test_similarity_of_bars_apart():
    total, pairs = bar_similarity(song("ABAB"))
    assert (total[:3].tolist(), pairs[:4].tolist()) == ([0, 2, 0], [3, 2, 1, 0])


def test_bars_that_share_one_of_two_notes_have_a_third_in_common():
    notes = Notes.from_arrays([0, 1, 4, 5], [1, 1, 1, 1], [60, 62, 60, 65])
    assert bar_similarity(notes)[0][0] == pytest.approx(1 / 3)
    later = Notes.from_arrays([0, 1, 4, 5], [1, 1, 1, 0.5], [60, 62, 60, 62])  # another duration is another note
    assert bar_similarity(later)[0][0] == pytest.approx(1 / 3)
    moved = Notes.from_arrays([0, 1, 4, 6], [1, 1, 1, 1], [60, 62, 60, 62])  # another place too
    assert bar_similarity(moved)[0][0] == pytest.approx(1 / 3)


def test_two_empty_bars_are_no_pair():
    _, pairs = bar_similarity(song("A..A"))
    assert pairs[:3].tolist() == [2, 2, 1]  # A. and .A; A. and .A two apart; AA three apart


def test_error_is_the_mean_difference_over_lags():
    steady, turning = [song("A" * 64)], [song("AB" * 32)]
    result = structure_similarity_error(turning, steady)
    assert result.value == 0.5  # sixteen of 32 lags differ by 1
    assert result.parts["lags"] == 32
    assert (result.parts["lag_1_generated"], result.parts["lag_4_generated"], result.parts["lag_1_reference"]) == (
        0,
        1,
        1,
    )
    assert structure_similarity_error(steady, steady).value == 0


def test_rare_lags_are_left_out_and_none_is_nan():
    result = structure_similarity_error([song("A" * 40)], [song("AB" * 20)])
    assert result.parts["lags"] == 10  # 40 - t >= 30
    assert np.isnan(result.parts["lag_16_reference"])
    assert "no lag has 30 pairs" in structure_similarity_error([song("AB")], [song("AB")]).reason
