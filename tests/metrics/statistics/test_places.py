"""Ranks and the bold arm: read off the intervals of all pairs, never against a verdict."""

from __future__ import annotations

import numpy as np
import pytest

from metrics.statistics.blocks import BlockModel
from metrics.statistics.ranking import Place, leader, places


def model(means, generator, seeds=3):
    luck = generator.normal(0, 5, seeds)
    rows = {
        name: dict(enumerate(m + luck + generator.normal(0, 1, seeds)))
        for name, m in zip("abcdef", means, strict=False)
    }
    return BlockModel.fit(rows)


def test_clear_arms_have_one_rank_each():
    found = model([0, 20, 40], np.random.default_rng(1)).pairs()
    assert places(found, better="higher") == [Place("c", 1, 1, 1), Place("b", 2, 2, 2), Place("a", 3, 3, 3)]
    assert [one.arm for one in places(found, better="lower")] == ["a", "b", "c"]
    assert leader(found, better="higher").arm == "c" and leader(found, better="lower").arm == "a"


def test_equal_arms_may_have_any_rank():
    values = {name: {0: 1.0 + i, 1: 2.0 - i, 2: 3.0} for i, name in enumerate("abc")}
    assert {(one.low_rank, one.high_rank) for one in places(BlockModel.fit(values).pairs(), better="lower")} == {(1, 3)}
    best = leader(BlockModel.fit(values).pairs(), better="lower")
    assert best.arm is None and "not surely better" in best.reason


def test_two_ahead_of_two():
    found = model([0, 0, 30, 30], np.random.default_rng(2)).pairs()
    assert {one.arm: (one.low_rank, one.high_rank) for one in places(found, better="lower")} == {
        "a": (1, 2), "b": (1, 2), "c": (3, 4), "d": (3, 4),
    }  # fmt: skip


def test_ranks_do_not_contradict_verdicts_against_a_baseline():
    generator = np.random.default_rng(3)
    for _ in range(50):
        fitted = model(generator.normal(0, 3, 5), generator)
        place = {one.arm: one for one in places(fitted.pairs(), better="higher")}
        for arm, one in fitted.against("a").items():
            if one.side == 0:  # not called: neither is surely ahead by rank
                assert place[arm].low_rank <= place["a"].high_rank and place["a"].low_rank <= place[arm].high_rank
            ahead, behind = (arm, "a") if one.side > 0 else ("a", arm)
            if one.side:
                assert place[ahead].rank < place[behind].rank


def test_two_seeds_rank_nothing():
    found = model([0, 50], np.random.default_rng(4), seeds=2).pairs()
    assert [(one.arm, one.low_rank, one.high_rank) for one in places(found, better="higher")] == [
        ("b", 1, 2),
        ("a", 1, 2),
    ]
    assert leader(found, better="higher").arm is None


def test_bold_is_rarely_given_falsely_even_when_two_arms_tie_for_the_lead():
    generator = np.random.default_rng(5)
    bold = [leader(model([3, 3, 0, 0], generator).pairs(), better="higher").arm for _ in range(400)]
    assert np.mean([arm is not None for arm in bold]) <= 0.05


def test_a_planted_leader_is_found():
    generator = np.random.default_rng(6)
    bold = [leader(model([0, 8, 0], generator).pairs(), better="higher").arm for _ in range(100)]
    assert np.mean([arm == "b" for arm in bold]) >= 0.9


def test_arms_without_common_seeds_keep_every_rank():
    found = BlockModel.fit({"a": {0: 1.0, 1: 2.0}, "b": {0: 1.0, 1: 2.5}, "c": {7: 1.0}}).pairs()
    assert {(one.low_rank, one.high_rank) for one in places(found, better="lower")} == {(1, 3)}


def test_too_few_arms_and_directions_that_do_not_exist():
    assert places({}, better="lower") == [] and leader({}, better="lower").reason == "fewer than two arms have values"
    for call in (places, leader):
        with pytest.raises(ValueError, match="higher, lower"):
            call({}, better="up")
