"""Redraws of the ceiling: draws by songs, values of many draws at once, and floors that metrics separate or not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from metrics import Notes, reference_rows
from metrics.music.draws import Draws, draw_pieces, halves, means_of_draws
from metrics.music.floors import FLOORS
from metrics.music.notes import song_numbers
from metrics.music.table import CEILING, MOST_REDRAWN, Redrawn, _calls
from metrics.quantities import redraws_of
from metrics.statistics.redraws import place, separation


def melody(seed: int, notes: int = 60, song: str = "", centre: int = 60) -> Notes:
    """A random walk in a scale on a grid of half beats, with chords now and then: music enough for every metric."""
    generator = np.random.default_rng(seed)
    steps = generator.choice([-2, -1, 0, 1, 2], notes)
    scale = np.array([0, 2, 4, 5, 7, 9, 11])
    place = 7 + np.clip(np.cumsum(steps), -6, 6)
    pitch = centre - 12 + 12 * (place // 7) + scale[place % 7]
    onset = np.cumsum(generator.choice([0.0, 0.5, 0.5, 1.0, 1.0, 1.5], notes))
    duration = generator.choice([0.5, 1.0, 1.0, 2.0], notes)
    velocity = generator.integers(40, 100, notes)
    return replace(Notes.from_arrays(onset, duration, pitch, velocity, name=f"m{seed}"), song=song)


@pytest.fixture(scope="module")
def music() -> list[Notes]:
    return [melody(seed, notes=50 + seed % 40, centre=58 + seed % 5) for seed in range(60)]


def test_a_draw_has_one_piece_a_song_before_a_second_one():
    songs = np.array([0] * 6 + [1] * 3 + [2] * 3 + [3] * 3 + [4] * 3 + [5, 6, 7, 8, 9])
    generator = np.random.default_rng(0)
    few = draw_pieces(songs, 5, generator, 50)
    assert few.chosen.shape == (50, 5) and (few.songs, few.pool_songs) == (5, 10)
    assert all(len(set(songs[draw])) == 5 for draw in few.chosen)
    many = draw_pieces(songs, 12, generator, 50)  # nine of ten songs, then second pieces
    assert many.songs == 9
    for draw in many.chosen:
        assert len(set(draw.tolist())) == 12
        assert len(set(songs[draw].tolist())) == 9 and np.bincount(songs[draw]).max() == 2
    seen = np.bincount(few.chosen.ravel(), minlength=len(songs))
    assert (seen[songs == 0] > 0).sum() == 1  # a song is known by the piece that was drawn first
    alone = np.bincount(songs[few.chosen].ravel(), minlength=10)
    assert alone.min() > 10  # of 25 expected of each song


def test_more_pieces_than_there_are_give_the_largest_draw():
    draws = draw_pieces(np.arange(20), 50, np.random.default_rng(1), 10)
    assert draws.chosen.shape == (10, 18)
    assert draw_pieces(np.zeros(0, np.int64), 5, np.random.default_rng(1)).chosen.size == 0


def test_the_spread_of_draws_is_that_of_draws_that_share_no_song():
    """Means of 40 of 50 figures: the variance of 40 fresh ones, the square of the pool's deviation over 40."""
    generator = np.random.default_rng(2)
    pool = generator.normal(size=50)
    draws = draw_pieces(np.arange(50), 40, generator, 4000)
    means = means_of_draws(pool, draws.chosen)
    expected = pool.std(ddof=1) / np.sqrt(40)
    assert draws.spread(means).std() == pytest.approx(expected, rel=0.05)
    assert means.std() == pytest.approx(expected * np.sqrt(1 - 40 / 50), rel=0.05)
    assert draws.spread(means).mean() == pytest.approx(means.mean())
    assert means_of_draws(np.array([1.0, np.nan, 5.0]), np.array([[0, 1], [0, 2]])).tolist() == [1.0, 3.0]


def test_halves_share_no_song():
    songs = np.repeat(np.arange(9), 2)
    first, second = halves(songs, np.random.default_rng(0), 20)
    assert first.chosen.shape == second.chosen.shape == (20, 8)
    for left, right in zip(first.chosen, second.chosen, strict=True):
        assert not set(songs[left]) & set(songs[right])


@pytest.mark.parametrize("limits", ["full", "data"])
def test_values_of_many_draws_are_those_of_calls_one_by_one(music: list[Notes], limits: str):
    pool = [*music[:30], Notes.from_arrays([], [], []), melody(99, notes=1)]
    draws = draw_pieces(song_numbers(pool), 12, np.random.default_rng(3), 3)
    songs = [replace(piece, song=f"song {index // 2}") for index, piece in enumerate(music[30:42])]
    given = {"reference": songs, "train": music[42:], "limits": limits, "intervals": False, "seed": 4}
    made = 0
    for function, options in _calls(given):
        if redraws_of(function) is None:
            continue
        at_once = Redrawn(pool, draws).values(function, options)
        for result, values in at_once:
            made += 1
            alone = [
                one.value
                for draw in draws.chosen
                for one, _ in Redrawn(pool, Draws(draw[None], 0, 0)).values(function, options)
                if one.name == result.name
            ]
            assert values == pytest.approx(alone, abs=2e-4, nan_ok=True), result.name
    assert made >= 15


