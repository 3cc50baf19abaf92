"""Held-out windows: as many songs as there are, and each piece of notes with its song."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from bench.data import TokenCorpus
from bench.errors import UserError
from bench.measure.quality.music import (
    SongWindows,
    full_windows,
    held_out_windows,
    load_tokens,
    song_by_song,
    to_notes,
    token_results,
    train_notes,
)

LENGTH = 128


@pytest.fixture(scope="module")
def tokens() -> TokenCorpus:
    return load_tokens("demo/lieder", {})


def test_first_windows_of_all_songs_come_before_second_ones():
    songs = ["a", "a", "a", "b", "c", "c"]
    order = song_by_song(songs, ["a", "b", "c", "without a full window"])
    assert sorted(order) == [0, 1, 2, 3, 4, 5]
    turns = [songs[row] for row in order]
    assert [sorted(turns[:3]), sorted(turns[3:5]), turns[5]] == [["a", "b", "c"], ["a", "c"], "a"]
    first = [song for song in turns[:3] if song != "b"]
    assert turns[3:5] == first  # the order of the songs is one


def test_songs_come_in_one_order_at_every_length(tokens: TokenCorpus):
    at = [held_out_windows(tokens, length, 4).songs for length in (64, LENGTH)]
    assert at[0] == at[1]


def test_as_many_songs_as_there_are_and_no_window_twice(tokens: TokenCorpus):
    full = full_windows(tokens, "test", LENGTH)
    known = set(full.songs)
    assert len(full) > len(known) >= 4
    for count in (1, len(known) - 1, len(known), len(known) + 1, len(full)):
        found = held_out_windows(tokens, LENGTH, count)
        assert found.tokens.shape == (count, LENGTH) and len(set(found.songs)) == min(count, len(known))
        rows = Counter(row.tobytes() for row in full.tokens)
        assert Counter(row.tobytes() for row in found.tokens) <= rows
    for fewer, more in pairwise([held_out_windows(tokens, LENGTH, count) for count in (3, 7, len(full))]):
        assert more.songs[: len(fewer)] == fewer.songs and (more.tokens[: len(fewer)] == fewer.tokens).all()


def test_too_many_windows_are_refused_in_one_line(tokens: TokenCorpus):
    have = len(full_windows(tokens, "test", LENGTH))
    with pytest.raises(UserError, match=f"has {have} full windows of 128 tokens, {have + 1} are wanted: lower sample"):
        held_out_windows(tokens, LENGTH, have + 1)


def test_notes_know_the_song_of_their_window(tokens: TokenCorpus):
    windows = held_out_windows(tokens, LENGTH, 3)
    assert tuple(piece.song for piece in to_notes(tokens, windows, "test")) == windows.songs
    assert {piece.song for piece in to_notes(tokens, windows.tokens, "generated")} == {""}
    assert {piece.song for piece in train_notes(tokens, 1024)} <= {piece.id for piece in tokens.stream("train").pieces}


def test_rows_of_tokens_count_songs(tokens: TokenCorpus):
    rows = held_out_windows(tokens, LENGTH, 2).tokens
    windows = SongWindows(np.concatenate([rows, rows]), ("b", "a", "b", "b"))
    assert windows.song_numbers.tolist() == [1, 0, 1, 1]
    assert {(one.n, one.songs) for one in token_results(tokens, windows)} == {(4, 2)}
    assert {(one.n, one.songs) for one in token_results(tokens, np.asarray(rows))} == {(2, 2)}
