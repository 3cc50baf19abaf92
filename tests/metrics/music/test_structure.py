"""Structure: bars that come back."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from metrics import Notes, structure_error, structure_similarity_error
from metrics.music.structure import bar_similarity, similarity_redraws, structure_redraws


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


def test_bars_of_the_same_steps_are_alike_in_any_key_and_with_any_durations():
    piece = Notes.from_arrays([0, 1, 2, 4, 5, 6, 8], [1, 1, 1, 0.5, 2, 0.25, 1], [60, 64, 67, 62, 66, 69, 50])
    total, pairs = bar_similarity(piece, steps=True)
    # bar 1: up 4, up 3, down 5; bar 2: up 4, up 3, down 19: two of four; the last note steps nowhere
    assert (total[0], total[1], pairs[:2].tolist()) == (2 / 4, 0, [2, 1])
    assert bar_similarity(piece)[0][0] == 0
    assert bar_similarity(Notes.from_arrays([0], [1], [60]), steps=True).tolist() == np.zeros((2, 32)).tolist()


def test_a_lag_has_the_weight_of_its_pairs():
    steady, turning = [song("A" * 40)], [song("AB" * 20)]
    result = structure_error(turning, steady, intervals=False)
    curves = []
    for (piece,) in (turning, steady):
        total, pairs = bar_similarity(piece, steps=True)
        curves.append((total / np.maximum(pairs, 1), pairs))
    weight = np.minimum(curves[0][1], curves[1][1])
    weight[weight < 30] = 0
    assert result.value == pytest.approx((np.abs(curves[0][0] - curves[1][0]) * weight).sum() / weight.sum())
    assert weight[:10].tolist() == [40 - lag for lag in range(1, 11)] and result.parts["lags"] == 10
    assert structure_error(steady, steady).value == 0


@pytest.mark.parametrize(
    ("metric", "redraws"),
    [(structure_error, structure_redraws), (structure_similarity_error, similarity_redraws)],
)
def test_draws_made_at_once_have_the_values_of_draws_made_one_by_one(metric: Callable, redraws: Callable):
    generator = np.random.default_rng(0)
    pool = [song("".join(generator.choice(list("ABC."), 20))) for _ in range(9)]
    reference = [song("AABB" * 5), song("ABAB" * 5)]
    chosen = np.array([generator.permutation(9)[:4] for _ in range(5)])
    expected = [metric([pool[place] for place in row], reference, intervals=False).value for row in chosen]
    assert redraws(pool, chosen, reference).tolist() == pytest.approx(expected)
    assert np.isnan(redraws([song("AB")], np.array([[0]]), reference)).all()
