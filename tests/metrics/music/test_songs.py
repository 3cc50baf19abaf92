"""Several pieces of one song: drawn together, never neighbours of each other, and copies are one song."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from metrics import MetricResult, Notes, oa_attribute, oa_from_features, pitch_outliers, quality_table
from metrics.music import attribute, outliers
from metrics.music.notes import repeated_pieces, song_numbers
from metrics.music.overlap import pair_distances
from metrics.music.resample import mean_measured, measured
from metrics.music.vectors import _discrepancy, _kernels

SONGS, WINDOWS = 12, 4
DRAWS = 200


def piece(pitches: Sequence[int], song: str = "", name: str = "") -> Notes:
    return replace(Notes.from_arrays(np.arange(len(pitches)), np.ones(len(pitches)), pitches, name=name), song=song)


def test_songs_are_numbered_and_copies_are_one_song():
    pieces = [piece([60], "a"), piece([61], "b"), piece([62], "a"), piece([63]), piece([64])]
    assert song_numbers(pieces).tolist() == [0, 1, 0, 2, 3]
    copies = [piece([60], name="x"), piece([61]), piece([60], name="y"), piece([62])]
    assert song_numbers(copies).tolist() == [0, 1, 0, 2]
    joined = [
        piece([60], "a"),
        piece([61], "b"),
        piece([62], "a"),
        piece([61], "c"),
        piece([61], "a"),
        piece([65], "c"),
    ]
    assert song_numbers(joined).tolist() == [0] * 6  # a piece of a is one of b, and of c
    assert song_numbers([]).tolist() == []


def test_repeated_pieces_are_grouped_in_order():
    pieces = [piece([60]), piece([61], name="first"), piece([]), piece([62]), piece([61], name="copy"), piece([])]
    assert [[one.name for one in group] for group in repeated_pieces(pieces)] == [["first", "copy"]]
    assert repeated_pieces(pieces[:4]) == []


def test_pieces_of_one_song_are_drawn_together():
    seen: list[np.ndarray] = []

    def redraw(weights: np.ndarray) -> np.ndarray:
        seen.append(weights)
        return weights @ np.arange(7.0)

    songs = np.array([4, 4, 9, 2, 9, 4, 7])  # any numbers
    result = measured("token_entropy", 1.0, [songs], redraw, {}, intervals=True, seed=0)
    assert (result.n, result.songs) == (7, 4)
    weights = seen[0]
    assert (weights[:, [0, 0, 2]] == weights[:, [1, 5, 4]]).all()
    assert (weights[:300].mean(0) == pytest.approx(1, abs=0.2)) and set(np.unique(weights[:300])) == {0, 2}
    in_turn = [[1, 1, 1, 0, 1, 1, 1], [0, 0, 1, 1, 1, 0, 1], [1, 1, 1, 1, 1, 1, 0], [1, 1, 0, 1, 0, 1, 1]]
    assert weights[300:].tolist() == (4 / 3 * np.array(in_turn)).tolist()  # in order of the songs' numbers: 2, 4, 7, 9


def test_values_stand_in_the_places_of_the_pieces():
    heard = [piece([60, 60]), piece([60, 62, 64]), piece([60, 61])]
    generated = [heard[0], piece([]), heard[1], heard[2]]
    rows = {row.name: row for row in quality_table(generated, heard, heard, intervals=False)}
    alone = {row.name: row for row in quality_table(heard, heard, heard, intervals=False)}
    for name in ("chord_density_onset_max", "pitch_outliers_range", "novelty_longest_copy", "pitch_class_entropy"):
        assert len(rows[name].values) == 4 and len(alone[name].values) == 3, name
        assert np.isnan(rows[name].values).tolist() == [False, True, False, False], name
        kept = np.array(rows[name].values)[[0, 2, 3]]
        assert kept.tolist() == list(alone[name].values), name
    assert rows["pitch_class_entropy"].values[0] == 0 and rows["pitch_class_entropy"].values[3] == 1
    assert rows["oa_mean"].values == ()
    means = [row for row in rows.values() if row.values and row.name.startswith(("novelty", "pitch_class", "scale"))]
    assert len(means) >= 4
    for row in means:
        assert row.value == pytest.approx(np.nanmean(row.values))


def test_two_pieces_of_one_song_are_no_pair():
    reference = np.array([[0.0], [1.0], [3.0]])
    songs = np.array([0, 0, 1])
    assert sorted(pair_distances(reference, reference, songs).intra) == [2, 3]
    assert sorted(pair_distances(reference, reference).intra) == [1, 2, 3]
    numbers = [np.arange(3), np.zeros(3, np.int64)]
    found = oa_from_features(reference, reference, songs=numbers, intervals=False)
    assert np.isnan(found.value) and found.reason == "needs reference pieces of at least 2 songs, got 3 pieces of 1"


def test_discrepancy_is_nil_in_the_mean_though_pieces_come_in_songs():
    generator = np.random.default_rng(0)
    songs = np.repeat(np.arange(8), WINDOWS)
    ones = np.ones((1, len(songs)))
    found = []
    for _ in range(200):
        sides = [generator.normal(0, 1, (8, 2))[songs] + generator.normal(0, 0.3, (len(songs), 2)) for _ in range(2)]
        for numbers in (songs, np.arange(len(songs))):
            found.append(float(_discrepancy(_kernels(*sides, [numbers, numbers]), ones, ones)[0]))
    by_songs, by_pieces = np.array(found).reshape(-1, 2).T
    assert abs(by_songs.mean()) < 3 * by_songs.std() / np.sqrt(200)
    assert by_pieces.mean() > 6 * by_pieces.std() / np.sqrt(200)  # pairs of one song are alike


def clustered(generator: np.random.Generator, songs: int = SONGS) -> list[Notes]:
    """Pieces of 20 notes around the centre of their song, four a song."""
    centres = np.repeat(generator.normal(60, 6, songs), WINDOWS)
    pitches = np.clip(np.rint(generator.normal(centres[:, None], 6, (len(centres), 20))), 0, 127).astype(np.int16)
    beats, velocity = np.arange(20.0), np.full(20, 64, np.int16)
    return [Notes(beats, np.ones(20), row, velocity, song=f"{i // WINDOWS}") for i, row in enumerate(pitches)]


def covered(measure: Callable[[int], MetricResult], truth: float | None = None) -> float:
    """Share of the intervals of simulated studies that hold the true value, or the mean of all."""
    results = [measure(number) for number in range(DRAWS)]
    expected = np.mean([result.value for result in results]) if truth is None else truth
    return float(np.mean([result.low <= expected <= result.high for result in results]))


def test_the_interval_of_a_mean_covers_by_songs_and_would_not_by_pieces():
    generator = np.random.default_rng(5)
    songs = np.repeat(np.arange(SONGS), WINDOWS)
    values = [generator.normal(0, 1, SONGS)[songs] + generator.normal(0, 1, len(songs)) for _ in range(DRAWS)]

    def mean(number: int, songs: np.ndarray) -> MetricResult:
        return mean_measured("token_entropy", values[number], songs, {}, intervals=True, seed=1)

    assert 0.92 <= covered(lambda number: mean(number, songs), 0.0) <= 0.98
    assert covered(lambda number: mean(number, np.arange(len(songs))), 0.0) < 0.85


@pytest.fixture(scope="module")
def draws() -> list[list[list[Notes]]]:
    generator = np.random.default_rng(2)
    return [[clustered(generator) for _ in range(2)] for _ in range(DRAWS)]


@pytest.mark.parametrize("name", ["oa_attribute", "pitch_outliers"])
def test_intervals_cover_by_songs_and_would_not_by_pieces(draws: list, name: str, monkeypatch: pytest.MonkeyPatch):
    train = [piece([50, 70])]

    def measure(number: int) -> MetricResult:
        if name == "oa_attribute":
            return oa_attribute(*draws[number], "pitch", seed=1)
        return pitch_outliers(draws[number][0], train, "range", seed=1)

    assert {(measure(0).n, measure(0).songs)} == {(SONGS * WINDOWS, SONGS)}
    assert covered(measure) >= 0.90
    module = {"oa_attribute": attribute, "pitch_outliers": outliers}[name]
    monkeypatch.setattr(module, "song_numbers", lambda pieces: np.arange(len(pieces)))
    assert covered(measure) < 0.85


SILENT, LONE = piece([]), piece([60, 64, 67, 60] * 12)


@pytest.mark.parametrize(
    ("generated", "songs"),
    [
        ([LONE] * 50, 1),
        ([replace(LONE, name=f"{i}") for i in range(50)], 1),
        ([piece([60, 62, 60 + i] * 12, "one song") for i in range(20)], 1),
        ([LONE], 1),
        ([SILENT] * 5, 0),
        ([], 0),
    ],
    ids=["one piece fifty times", "one file under fifty names", "one song", "one piece", "no note", "no piece"],
)
@pytest.mark.parametrize("side", ["generated", "reference"])
def test_sets_of_one_song_have_no_interval_and_a_reason(generated: list[Notes], songs: int, side: str):
    honest = [piece([60, 64, 67 + i, 60, 59 + i] * 12, f"{i}") for i in range(8)]
    sets = (generated, honest) if side == "generated" else (honest, generated)
    for row in quality_table(*sets, honest):
        one_sided = side == "reference" and "songs_reference" not in row.parts
        if one_sided and row.measured:
            continue
        assert np.isnan(row.low) and np.isnan(row.high), row.name
        assert row.reason or row.name.endswith("_max"), row.name  # a maximum never has an interval
        if row.measured and side == "generated":
            assert row.songs == songs
            assert not row.reason or row.reason.endswith(f"pieces of {songs} songs, 3 songs are needed")
