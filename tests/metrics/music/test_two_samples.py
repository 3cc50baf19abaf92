"""Kernel distance and nearest neighbours: closed forms, brute force, and what holds for equal sets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from metrics import Notes, kernel_distance, nearest_neighbour_accuracy
from metrics.music.two_samples import (
    Samples,
    discrepancy,
    kernel_of,
    kernel_redraws,
    neighbour_redraws,
    side_accuracies,
)


def pieces(seed: int, count: int, width: int = 12, song: str = "") -> list[Notes]:
    generator = np.random.default_rng(seed)
    made = [
        Notes.from_arrays(
            np.cumsum(generator.choice([0.25, 0.5, 1], 60)),
            generator.choice([0.25, 0.5, 1], 60),
            generator.integers(60 - width, 60 + width, 60),
        )
        for _ in range(count)
    ]
    return [replace(piece, song=song) for piece in made]


def samples(first: list[float], second: list[float], songs: list[int] | None = None) -> Samples:
    """Two sets of points on a line."""
    points = np.array([*first, *second], float)
    numbers = np.arange(len(points)) if songs is None else np.array(songs)
    apart = np.where(numbers[:, None] == numbers, np.inf, np.abs(points[:, None] - points))
    return Samples(apart, numbers, np.arange(len(first)), 1.0, "training")


def brute_force(kernel: np.ndarray, songs: np.ndarray, generated: int, weights: np.ndarray | None = None) -> float:
    """The estimate, pair by pair."""
    weights = np.ones(len(songs)) if weights is None else weights

    def mean(rows: range, columns: range) -> float:
        pairs = [(i, j) for i in rows for j in columns if songs[i] != songs[j]]
        shares = [weights[i] * weights[j] for i, j in pairs]
        return sum(w * kernel[i, j] for w, (i, j) in zip(shares, pairs, strict=True)) / sum(shares)

    first, second = range(generated), range(generated, len(songs))
    return mean(first, first) + mean(second, second) - 2 * mean(first, second)


def test_kernel_is_the_mean_of_five_gaussians():
    expected = np.mean([np.exp(-1 / (2 * factor**2)) for factor in (0.5, 1, 2, 4, 8)])
    assert kernel_of(np.array([0.0, 3.0]), 3.0).tolist() == pytest.approx([1, expected])


def test_estimate_of_four_points_by_hand():
    found = samples([0, 0], [0, 1])
    near = kernel_of(np.array([1.0]), 1.0)[0]
    ones = np.ones((1, 2))
    assert discrepancy(kernel_of(found.distances, 1.0), ones, ones)[0] == pytest.approx(1 + near - 2 * (1 + near) / 2)


def test_estimate_is_the_sum_over_pairs_of_different_songs_under_weights():
    generator = np.random.default_rng(2)
    songs = np.array([0, 0, 1, 2, 3, 3, 4, 0])  # the last, on the other side, is of the first song too
    found = samples(generator.normal(size=4).tolist(), generator.normal(size=4).tolist(), songs.tolist())
    kernel, weights = kernel_of(found.distances, 1.0), generator.random(8)
    for given in (np.ones(8), weights):
        value = discrepancy(kernel, given[None, :4], given[None, 4:])[0]
        assert value == pytest.approx(brute_force(kernel, songs, 4, given))


def test_mean_over_all_splits_of_one_set_is_0():
    # every split of eight points into four and four: the mean of an unbiased estimate is exactly 0
    points = np.random.default_rng(3).normal(size=8) ** 3
    values = []
    for chosen in combinations(range(8), 4):
        rest = [i for i in range(8) if i not in chosen]
        found = samples(points[list(chosen)].tolist(), points[rest].tolist())
        ones = np.ones((1, 4))
        values.append(discrepancy(kernel_of(found.distances, 1.0), ones, ones)[0])
    assert np.mean(values) == pytest.approx(0, abs=1e-12)
    assert min(values) < 0 < max(values)


def test_distance_of_equal_sources_is_0_in_the_mean_and_of_others_it_is_not():
    train = pieces(0, 60)
    equal = [kernel_distance(pieces(2 * s, 12), pieces(2 * s + 1, 12), train) for s in range(1, 41)]
    values = np.array([result.value for result in equal])
    assert abs(values.mean()) < 3 * values.std(ddof=1) / np.sqrt(len(values))
    assert (values < 0).any() and min(result.low for result in equal) < 0
    other = kernel_distance(pieces(2, 12, width=6), pieces(3, 12), train)
    assert other.low > values.max()


def test_order_alone_is_seen():
    generator = np.random.default_rng(0)

    def scales(count: int, mixed: float) -> list[Notes]:
        made = []
        for _ in range(count):
            pitch = 50 + generator.integers(10) + np.tile([0, 2, 4, 5, 7, 5, 4, 2], 8)
            moved = np.flatnonzero(generator.random(64) < mixed)
            pitch[moved] = pitch[generator.permutation(moved)]
            made.append(Notes.from_arrays(np.arange(64) / 2, np.full(64, 0.5), pitch))
        return made

    result = kernel_distance(scales(10, 1), scales(10, 0.3), scales(20, 0.3))
    assert result.low > 0.1


def test_yardstick_is_the_training_music_or_else_the_reference():
    train, generated, reference = pieces(0, 30), pieces(1, 10, 6), pieces(2, 10)
    with_train = kernel_distance(generated, reference, train, intervals=False)
    without = kernel_distance(generated, reference, intervals=False)
    assert with_train.definition == "kernel_distance/90-features/scaled-by-training v2"
    assert without.definition == "kernel_distance/90-features/scaled-by-reference v2"
    assert without.value == kernel_distance(generated, reference, reference, intervals=False).value != with_train.value


def test_pieces_without_a_figure_are_left_out_and_counted():
    single = Notes.from_arrays([0], [1], [60])
    result = kernel_distance([*pieces(1, 10), single], pieces(2, 10), pieces(0, 30), intervals=False)
    assert result.value == kernel_distance(pieces(1, 10), pieces(2, 10), pieces(0, 30), intervals=False).value
    assert (result.n, result.parts["n_reference"], result.parts["left_out"]) == (10, 10, 1)


def test_too_few_pieces_and_one_song_are_reasons():
    for metric in (kernel_distance, nearest_neighbour_accuracy):
        assert "got 2 generated and 5 reference" in metric(pieces(0, 2), pieces(1, 5)).reason
        assert "needs 3 reference or training pieces" in metric([], []).reason
        one = pieces(0, 5, song="a")
        assert metric(one, pieces(1, 5)).reason == "needs pieces of 2 songs on each side, the generated ones are of one"


@pytest.mark.parametrize(
    ("first", "second", "sides"),
    [
        ([0, 1, 2], [10, 11, 12], (1, 1)),  # wholly apart
        ([0, 10, 20], [1, 11, 21], (0, 0)),  # each sits beside a piece of the other set
        ([0, 1, 10], [11, 12, 30], (2 / 3, 2.5 / 3)),  # 10 is beside 11; 11 is as near to 10 as to 12: a half
        ([0, 0, 0], [0, 0, 0], (2 / 5, 2 / 5)),  # all at one distance: two of the five others
    ],
)
def test_accuracy_of_points_on_a_line(first: list[float], second: list[float], sides: tuple[float, float]):
    assert side_accuracies(samples(first, second), np.ones(6)).tolist() == pytest.approx(list(sides))


def test_an_excerpt_of_the_same_song_is_no_neighbour():
    # 0 and 0.1 are of one song, as are 5 and 5.1; without that each would be the other's neighbour
    found = samples([0, 0.1, 4], [1, 5, 5.1], [0, 0, 1, 2, 3, 3])
    # 0 and 0.1 -> 1; 4 -> 5; 1 -> 0.1; 5 and 5.1 -> 4: every neighbour is of the other set
    assert side_accuracies(found, np.ones(6)).tolist() == [0, 0]
    alone = samples([0, 0.1, 4], [1, 5, 5.1])
    assert side_accuracies(alone, np.ones(6)).tolist() == [2 / 3, 2 / 3]


def test_a_redraw_holds_only_its_own_pieces_and_a_piece_drawn_twice_stays_one():
    # 1 and 12 are left out: 0 -> 10, 10 -> 11, 11 -> 10, 30 -> 11
    weights = np.array([2.0, 0.0, 1.0, 1.0, 0.0, 3.0])
    assert side_accuracies(samples([0, 1, 10], [11, 12, 30]), weights).tolist() == [2 / 3, 3 / 4]


def test_a_copy_of_a_reference_piece_leaves_the_order_of_its_songs():
    reference, generated, train = pieces(1, 5), pieces(2, 5), pieces(3, 12)
    for given in (generated, [reference[-1], *generated[1:]]):
        found = kernel_distance(given, reference, train).without[1]
        less = [kernel_distance(given, reference[:k] + reference[k + 1 :], train, intervals=False) for k in range(5)]
        assert found.tolist() == pytest.approx([one.value for one in less])


def test_a_set_against_itself():
    train, same = pieces(0, 20), pieces(1, 8)
    assert kernel_distance(same, same, train, intervals=False).value == pytest.approx(0, abs=1e-12)
    assert nearest_neighbour_accuracy(same, same, train, intervals=False).value == 0.5


@pytest.mark.parametrize(
    ("metric", "redraws"), [(kernel_distance, kernel_redraws), (nearest_neighbour_accuracy, neighbour_redraws)]
)
def test_draws_made_at_once_have_the_values_of_draws_made_one_by_one(metric: Callable, redraws: Callable):
    train, reference = pieces(0, 20), pieces(1, 7)
    pool = [*pieces(2, 12), Notes.from_arrays([0], [1], [60]), *pieces(3, 6, song="a")]
    generator = np.random.default_rng(0)
    chosen = np.array([generator.permutation(len(pool))[:8] for _ in range(6)])
    expected = [metric([pool[i] for i in row], reference, train, intervals=False).value for row in chosen]
    assert redraws(pool, chosen, reference, train).tolist() == pytest.approx(expected)
    assert np.isnan(redraws(pool[:2], np.array([[0, 1]]), reference, train)).all()


def test_accuracy_of_equal_sources_is_that_of_chance_and_of_others_1():
    train = pieces(0, 60)
    equal = [
        nearest_neighbour_accuracy(pieces(2 * s, 12), pieces(2 * s + 1, 12), train, intervals=False)
        for s in range(1, 41)
    ]
    values = np.array([result.value for result in equal])
    assert equal[0].parts["reference"] == pytest.approx(11 / 23)
    assert abs(values.mean() - 11 / 23) < 3 * values.std(ddof=1) / np.sqrt(len(values))
    other = nearest_neighbour_accuracy(pieces(1, 12, width=3), pieces(2, 20), train)
    assert (other.value, other.n, other.parts["n_reference"], other.better) == (1, 12, 12, "nearest")
    # all 24 right: the rate p with p^24 = 0.025
    assert (other.low, other.high) == (pytest.approx(0.025 ** (1 / 24)), 1)
