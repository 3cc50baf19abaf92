"""Two sets compared by one figure: jackknife in closed form, shared references, seeds, families, false calls."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from metrics.statistics.planning import Needed
from metrics.statistics.sets import SetFigure, set_difference, set_pairs
from metrics.statistics.simultaneous import Family
from metrics.statistics.verdict import Verdict, verdict

PAIR = Family("pairs", 2)


def mean_of(values, reference=()) -> SetFigure:
    """The mean of songs less that of the reference, with what it is without each song."""
    own, other = np.asarray(values, float), np.asarray(reference, float)
    shift = other.mean() if len(other) else 0.0
    less = (own.sum() - own) / (len(own) - 1) - shift
    if not len(other):
        return SetFigure(float(own.mean()), (less,))
    return SetFigure(own.mean() - shift, (less, own.mean() - (other.sum() - other) / (len(other) - 1)))


def seeds(move: float) -> list[SetFigure]:
    """Three seeds of a trained side, whose figures move by this much without one of their pieces."""
    return [SetFigure(value, (value + np.array([0.0, move, -move]),)) for value in (1.0, 2.0, 3.0)]


def between(first, second, family=PAIR):
    return set_difference(first, second, ("a", "b"), family)


def test_two_means_have_the_sum_of_their_variances():
    found = between([mean_of([0, 2, 0, 2])], [mean_of([10, 14, 10, 14])])
    # variances of the means 4/3 / 4 and 16/3 / 4; Student's t of 3 degrees of freedom is 3.182446 at 0.975
    assert (found.value, found.seeds, found.unit, found.songs) == (-11.0, 4, "song", 0)
    assert found.standard_error == pytest.approx(math.sqrt(5 / 3))
    assert found.interval.high - found.value == pytest.approx(3.182446 * math.sqrt(5 / 3), rel=1e-5)
    assert found.p_value < 0.05 and verdict(found, better="lower").text == "better"


def test_a_reference_that_moves_both_alike_costs_nothing():
    alone = between([mean_of([0, 2, 0, 2])], [mean_of([1, 5, 1, 5])])
    shared = between([mean_of([0, 2, 0, 2], [0, 90, 7, 3])], [mean_of([1, 5, 1, 5], [0, 90, 7, 3])])
    assert shared.interval.half_width == pytest.approx(alone.interval.half_width, rel=0.05)
    other = between([mean_of([0, 2, 0, 2], [0, 90, 7, 3])], [mean_of([1, 5, 1, 5], [0, 90, 7, 3, 50])])
    assert other.interval.half_width > 10 * alone.interval.half_width  # not the same songs: nothing cancels


def test_seeds_replace_the_songs_of_a_trained_side():
    found = between(seeds(0.1), [mean_of([0, 2, 0, 2])])
    assert (found.value, found.seeds, found.unit, found.songs) == (1.0, 3, "seed", 4)
    assert found.standard_error == pytest.approx(math.sqrt(1 / 3 + 1 / 3))  # of three seeds, and of four songs
    assert verdict(found, better="lower").word == "open"
    wide = between(seeds(9.0), [mean_of([0, 2, 0, 2])])  # pieces that vary more than the seeds: 2 / 3 * 162 each
    assert wide.standard_error == pytest.approx(math.sqrt(36 + 1 / 3))


def test_three_systems_are_one_family():
    sets = {name: mean_of([0, 2, 0, 2]) for name in "abc"}
    found = set_pairs(sets)
    assert list(found) == [("a", "b"), ("a", "c"), ("b", "c")]
    wider = found["a", "b"].interval.half_width / between([sets["a"]], [sets["b"]]).interval.half_width
    assert wider == pytest.approx(5.90953 / math.sqrt(2) / 3.182446, rel=1e-3)  # studentised range, 3 means, 3 freedom


def test_too_few_songs_have_no_verdict_and_the_reason():
    assert verdict(between([mean_of([0, 2])], [mean_of([0, 2])]), better="lower").text == "open: 2 songs, 3 are needed"
    bare = between([SetFigure(1.0)], [mean_of([0, 2, 4])])
    assert verdict(bare, better="lower").text == "open: no spread over single songs"
    missing = between([SetFigure(math.nan, reason="no notes")], [mean_of([0, 2, 4])])
    assert verdict(missing, better="lower").text == "open: no notes"


def test_an_open_verdict_names_songs():
    found = verdict(between([mean_of([0, 2, 0, 2])], [mean_of([1, 3, 1, 2])]), better="lower")
    assert found.needed is not None and found.needed.seeds is None and found.needed.songs > 4
    assert found.text == f"open: {found.needed.songs} songs would decide"
    assert Verdict("open", needed=Needed(None, None, "songs")).text == "open: over 10,000 songs would decide"


def test_songs_left_out_in_groups_are_counted_one_by_one():
    def grouped(shift: float, songs: int) -> SetFigure:
        value = 1.0 + shift
        return SetFigure(value, (value + 0.01 * (-1.0) ** np.arange(50),), songs=songs)

    alone, found = between([grouped(0, 0)], [grouped(0.05, 0)]), between([grouped(0, 200)], [grouped(0.05, 400)])
    assert (alone.seeds, found.seeds) == (50, 200)
    assert found.interval.half_width == alone.interval.half_width  # 49 degrees of freedom either way
    needed = verdict(found, better="lower").needed
    assert needed is not None and needed.songs is not None and needed.songs > 200
    assert between(seeds(0.1), [grouped(0, 200)]).songs == 200


def test_a_figure_that_is_missing_without_a_song_is_the_reason():
    hole = SetFigure(1.0, (np.array([1.0, math.nan, 1.2, 0.9]),))
    words = "open: no figure without some of the songs"
    assert verdict(between([hole], [mean_of([0, 2, 4])]), better="lower").text == words
    trained = [SetFigure(value, hole.without) for value in (1.0, 2.0, 3.0)]
    assert verdict(between(trained, [mean_of([0, 2, 4])]), better="lower").text == words


def test_songs_that_would_decide_do_not_depend_on_the_number_of_sets():
    def chance(songs: int) -> float:  # two-sided, with the critical value of three sets at songs - 1 degrees of freedom
        shift = found.value / math.sqrt(found.components.seed / songs)
        critical = found.family.critical(songs - 1)
        return float(stats.nct.sf(critical, songs - 1, abs(shift)))

    sets = {"a": mean_of([0, 2, 0, 2]), "b": mean_of([2, 4, 2, 3]), "c": mean_of([0, 2, 0, 2])}
    found = set_pairs(sets)["a", "b"]
    needed = verdict(found, better="lower").needed
    assert needed is not None and needed.songs is not None
    assert chance(needed.songs - 1) < 0.8 <= chance(needed.songs)


@pytest.mark.parametrize("songs", [5, 20])
def test_equal_systems_are_called_in_one_of_twenty(songs):
    generator = np.random.default_rng(songs)
    draws = generator.exponential(size=(600, 3, songs))
    calls = [between([mean_of(a, r)], [mean_of(b, r)]).side != 0 for a, b, r in draws]
    assert 0.005 < np.mean(calls) <= 0.06