def test_rows_state_mean_range_sd_and_number_of_draws(music: list[Notes]):
    found = reference_rows(music[:10], music[10:], seed=1, draws=40, rows=[CEILING])
    assert list(found) == [CEILING]
    row = {result.name: result for result in found[CEILING]}["oa_mean"]
    assert row.low < row.value < row.high and (row.n, row.songs) == (10, 10)
    assert row.parts["draws"] == 40 and row.parts["n"] == 10 and "auc" not in row.parts
    assert (row.high - row.low) / row.parts["sd"] == pytest.approx(3.6, abs=0.9)
    assert row.definition == "oa_attribute/mean-of-4 v1, mean of 40 draws"
    short = reference_rows(music[:30], music[20:], seed=1, draws=10, rows=[CEILING])[CEILING]
    assert short[0].definition.endswith("mean of 10 draws of 27 pieces, 30 wanted: the songs run out")


def test_a_reference_without_more_music_is_halved(music: list[Notes]):
    row = reference_rows(music[:20], seed=1, draws=10, rows=[CEILING])[CEILING][0]
    assert row.n == 10 and row.parts["draws"] == 10 and row.low < row.high
    assert np.isnan(row.parts["sd"])  # no place among sets half as large
    assert row.definition.endswith("mean of 10 draws of halves of 10 pieces, 20 wanted: the songs run out")


def test_metrics_separate_easy_floors_and_oa_is_blind_to_shuffling(music: list[Notes]):
    sets = (CEILING, "uniform-tokens", "shuffled", "pitches-shuffled")
    found = reference_rows(music[:12], music[12:], seed=1, draws=30, rows=sets)
    assert tuple(found) == sets
    area = {floor: {row.name: row.parts.get("auc") for row in rows} for floor, rows in found.items()}
    assert area["uniform-tokens"]["oa_mean"] == 1.0
    assert 0.2 < area["pitches-shuffled"]["oa_attribute_pitch"] < 0.8
    assert area["shuffled"]["kernel_distance"] > 0.95
    assert np.isnan(area["shuffled"]["novelty_longest_copy"])  # no way is better
    assert area[CEILING]["oa_mean"] is None


def test_many_pieces_have_floors_drawn_once(music: list[Notes]):
    pieces = [replace(piece, song=f"{index}") for index, piece in enumerate(music * 5)]
    moved = [replace(piece, onset=piece.onset + 0.5 * (index // 60)) for index, piece in enumerate(pieces)]
    found = reference_rows(moved[:120], moved[120:], count=MOST_REDRAWN + 1, draws=3, rows=["shuffled"])
    row = found["shuffled"][0]
    assert row.parts["draws"] == 1 and np.isnan(row.low) and row.definition.endswith(", one draw")
    assert 0 <= row.parts["auc"] <= 1


def test_the_place_of_a_figure():
    real = {"mean": 0.8, "sd": 0.02, "low": 0.76, "high": 0.84}
    assert place(0.84, **real, better="higher") == "within real music"
    assert place(0.7, **real, better="higher") == "5.0 sd worse" == place(0.9, **real, better="lower")
    assert place(0.9, **real, better="higher") == "5.0 sd better"
    assert (
        place(0.9, **real, better="nearest") == "5.0 sd above" and place(0.7, **real, better="none") == "5.0 sd below"
    )
    assert place(np.nan, **real, better="lower") == "" == place(0.9, **real | {"sd": np.nan}, better="lower")


def test_areas_under_the_curve():
    low, high = np.arange(5.0), np.arange(5.0) + 10
    assert separation(low, high) == 1 and separation(high, low) == 0
    assert separation(low, low) == 0.5
    assert separation(np.array([1.0, np.nan]), np.array([0.0, 2.0])) == 0.5
    assert np.isnan(separation(low, np.array([np.nan])))


def test_floors_keep_songs_and_lose_what_they_should(music: list[Notes]):
    real = [replace(piece, song="a") for piece in music[:8]]
    made = {name: maker(real, music, 0) for name, maker in FLOORS.items()}
    assert all(len(pieces) == 8 and {piece.song for piece in pieces} == {"a"} for pieces in made.values())
    for piece, still in zip(real, made["pitches-shuffled"], strict=True):
        assert set(still.onset) == set(piece.onset) and set(still.pitch) <= set(piece.pitch)
    kept = {name: sum(map(len, pieces)) / sum(map(len, real)) for name, pieces in made.items()}
    assert kept["uniform-tokens"] < 0.1 and kept["unigram-tokens"] < 0.3
    assert all(0.8 < kept[name] <= 1 for name in ("unigram-notes", "shuffled", "pitches-shuffled"))
    assert 0.5 < kept["bigram-tokens"] < 1.5
    drawn = np.concatenate([piece.pitch for piece in made["unigram-notes"]])
    assert set(drawn) <= {pitch for piece in music for pitch in piece.pitch}
