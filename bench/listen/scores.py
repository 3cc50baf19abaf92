"""Scores of systems from the answers of listeners: Bradley-Terry strengths of pairs, or mean ratings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy import special

from bench.listen.answers import SIGNIFICANT, Answer, Listener
from bench.listen.key import Key
from metrics.statistics.intervals import Interval, mean_interval
from metrics.statistics.preferences import Preferences, agreement, listeners_needed
from metrics.statistics.ratings import Ratings, holm, krippendorff_alpha


@dataclass(frozen=True)
class Compared:
    """Two systems by number: the share of listeners' choices of the first, or its rating less that of the second, with
    an interval; `p` and Holm's `p_holm`; `needed`: listeners that would decide if the difference stayed as it is."""

    first: int
    second: int
    value: Interval
    p: float
    p_holm: float
    needed: int

    @property
    def decided(self) -> bool:
        """Whether the systems differ, at 5 % for all pairs together."""
        return self.p_holm <= SIGNIFICANT


@dataclass(frozen=True)
class Scores:
    """Score of each system with its interval, the pairs of systems, and the agreement of listeners.

    A score is a log odds against the mean of all systems, or a mean rating. `answers`: without checks.
    """

    systems: tuple[Interval, ...]
    pairs: tuple[Compared, ...]
    agreement: float
    answers: int
    listeners: int


def scores(listeners: Sequence[Listener], key: Key) -> Scores:
    """Scores from the trials that are no checks."""
    return _of_pairs(listeners, key) if key.kind == "pairs" else _of_ratings(listeners, key)


def _compared(key: Key, found: list[tuple[Interval, float, float, float, float]]) -> tuple[Compared, ...]:
    """Of each pair of systems: interval shown, p value, difference, standard error of one listener's answers and that
    from the samples, which more listeners leave as it is.

    Of n listeners the signed-rank test has no p below 2 / 2^n, so that fewer than `fewest` never decide.
    """
    pairs = list(combinations(range(len(key.systems)), 2))
    fewest = math.ceil(math.log2(2 * len(pairs) / SIGNIFICANT)) if key.kind == "ratings" else 0
    adjusted = holm([p for _, p, *_ in found])
    return tuple(
        Compared(*pair, shown, p, p_holm, max(listeners_needed(difference, spread, len(pairs), fixed=fixed), fewest))
        for pair, (shown, p, difference, spread, fixed), p_holm in zip(pairs, found, adjusted, strict=True)
    )


def _of_pairs(listeners: Sequence[Listener], key: Key) -> Scores:
    answers = preferences(listeners, key)
    count, found = len(key.systems), []
    for pair in combinations(range(count), 2):
        odds = answers.interval(*pair)
        share = Interval(_share(odds.value), _share(odds.low), _share(odds.high), odds.n, reason=odds.reason)
        of_listeners, of_samples = answers.errors(*pair)
        spread = of_listeners * math.sqrt(answers.listeners)
        found.append((share, answers.p_value(*pair), odds.value, spread, of_samples))
    strengths = tuple(answers.interval(system) for system in range(count))
    pairs = _compared(key, found)
    return Scores(strengths, pairs, agreement(answers), len(answers.better), answers.listeners)


def _share(odds: float) -> float:
    return float(special.expit(odds))


def preferences(listeners: Sequence[Listener], key: Key) -> Preferences:
    """The answers of a test of pairs without its checks."""
    rows = []
    for number, listener in enumerate(listeners):
        for answer in _without_checks(listener, key):
            if (chosen := answer.preferred) is not None:
                rows.append((chosen, sum(answer.trial) - chosen, number))
    better, worse, listener_T = np.array(rows, np.int64).reshape(-1, 3).T
    system = _numbers(key)
    return Preferences(len(key.systems), system[better], system[worse], listener_T, np.stack([better, worse], axis=1))


def _of_ratings(listeners: Sequence[Listener], key: Key) -> Scores:
    given, found = ratings(listeners, key), []
    for first, second in combinations(range(len(key.systems)), 2):
        differences = given.differences(first, second)
        mean = float(differences.mean()) if len(differences) else math.nan
        of_listeners, of_samples = given.errors(first, second)
        spread = of_listeners * math.sqrt(len(differences))
        found.append((*given.compare(first, second), mean, spread, of_samples))
    means = tuple(mean_interval(column) for column in given.means.T)
    pairs, count = _compared(key, found), len(given.rating) // 2
    return Scores(means, pairs, krippendorff_alpha(given.means), count, len(listeners))


def ratings(listeners: Sequence[Listener], key: Key) -> Ratings:
    """The answers of a test of ratings without its checks."""
    rows = []
    for number, listener in enumerate(listeners):
        for answer in _without_checks(listener, key):
            if not isinstance(answer.answer, str):
                rows += [(rating, number, sample) for sample, rating in zip(answer.trial, answer.answer, strict=True)]
    rating, listener_T, sample = np.array(rows, np.int64).reshape(-1, 3).T
    return Ratings(len(key.systems), rating.astype(np.float64), listener_T, _numbers(key)[sample], sample)


def _numbers(key: Key) -> NDArray[np.int64]:
    """Number of the system of each sample, -1 for shuffled music."""
    return np.array([key.systems.index(one.system) if one.system in key.systems else -1 for one in key.samples])


def _without_checks(listener: Listener, key: Key) -> list[Answer]:
    return [answer for answer in listener.answers if not key.is_check(answer.trial)]
