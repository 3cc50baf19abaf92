"""The 90 figures of a piece, counted by hand, and the yardstick that they are standardised by."""

from __future__ import annotations

import numpy as np
import pytest

from metrics import Notes, summary_vectors
from metrics.music.profile import RAREST, profile, profiles, yardstick

# a fifth up, a fourth down, thirty semitones up: bars of four beats; bar 3 is bar 1 again
PIECE = Notes.from_arrays([0, 1, 2, 3, 8, 9, 10, 11], [1] * 8, [60, 67, 62, 92, 60, 67, 62, 92])


def walk(seed: int, notes: int = 60) -> Notes:
    generator = np.random.default_rng(seed)
    return Notes.from_arrays(np.arange(notes) / 2, np.full(notes, 0.5), generator.integers(50, 70, notes))


def test_the_figures_of_a_small_piece():
    figures = profile(PIECE)
    assert figures.shape == (90,)
    assert figures[:29].tolist() == summary_vectors([PIECE])[0].tolist()
    steps = dict(zip(range(-24, 25), figures[29:78], strict=True))
    assert (steps[7], steps[-5]) == (2 / 7, 2 / 7)
    assert sum(steps.values()) == pytest.approx(4 / 7)  # of seven steps, two up by 30 and one down by 32 are wider
    assert figures[78:86].tolist()[:2] == [0, 1]  # bar 2 is empty; bar 3 is bar 1
    assert np.isnan(figures[80:86]).all()  # no two bars so far apart
    assert figures[86] == pytest.approx(2)  # four pitch classes, equally often
    assert figures[88:].tolist() == [1 - 4 / 96, 1 / 3]  # four of 96 steps differ, twice; one bar of three is empty


def test_standardised_training_pieces_have_mean_0_and_spread_1_before_the_bound(monkeypatch):
    monkeypatch.setattr("metrics.music.profile.FURTHEST", np.inf)
    leap = walk(99)
    leap = Notes.from_arrays(leap.onset, leap.duration, np.where(np.arange(60) == 30, 75, np.minimum(leap.pitch, 68)))
    pieces = [*(walk(seed) for seed in range(40)), leap]  # one wide step in one of them
    unit = yardstick(pieces)
    assert unit is not None
    table, kept = unit.standardised(pieces)
    assert kept.all() and table.mean(0) == pytest.approx(np.zeros(90), abs=1e-9)
    varied = profiles(pieces).std(0, ddof=1)
    own = table.std(0, ddof=1)
    assert own[[1, 3]] == pytest.approx([1, 1])  # pitch range, mean pitch shift
    assert own[2] == 0  # every piece has 60 notes
    steps = varied[29:78] ** 2
    rare = steps < RAREST * steps.mean()
    assert ((steps > 0) & rare).any() and not rare.all()
    assert own[29:78][~rare] == pytest.approx(np.ones((~rare).sum()))
    assert own[29:78][rare] == pytest.approx(np.sqrt(steps[rare] / (RAREST * steps.mean())))


def test_a_bar_similarity_without_a_value_is_the_mean_and_a_piece_without_two_notes_is_left_out():
    unit = yardstick([walk(seed) for seed in range(10)])
    assert unit is not None
    table, kept = unit.standardised([PIECE, Notes.from_arrays([0], [1], [60]), Notes.from_arrays([], [], []), walk(11)])
    assert kept.tolist() == [True, False, False, True]
    assert table[0, 80:86].tolist() == [0] * 6
    assert table[1, 79] == pytest.approx((profile(walk(11))[79] - unit.centre[79]) / unit.scale[79])


def test_a_figure_that_hardly_varies_counts_five_deviations_at_most():
    """Dance music leaves no beat empty, but for a rare upbeat: a rest would otherwise decide the distance alone."""
    late = Notes.from_arrays(np.arange(60) / 2 + np.where(np.arange(60) > 30, 1.5, 0), np.full(60, 0.5), [60, 62] * 30)
    unit = yardstick([*(walk(seed) for seed in range(40)), late])
    assert unit is not None
    sparse = Notes.from_arrays(np.arange(0, 60, 4), np.full(15, 0.5), [60, 62, 64] * 5)
    assert (profile(sparse)[89] - unit.centre[89]) / unit.scale[89] > 100
    assert unit.standardised([sparse])[0][0, 89] == 5


def test_few_pieces_are_no_yardstick():
    assert yardstick([]) is None
    assert yardstick([walk(0), walk(1), Notes.from_arrays([0], [1], [60])]) is None
    assert yardstick([walk(0), walk(1), walk(2)]) is not None
