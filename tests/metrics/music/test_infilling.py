"""Infilled bars against hidden ones, by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from metrics import Notes
from metrics.music.infilling import (
    INFILLING,
    infill_chroma_similarity,
    infill_groove_similarity,
    infill_note_f1,
    infilling_results,
)


def notes(*pairs: tuple[float, int]) -> Notes:
    onset, pitch = zip(*pairs, strict=True) if pairs else ((), ())
    return Notes.from_arrays(onset, [0.5] * len(pairs), pitch)


SILENCE = notes()
TUNE = notes((0, 60), (1, 62), (2, 64), (3, 65), (4, 67), (6, 69))


def f1(one: Notes, other: Notes) -> float:
    return infill_note_f1([one], [other], intervals=False).value


def chroma(one: Notes, other: Notes) -> float:
    return infill_chroma_similarity([one], [other], intervals=False).value


def groove(one: Notes, other: Notes) -> float:
    return infill_groove_similarity([one], [other], intervals=False).value


def test_what_was_hidden_itself_is_1() -> None:
    assert [result.value for result in infilling_results([TUNE], [TUNE], intervals=False)] == [1.0, 1.0, 1.0]
    assert [result.name for result in infilling_results([TUNE], [TUNE])] == list(INFILLING)


def test_notes_are_found_at_their_onset_and_pitch() -> None:
    assert f1(notes((0, 60), (1, 62)), TUNE) == pytest.approx(2 * 2 / 8)
    assert f1(notes((0, 60), (1.125, 62)), TUNE) == pytest.approx(2 / 8)  # a step of the grid too late
    assert f1(notes((0, 60), (1.05, 62)), TUNE) == pytest.approx(4 / 8)  # on the same step
    assert f1(notes((0, 72), (1, 74)), TUNE) == 0.0  # an octave is another pitch
    assert f1(SILENCE, TUNE) == 0.0 and math.isnan(f1(SILENCE, SILENCE))


def test_a_note_is_found_once() -> None:
    twice = Notes([0.0, 0.02], [1.0, 1.0], [60, 60], [80, 80])  # both on step 0
    assert f1(twice, notes((0, 60))) == pytest.approx(2 / 3)
    assert f1(twice, twice) == 1.0


def test_chroma_is_a_cosine_by_bar() -> None:
    assert chroma(notes((0, 72), (1.5, 62 - 12), (2, 64), (3, 65), (5, 67), (7, 69)), TUNE) == pytest.approx(1.0)
    # first bar: C and D against C, D, E, F; second bar: silent
    assert chroma(notes((0, 60), (1, 62)), TUNE) == pytest.approx((2 / math.sqrt(2 * 4) + 0) / 2)
    assert chroma(notes((0, 61)), notes((0, 60))) == 0.0
    # a bar beyond the hidden ones counts as 0
    assert chroma(notes((0, 60), (4, 60)), notes((0, 60))) == pytest.approx(0.5)
    assert math.isnan(chroma(SILENCE, SILENCE)) and chroma(SILENCE, TUNE) == 0.0


def test_groove_is_1_less_the_share_of_positions_that_differ() -> None:
    assert groove(notes((0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (6, 6)), TUNE) == 1.0  # pitches do not count
    assert groove(notes((0, 60), (1, 60)), notes((0, 60), (2, 60))) == pytest.approx(1 - 2 / 32)
    # bars of three beats have 24 positions; the bars of the hidden piece hold for both
    waltz = Notes.from_arrays([0, 3], [1, 1], [60, 60], meters=((0.0, 3.0),))
    assert groove(notes((0, 60), (1, 60)), waltz) == pytest.approx((1 - 1 / 24 + 1 - 1 / 24) / 2)
    mixed = Notes.from_arrays([0, 4], [1, 1], [60, 60], meters=((0.0, 4.0), (4.0, 3.0)))
    assert groove(notes((0, 60), (5, 60)), mixed) == pytest.approx((1 + 1 - 2 / 24) / 2)
    assert groove(SILENCE, TUNE) == pytest.approx((1 - 4 / 32 + 1 - 2 / 32) / 2)


def test_values_are_by_piece_and_songs_are_counted() -> None:
    generated = [TUNE, SILENCE, notes((0, 60)), SILENCE]
    hidden = [replace(one, song=song) for one, song in ((TUNE, "a"), (TUNE, "a"), (notes((0, 60), (2, 60)), "b"))]
    result = infill_note_f1(generated, [*hidden, SILENCE], intervals=False)
    assert result.values[:3] == (1.0, 0.0, pytest.approx(2 / 3)) and math.isnan(result.values[3])
    assert (result.value, result.n, result.songs) == (pytest.approx(5 / 9), 3, 2) and result.parts["left_out"] == 1
    with pytest.raises(ValueError, match="2 infilled pieces for 1 hidden ones"):
        infill_note_f1([TUNE, TUNE], [TUNE])
    assert infill_note_f1([SILENCE], [SILENCE]).reason == "no pair of pieces has notes"


def test_pairing_matters() -> None:
    random = np.random.default_rng(0)
    pieces = [notes(*((beat, int(random.integers(48, 72))) for beat in range(16))) for _ in range(12)]
    songs = [replace(one, song=f"{index}") for index, one in enumerate(pieces)]
    assert infill_note_f1(pieces, songs, intervals=False).value == 1.0
    other = infill_note_f1(pieces[1:] + pieces[:1], songs)
    assert other.value < 0.15 and other.low < other.value < other.high and other.songs == 12
