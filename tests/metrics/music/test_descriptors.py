"""Descriptors of pieces whose answer is plain."""

from __future__ import annotations

import math

import numpy as np
import pytest

from metrics import (
    Notes,
    describe,
    empty_beat_rate,
    grammar_errors,
    groove_consistency,
    pitch_class_entropy,
    scale_consistency,
)


def line(pitches: list[int], onset: list[float] | None = None) -> Notes:
    return Notes.from_arrays(np.arange(len(pitches)) if onset is None else onset, np.ones(len(pitches)), pitches)


def test_entropy_counts_pitch_classes():
    assert pitch_class_entropy(line([60, 62, 64, 65])) == 2
    assert pitch_class_entropy(line([60, 72, 48])) == 0
    assert math.isnan(pitch_class_entropy(line([])))


def test_scale_consistency_is_the_best_of_24_scales():
    assert scale_consistency(line([67, 69, 71, 72, 74, 76, 78])) == 1  # G major
    assert scale_consistency(line([60, 61, 62, 63])) == 3 / 4  # no scale holds four semitones in a row, some hold three


def test_groove_compares_each_bar_with_the_next():
    same = line([60] * 8)
    moved = line([60] * 8, [0, 1, 2, 3, 4, 5, 6, 6.5])
    assert groove_consistency(same) == 1
    assert groove_consistency(moved) == 1 - 2 / 96
    assert math.isnan(groove_consistency(line([60])))
    uneven = Notes.from_arrays([0, 3, 7], [1, 1, 4], [60, 60, 60], meters=((0.0, 3.0), (3.0, 4.0)))
    assert groove_consistency(uneven) == 1  # bars of 3, 4 and 4 beats: only the last two are compared


def test_empty_beats_are_those_in_which_nothing_sounds():
    assert empty_beat_rate(line([60, 62], [0, 3])) == 0.5
    assert empty_beat_rate(line([60, 62], [0.5, 1.5])) == 0
    assert math.isnan(empty_beat_rate(line([])))


def test_the_set_figure_is_the_mean_over_pieces_beside_the_held_out_one():
    generated = [line([60, 62, 64, 65]), line([60, 60, 60, 60]), line([])]
    result = describe(generated, "pitch_class_entropy", reference=[line([60, 62])])
    assert (result.value, result.n, result.unit) == (1, 2, "bits")
    assert (result.parts["left_out"], result.parts["reference"]) == (1, 1)
    assert describe([line([])], "empty_beat_rate").reason == "no generated piece has a value"
    with pytest.raises(ValueError, match="descriptor 'mood' is unknown; allowed: pitch_class_entropy"):
        describe(generated, "mood")


def test_grammar_errors_average_the_checkers_shares():
    result = grammar_errors([[1, 2], [3, 4], [5, 6]], lambda tokens: {1: 0.0, 3: 0.25, 5: 0.5}[tokens[0]])
    assert (result.value, result.n, result.better) == (0.25, 3, "lower")
    assert result.parts == {"sequences_with_any": pytest.approx(2 / 3), "worst": 0.5}
    assert grammar_errors([], lambda tokens: 0.0).reason == "no token sequences"
    with pytest.raises(ValueError, match=r"shares in 0\.\.1"):
        grammar_errors([[1]], lambda tokens: 3.0)


def test_grammar_errors_by_miditok():
    miditok = pytest.importorskip("miditok")
    tokenizer = miditok.REMI(miditok.TokenizerConfig(use_programs=False, use_time_signatures=False))
    good = ["Bar_None", "Position_0", "Pitch_60", "Velocity_63", "Duration_1.0.8"]
    bad = ["Bar_None", "Pitch_60", "Position_0", "Velocity_63", "Duration_1.0.8"]
    sequences = [[tokenizer[token] for token in tokens] for tokens in (good, bad)]
    result = grammar_errors(sequences, lambda ids: tokenizer.tokens_errors([ids])[0])
    # Bar -> Pitch, Pitch -> Position and Position -> Velocity cannot be
    assert result.parts == {"sequences_with_any": 0.5, "worst": 3 / 5}
