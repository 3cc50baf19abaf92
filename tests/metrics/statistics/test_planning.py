"""Seeds needed and differences that can be shown: a textbook, and simulation through the engine itself."""

from __future__ import annotations

import math

import numpy as np
import pytest

from metrics.statistics.blocks import BlockModel
from metrics.statistics.differences import Components
from metrics.statistics.planning import Needed, decision_chance, needed, shown_from
from metrics.statistics.simultaneous import Family
from metrics.statistics.verdict import verdict

PAIR = Family("baseline", 2)


def simulated(arms, seeds, effect, margin, tables=1500):
    """Share of tables in which the first arm but the baseline gets a verdict, with errors of standard deviation 1."""
    generator, decided = np.random.default_rng(1), 0
    for _ in range(tables):
        values = generator.normal(0, 1, (arms, seeds))
        values[1] += effect
        table = {str(arm): dict(enumerate(row)) for arm, row in enumerate(values)}
        one = BlockModel.fit(table).against("0")["1"]
        low, high = one.interval.low, one.interval.high
        decided += one.side != 0 or (margin is not None and -margin < low and high < margin)
    return decided / tables


def shown(sd, arms, seeds, kind="baseline"):
    """The difference that this design shows, errors of one arm having the standard deviation `sd`."""
    family = Family.together(kind, arms, (arms - 1) * (seeds - 1))
    return shown_from(Components(2 * sd**2), family, seeds)


def test_cohens_paired_case():
    # Cohen (1988): paired t test, d = 0.5, n = 34, two-sided 0.05 has power 0.81
    assert decision_chance(0.5, None, Components(1.0), PAIR, 34) == pytest.approx(0.808, abs=0.002)
    assert needed(0.5, None, Components(1.0), PAIR, 3) == Needed(34, None, "seeds")
    assert shown(2 / math.sqrt(2), 2, 34) == pytest.approx(2 * 0.4949, rel=0.003)


@pytest.mark.parametrize(("arms", "seeds", "effect", "margin"), [(4, 3, 3.0, None), (4, 5, 1.0, 3.0), (4, 5, 0.0, 3.0)])
def test_chances_are_those_of_the_engine(arms, seeds, effect, margin):
    family = Family.together("baseline", arms, (arms - 1) * (seeds - 1))
    chance = decision_chance(effect, margin, Components(2.0), family, seeds)
    assert chance == pytest.approx(simulated(arms, seeds, effect, margin), abs=0.035)


def test_what_a_design_shows_is_called_with_chance_08():
    family = Family.together("baseline", 4, 6)
    assert decision_chance(shown(1, 4, 3), None, Components(2.0), family, 3) == pytest.approx(0.8, abs=1e-3)
    assert shown(1, 4, 3) == pytest.approx(3.52, abs=0.01)  # standard deviations of an arm's errors
    assert simulated(4, 3, 0.0, 4.04) == pytest.approx(0.8 + 0.04, abs=0.04)  # with the 4 % that call a difference
    assert shown(0.5, 4, 3) == pytest.approx(0.5 * shown(1, 4, 3))
    assert shown(1, 4, 3, kind="pairs") > shown(1, 4, 3) > shown(1, 4, 5) > shown(1, 2, 60)


def test_designs_that_decide_nothing():
    assert shown(1, 4, 2) == math.inf
    assert shown(0, 4, 3) == 0.0 and decision_chance(9, None, Components(2.0), PAIR, 2) == 0.0


def test_effects_that_no_seeds_settle():
    assert needed(0.0, None, Components(1.0), PAIR, 3) == Needed(None, None, "")
    assert needed(1e-6, None, Components(1.0), PAIR, 3).seeds is None
    assert needed(100.0, None, Components(1.0), PAIR, 2) == Needed(3, None, "seeds")
    # equal arms, same within half a deviation: (1.28 + 1.96)^2 / 0.25 = 42, less what calls a false difference
    assert needed(0.0, 0.5, Components(1.0), PAIR, 3).seeds == 41


def test_more_means_more_than_now():
    assert needed(100.0, None, Components(1.0), PAIR, 8, more=True).seeds == 9


def test_songs_or_seeds():
    family = Family("baseline", 4)
    songs = needed(1.0, None, Components(0.01, 4.0, 0.1), family, 3, 10)
    assert songs.limit == "songs" and songs.seeds is None and songs.songs > 10
    assert songs.text == f"{songs.songs} songs"
    seeds = needed(1.0, None, Components(4.0, 0.01, 0.1), family, 3, 10)
    assert seeds.limit == "seeds" and seeds.songs is None and seeds.seeds > 3
    both = needed(1.0, None, Components(4.0, 4.0, 0.1), family, 3, 10)
    assert both == Needed(None, None, "both")


def test_an_open_comparison_is_decided_with_the_seeds_it_named():
    # as it reads: the estimate and the spread of an open table taken for the truth
    generator = np.random.default_rng(5)
    table = {str(arm): dict(enumerate(generator.normal(arm, 1, 3))) for arm in range(2)}
    found = BlockModel.fit(table)
    one = found.against("0")["1"]
    answer = verdict(one, better="higher")
    assert answer.word == "open" and answer.needed is not None and answer.needed.seeds is not None
    seeds = answer.needed.seeds
    effect = one.value / found.sigma
    assert simulated(2, seeds, effect, None) == pytest.approx(0.8, abs=0.05)
    assert simulated(2, seeds - 1, effect, None) < 0.83
