"""The rule of verdicts, case by case, and verdicts that do not contradict each other."""

from __future__ import annotations

import math

import numpy as np
import pytest

from metrics.statistics.blocks import BlockModel
from metrics.statistics.differences import Components, Difference, primary_level
from metrics.statistics.intervals import Interval, without_interval
from metrics.statistics.planning import Needed
from metrics.statistics.simultaneous import Family
from metrics.statistics.verdict import Verdict, log_margin, verdict


def difference(low, high, seeds=3, songs=0):
    interval = Interval((low + high) / 2, low, high, seeds)
    return Difference(
        "b", "a", interval, (0.0,) * seeds, 1.0, 6.0, (1.0, 6.0), Family("baseline", 4), Components(2.0), songs
    )


@pytest.mark.parametrize(
    ("low", "high", "better", "margin", "text"),
    [
        (0.1, 0.3, "higher", None, "better"),
        (0.1, 0.3, "lower", None, "worse"),
        (-0.3, -0.1, "lower", 0.2, "better"),
        (-0.3, -0.1, "lower", 0.31, "better by less than matters"),
        (0.1, 0.3, "lower", 0.31, "worse by less than matters"),
        (0.1, 0.3, "lower", 0.3, "worse"),  # reaches d: it may matter
        (0.1, 0.3, None, None, "higher"),
        (-0.3, -0.1, None, None, "lower"),
        (-0.1, 0.3, "lower", 0.31, "same within 0.31"),
        (0.0, 0.3, "lower", 0.31, "same within 0.31"),  # 0 is contained
    ],
)
def test_the_rule(low, high, better, margin, text):
    found = verdict(difference(low, high), better=better, margin=margin)
    assert found.text == text and found.needed is None and found.differs == (not text.startswith("same"))


@pytest.mark.parametrize(("low", "high", "margin"), [(-0.1, 0.3, None), (-0.1, 0.3, 0.3), (-0.4, 0.1, 0.3)])
def test_open_names_the_seeds_that_would_decide(low, high, margin):
    found = verdict(difference(low, high), better="lower", margin=margin)
    assert found.word == "open" and found.needed is not None and found.needed.seeds > 3
    assert found.text == f"open: {found.needed.seeds} seeds would decide"


@pytest.mark.parametrize("margin", [None, 5.0])
def test_two_seeds_leave_it_open_whatever_they_show(margin):
    found = verdict(difference(1.0, 1.1, seeds=2), better="higher", margin=margin)
    assert found.word == "open" and found.needed is not None and found.reason == "2 seeds"
    assert found.text == f"open (2 seeds): {found.needed.seeds} seeds would decide"
    assert difference(1.0, 1.1, seeds=2).side == 0


def test_without_interval_it_is_open_for_the_reason():
    values = {"a": {0: 1.0}, "b": {0: 2.0}, "c": {1: 2.0}}
    found = BlockModel.fit(values).against("a")
    assert verdict(found["b"], better="higher").text == "open: 1 seed"
    assert verdict(found["c"], better="higher").text == "open: no seed in common"


def test_one_song_is_the_reason():
    one = difference(0, 1, songs=1)
    bare = Difference(**{**vars(one), "interval": without_interval(0.5, 3, 0.95, "one song has no interval")})
    assert verdict(bare, better="lower").text == "open: one song has no interval"


@pytest.mark.parametrize("margin", [0.0, -1.0, math.nan, math.inf])
def test_a_margin_that_is_none_is_refused(margin):
    with pytest.raises(ValueError, match="a finite number above 0"):
        verdict(difference(0, 1), better="lower", margin=margin)
    with pytest.raises(ValueError, match="above 0"):
        log_margin(margin)


def test_words_of_songs_and_seeds():
    assert Verdict("open", needed=Needed(7, 40, "songs")).text == "open: 40 songs or 7 seeds would decide"
    assert Verdict("open", needed=Needed(None, None, "both")).text == "open: more seeds and more songs would decide"
    assert Verdict("open", needed=Needed(None, None, "")).text == "open: over 10,000 seeds would decide"


def test_margins_and_levels():
    assert log_margin(0.02) == pytest.approx(math.log(1.02))
    assert primary_level(1) == 0.95 and primary_level(2) == 0.975
    with pytest.raises(ValueError, match="at least one"):
        primary_level(0)


def test_p_interval_and_verdict_agree():
    generator = np.random.default_rng(1)
    for _ in range(25):
        shift = generator.normal(0, 2, 4)
        values = {f"arm{i}": dict(enumerate(shift[i] + generator.normal(0, 1, 3))) for i in range(4)}
        model = BlockModel.fit(values)
        for one in (*model.against("arm0").values(), *model.pairs().values()):
            called = verdict(one, better="higher").differs
            assert called == one.interval.excludes(0.0) == (one.p_value <= 0.05) == (one.side != 0)
