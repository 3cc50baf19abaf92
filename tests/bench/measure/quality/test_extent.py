"""Notes and beats of token windows, and bits for each of them."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from bench.data import TokenCorpus, TokenizerSettings, load_corpus, tokenize
from bench.data.reading import read_piece
from bench.data.remi import decode, encode, vocabulary
from bench.diffusion.evaluation import BitsPerToken
from bench.measure.quality.extent import Extent, beat_of_token, count_notes, window_extent
from bench.measure.quality.likelihood import baseline_rows, music_bits_rows


@pytest.fixture(scope="module")
def tokens() -> TokenCorpus:
    return tokenize(load_corpus("demo", subset="lieder"))


def ids_of(tokens: TokenCorpus, words: str) -> np.ndarray:
    ids = {word: index for index, word in enumerate(tokens.vocabulary)}
    return np.array([ids[word] for word in words.split()])


def test_tokens_stand_at_their_bar_and_position(tokens: TokenCorpus):
    sequence = ids_of(tokens, "Position_4 Pitch_60 Bar_None Position_8 Pitch_60 Bar_None Bar_None Position_31")
    assert beat_of_token(tokens, sequence).tolist() == [0.5, 0.5, 0.5, 1, 1, 4, 8, 11.875]


@pytest.mark.parametrize("time_signatures", [False, True])
def test_beats_are_those_of_the_decoder(demo_music: Path, time_signatures: bool) -> None:
    settings = TokenizerSettings(time_signatures=time_signatures)
    words = vocabulary(settings)
    made = SimpleNamespace(vocabulary=words, settings=settings, bar_id=words.index("Bar_None"))
    is_pitch = np.array([word.startswith("Pitch_") for word in words])
    for path in sorted(demo_music.glob("*/*.mid"))[::10]:  # 8 pieces in duple, triple and compound time
        piece = encode(read_piece(path), settings)
        onsets, score = beat_of_token(made, piece)[is_pitch[piece]], decode(piece, settings)
        assert sorted(onsets) == [note.time / score.ticks_per_quarter for note in score.tracks[0].notes]


def test_a_note_is_three_tokens_in_a_row(tokens: TokenCorpus) -> None:
    note = "Pitch_60 Velocity_79 Duration_1.0.8 "
    assert count_notes(tokens, ids_of(tokens, "Bar_None Position_0 " + 2 * note)) == 2
    for cut in ("Duration_1.0.8 " + note + "Pitch_62 Velocity_79", "Pitch_60 " + note, note + "Velocity_79 Pitch_60"):
        assert count_notes(tokens, ids_of(tokens, cut)) == 1
    assert count_notes(tokens, ids_of(tokens, "Pitch_60 Velocity_79")) == 0


def test_windows_that_follow_each_other_add_up_to_their_piece(tokens: TokenCorpus) -> None:
    windows, extent = tokens.windows("test", 128), window_extent(tokens, "test", 128)
    for piece, sequence in enumerate(tokens.pieces("test")):
        own = np.flatnonzero(windows.piece == piece)
        bars = int((sequence == tokens.bar_id).sum())
        starts = windows.start[own]
        beat = beat_of_token(tokens, sequence)
        shared = sum(beat[one + 128] - beat[after] for one, after in pairwise(starts))  # music in two windows
        assert extent.beats[own].sum() == pytest.approx(4 * bars + shared)
        assert extent.notes[own].sum() >= len(tokens.decode(sequence).tracks[0].notes) - len(own)


def test_chosen_windows_are_those_of_all(tokens: TokenCorpus) -> None:
    everything, some = window_extent(tokens, "test", 64), window_extent(tokens, "test", 64, (2, 7))
    assert some.notes.tolist() == everything.notes[[2, 7]].tolist()
    assert some.beats.tolist() == everything.beats[[2, 7]].tolist()


def test_bits_for_each_note_and_beat() -> None:
    nats = tuple(math.log(2) * bits for bits in (60.0, 30.0, 90.0))
    bits = BitsPerToken(0.0, 0.0, 0.0, 3, 2, (0, 1, 2), nats, (32, 32, 32))
    note, beat = music_bits_rows(bits, "aab", Extent(np.array([6.0, 3.0, 6.0]), np.array([4.0, 8.0, 8.0])))
    assert (note["metric"], note["value"], note["unit"]) == ("bits_per_note", pytest.approx(12.0), "bits/note")
    assert (beat["metric"], beat["value"], beat["unit"]) == ("bits_per_beat", pytest.approx(9.0), "bits/beat")
    assert (beat["n"], beat["songs"]) == (3, 2) and beat["low"] < 9 < beat["high"]
    silent = music_bits_rows(bits, "aab", Extent(np.zeros(3), np.array([4.0, 8.0, 8.0])))
    assert math.isnan(silent[0]["value"]) and silent[0]["reason"] and silent[1]["value"] == pytest.approx(9.0)


def test_baselines_have_bits_for_each_note_and_beat(tokens: TokenCorpus) -> None:
    """A uniform code over V tokens: bits/note is log2 V times the tokens for each note."""
    uniform = math.log2(tokens.vocab_size)
    rows = {row["metric"]: row for row in baseline_rows(tokens, 128, {"uniform": (uniform, "uniform v1")})}
    windows, extent = tokens.windows("test", 128), window_extent(tokens, "test", 128)
    count = int((np.asarray(windows.tokens) != tokens.pad_id).sum())
    assert rows["bits_per_note"]["value"] == pytest.approx(uniform * count / extent.notes.sum())
    assert rows["bits_per_beat"]["value"] == pytest.approx(uniform * count / extent.beats.sum())
    assert rows["bits_per_token"]["value"] == pytest.approx(uniform)
    assert {row["arm"] for row in rows.values()} == {"uniform"}
    (chosen_on,) = baseline_rows(tokens, 128, {"uniform": (uniform, "uniform v1")}, "validation")
    assert (chosen_on["metric"], chosen_on["value"]) == ("validation_bits_per_token", pytest.approx(uniform))
