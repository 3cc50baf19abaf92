"""Whatever a model writes: its notes give tokens that give the same notes, and a note moves to its nearest place."""

from __future__ import annotations

import numpy as np
import pytest
import symusic
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.data import TokenizerSettings
from bench.data.remi import build_tokenizer, decode, encode
from metrics import read_notes

SETTINGS = settings(max_examples=25, deadline=None, derandomize=True)
DEFAULT = TokenizerSettings()


@SETTINGS
@given(st.lists(st.integers(4, 221), max_size=200))
def test_whatever_a_model_writes_settles_after_one_turn(tokens: list[int]):
    heard = decode(np.array(tokens, np.int64), DEFAULT)
    if not heard.note_num():
        return
    once = encode(heard, DEFAULT)
    again = decode(once, DEFAULT)
    assert encode(again, DEFAULT).tolist() == once.tolist()
    assert read_notes(again).content_hash == read_notes(decode(encode(again, DEFAULT), DEFAULT)).content_hash


def test_a_note_moves_to_the_nearest_place_and_no_further():
    score = symusic.Score(480)
    track = symusic.Track("piano", 0, False)
    track.notes.append(symusic.Note(480 + 25, 470, 60, 82))  # 25 ticks late: nearer to the beat than to its eighth
    score.tracks.append(track)
    notes = read_notes(decode(encode(score, DEFAULT), DEFAULT))
    assert (notes.onset.tolist(), notes.duration.tolist(), notes.velocity.tolist()) == ([1.0], [1.0], [83])
    assert build_tokenizer(DEFAULT).config.pitch_range == (21, 109)
    with pytest.raises(ValueError, match="not in the vocabulary"):
        decode(np.array([222]), DEFAULT)
