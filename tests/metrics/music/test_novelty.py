"""Novelty: copies of known length, neighbours at known distance."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from metrics import Notes, novelty
from metrics.music.novelty import longest_copies, note_words


def walk(seed: int, notes: int = 200) -> Notes:
    generator = np.random.default_rng(seed)
    return Notes.from_arrays(
        np.cumsum(generator.choice([0.25, 0.5, 1], notes)),
        generator.choice([0.25, 0.5, 1], notes),
        generator.integers(40, 90, notes),
    )


def part(
    piece: Notes, start: int, stop: int, *, at: float = 0.0, up: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    onset = piece.onset[start:stop]
    return onset - onset[0] + at, piece.duration[start:stop], piece.pitch[start:stop] + up


def again(piece: Notes) -> Notes:
    """The same notes, read another time."""
    return replace(piece)


def joined(*parts: tuple[np.ndarray, np.ndarray, np.ndarray]) -> Notes:
    return Notes.from_arrays(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def test_a_passage_is_found_wherever_it_stands():
    train = [walk(1), walk(2), walk(3)]
    copied = joined(part(walk(9), 0, 50), part(train[1], 100, 130, at=100.0), part(walk(9), 50, 90, at=300.0))
    # thirty notes in a row: the first one's step from the note before is not the passage's own
    assert longest_copies([copied, walk(9)], train).tolist()[0] == 29
    assert longest_copies([walk(9)], train)[0] < 5
    transposed = joined(part(train[1], 100, 130, up=1))
    assert longest_copies([transposed], train)[0] < 5


def by_every_diagonal(piece: Notes, train: list[Notes], transposed: bool = False) -> int:
    """Longest common run of words with a piece of another song, word by word."""
    own, best = note_words(piece, transposed), 0
    for known in train:
        if known is piece or known.song == piece.song != "":
            continue
        other = note_words(known, transposed)
        before = np.zeros(len(other) + 1, int)
        for word in own:
            now = np.zeros(len(other) + 1, int)
            now[1:] = np.where(other == word, before[:-1] + 1, 0)
            before, best = now, max(best, int(now.max()))
    return best


@pytest.mark.parametrize("pairs", [40, 4_000_000])
def test_lengths_are_those_of_a_search_word_by_word(pairs: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("metrics.music.novelty.MOST_PAIRS", pairs)
    generator = np.random.default_rng(0)

    def melody(notes: int, pitches: int) -> Notes:
        return Notes.from_arrays(np.arange(notes), np.ones(notes), generator.integers(60, 60 + pitches, notes))

    train = [melody(notes, pitches) for notes, pitches in ((90, 1), (120, 2), (150, 3), (2, 3), (1, 1))]
    cuts = [joined(part(train[2], start, stop)) for start, stop in ((10, 31), (0, 64), (50, 150), (149, 150))]
    pieces = [*cuts, *(melody(notes, pitches) for notes in (3, 40, 100) for pitches in (1, 2, 3)), again(train[1])]
    for transposed in (False, True):
        expected = [by_every_diagonal(piece, train, transposed) for piece in pieces]
        assert longest_copies(pieces, train, transposed=transposed).tolist() == expected
    # the same with songs: four of them, in turn on both sides, and some pieces of none
    train = [replace(piece, song=f"{place % 4}") for place, piece in enumerate([*train, *train])]
    pieces = [replace(piece, song=("0", "1", "2", "3", "")[place % 5]) for place, piece in enumerate(pieces * 2)]
    expected = [by_every_diagonal(piece, train) for piece in pieces]
    assert longest_copies(pieces, train).tolist() == expected
    assert longest_copies([*pieces, *train], train).tolist()[: len(pieces)] == expected


def test_a_copy_in_another_key_is_found_where_keys_do_not_count():
    train = [walk(1), walk(2), walk(3)]
    higher = joined(part(walk(9), 0, 50), part(train[1], 100, 130, at=100.0, up=5))
    assert longest_copies([higher], train)[0] < 5
    assert longest_copies([higher], train, transposed=True)[0] == 29
    result = novelty([higher], train, "longest_copy_transposed", reference=[walk(60)])
    assert (result.value, result.unit, result.parts["largest"]) == (29, "notes", 29)
    assert result.parts["reference"] < 8


def test_a_songs_other_windows_are_no_training_music_of_it():
    whole = walk(4)
    windows = [replace(joined(part(whole, start, start + 80)), song="a") for start in (0, 40, 80, 120)]
    others = [replace(walk(seed), song=f"{seed}") for seed in range(20, 24)]
    train = [*windows[1:], *others]
    assert longest_copies(windows[:1], [replace(piece, song="") for piece in train]).tolist() == [39]
    assert longest_copies(windows[:1], train)[0] < 5
    assert longest_copies(windows[:1], train, transposed=True)[0] < 8
    # the song's own windows share 39 notes with it, another song 23: no length in between may come from the former
    borrowed = replace(joined(part(walk(30), 0, 40), part(whole, 45, 69, at=100.0)), song="c")
    both = [windows[0], replace(windows[0], song="z")]  # the second keeps the first one's own windows in the search
    assert longest_copies(both, [*train, borrowed]).tolist() == [23, 39]
    near = novelty(windows[:1], train, "nearest_distance", intervals=False)
    away = novelty([replace(windows[0], song="b")], train, "nearest_distance", intervals=False)
    assert near.value > away.value
    assert "needs 2 training pieces" in novelty(windows[:1], windows, "nearest_distance").reason


def test_a_training_piece_is_never_compared_with_itself():
    train = [walk(seed) for seed in range(10)]
    assert max(longest_copies(train, train)) < 5
    assert novelty(train, train, "nearest_distance", intervals=False).parts["smallest"] > 0.1


def test_no_passage_crosses_from_one_training_piece_into_the_next():
    whole = walk(4)
    halves = [joined(part(whole, 0, 100)), joined(part(whole, 100, 200))]
    assert longest_copies([whole], halves).tolist() == [99]
    assert longest_copies([again(whole)], [whole]).tolist() == [199]
    assert longest_copies([Notes.from_arrays([0], [1], [60])], [whole]).tolist() == [0]


def test_the_figure_stands_beside_that_of_held_out_music():
    train = [walk(seed) for seed in range(10)]
    result = novelty([again(train[0]), walk(50)], train, reference=[walk(60), walk(61)])
    assert result.parts["largest"] == 199
    assert result.parts["copied_whole"] == 0.5
    assert result.parts["reference"] < 5
    assert result.unit == "notes"


def test_a_copy_is_at_distance_zero_and_strange_music_far_away():
    train = [walk(seed) for seed in range(12)]
    high = Notes.from_arrays(np.arange(30) * 4, np.full(30, 4), np.arange(30) + 90)
    near = novelty([again(train[3])], train, "nearest_distance", reference=[walk(40)])
    far = novelty([high], train, "nearest_distance")
    assert near.value == pytest.approx(0, abs=1e-6)
    assert 0.1 < near.parts["reference"] < far.value


def test_nothing_to_compare_with_is_a_reason():
    assert novelty([walk(1)], []).reason == "no training piece has notes"
    assert novelty([], [walk(1)]).reason == "no generated piece has notes"
    single = [Notes.from_arrays([0], [1], [60])] * 3
    assert "needs 2 training pieces" in novelty([walk(1)], single, "nearest_distance").reason
    with pytest.raises(ValueError, match="novelty kind 'plagiarism' is unknown"):
        novelty([walk(1)], [walk(2)], "plagiarism")
