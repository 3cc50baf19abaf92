"""Bradley-Terry strengths of systems that listeners compared in pairs, with intervals over listeners and samples.

Source: Bradley and Terry (1952), doi 10.1093/biomet/39.3-4.324.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from metrics.statistics.intervals import Interval, check_level, without_interval
from metrics.statistics.planning import MOST, fewest

STEPS, LARGEST_STEP = 60, 2.0  # of Newton's method, in log odds
LISTENER_SPREAD = 0.5
"""Assumed standard deviation of the log odds of a system between listeners: at 70:30 two in three listeners prefer the
better of two systems in 53 to 83 % of their choices."""


@dataclass(frozen=True)
class Preferences:
    """Answers to the question which of two samples is preferred, one an entry; T answers of K systems.

    `better`, `worse`: number of the preferred and of the other system, 0..K-1; `listener`: number of who answered;
    `samples`: numbers of the two samples, the preferred one first, (T, 2).
    """

    systems: int
    better: NDArray[np.int64]
    worse: NDArray[np.int64]
    listener: NDArray[np.int64]
    samples: NDArray[np.int64]

    @property
    def listeners(self) -> int:
        """Listeners with an answer."""
        return len(np.unique(self.listener))

    @cached_property
    def wins(self) -> NDArray[np.float64]:
        """How often the system of the row was preferred to that of the column: (K, K)."""
        return self._wins(np.ones(len(self.better), bool)[None])[0]

    @cached_property
    def strengths(self) -> NDArray[np.float64]:
        """Log odds of each system against the mean of all: (K,), sum 0. A difference is the log odds of a pair."""
        return fit_strengths(self.wins[None])[0]

    def interval(self, first: int, second: int | None = None, level: float = 0.95) -> Interval:
        """Log odds of `first` to be preferred to `second`, or its strength against the mean of all systems.

        Listeners and samples are both random: the variance is that of a jackknife over listeners plus what a jackknife
        over samples adds to the spread of single answers, which stands in both samples of an answer; at least that of
        independent answers, since few listeners who agree prove no more. Student's t with listeners - 1 degrees.
        """
        check_level(level)
        value, error = float(self._weights(first, second) @ self.strengths), self.error(first, second)
        if not math.isfinite(error):
            return without_interval(value, self.listeners, level, "one listener has no interval")
        half = float(stats.t.ppf((1 + level) / 2, self.listeners - 1)) * error
        return Interval(value, value - half, value + half, self.listeners, level)

    def p_value(self, first: int, second: int) -> float:
        """Two-sided p value of two systems being equally strong; NaN for one listener."""
        error = self.error(first, second)
        value = float(self.strengths[first] - self.strengths[second])
        return float(2 * stats.t.sf(abs(value) / error, self.listeners - 1)) if error > 0 else math.nan

    def error(self, first: int, second: int | None = None) -> float:
        """Standard error of the log odds of `interval`; NaN for one listener."""
        return math.hypot(*self.errors(first, second))

    def errors(self, first: int, second: int | None = None) -> tuple[float, float]:
        """The parts of `error` that more listeners make smaller and that the samples add; NaN for one listener."""
        if self.listeners < 2:
            return math.nan, math.nan
        weights = self._weights(first, second)
        listeners, samples, single = (float(np.sum((part @ weights) ** 2)) for part in self._deviations)
        independent = float(weights @ np.linalg.solve(self._curvature, weights))
        of_samples = max(samples - 2 * single, 0.0)
        return math.sqrt(max(listeners, independent - of_samples)), math.sqrt(of_samples)

    def _weights(self, first: int, second: int | None) -> NDArray[np.float64]:
        own = np.eye(self.systems)
        return own[first] - (1 / self.systems if second is None else own[second])

    @cached_property
    def _deviations(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Deviations whose squares add up to a variance: without each listener, each sample, and of each answer."""
        kept_L = self.listener[None] != np.unique(self.listener)[:, None]
        kept_S = (self.samples[None] != np.unique(self.samples)[:, None, None]).all(-1)
        chance = special.expit(self.strengths[self.better] - self.strengths[self.worse])
        score_TK = np.zeros((len(self.better), self.systems))
        rows = np.arange(len(self.better))
        score_TK[rows, self.better] += 1 - chance
        score_TK[rows, self.worse] -= 1 - chance
        single = np.asarray(np.linalg.solve(self._curvature, score_TK.T).T, np.float64)
        return self._jackknife(kept_L), self._jackknife(kept_S), single

    @cached_property
    def _curvature(self) -> NDArray[np.float64]:
        return _derivatives(self.strengths[None], _with_prior(self.wins[None]))[1][0]

    def _jackknife(self, kept: NDArray[np.bool_]) -> NDArray[np.float64]:
        without = fit_strengths(self._wins(kept))
        count = len(kept)
        return (without - without.mean(0)) * math.sqrt((count - 1) / count)

    def _wins(self, kept: NDArray[np.bool_]) -> NDArray[np.float64]:
        pairs = self.better * self.systems + self.worse
        counts = kept.astype(np.float64) @ np.eye(self.systems**2)[pairs]  # R T, T K*K -> R K*K
        return counts.reshape(-1, self.systems, self.systems)


def fit_strengths(wins: NDArray[np.float64]) -> NDArray[np.float64]:
    """Strengths (R, K), each row of sum 0, of R tables of wins (R, K, K), row over column.

    Every pair of systems has 1 / K of an answer more on either side, for two systems the half of Haldane (1956) and
    Anscombe (1956): a system that is always preferred has a finite strength. Two systems: log((a + 1/2) / (b + 1/2)).
    """
    counts = _with_prior(np.asarray(wins, np.float64))
    strengths = np.zeros(counts.shape[:2])
    for _ in range(STEPS):
        gradient, curvature = _derivatives(strengths, counts)
        step = np.linalg.solve(curvature, gradient[..., None])[..., 0]
        strengths += np.clip(step, -LARGEST_STEP, LARGEST_STEP)
        if np.abs(step).max(initial=0.0) < 1e-10:
            break
    return strengths - strengths.mean(-1, keepdims=True)


def _with_prior(wins: NDArray[np.float64]) -> NDArray[np.float64]:
    systems = wins.shape[-1]
    return wins + (1 - np.eye(systems)) / systems


def _derivatives(
    strengths: NDArray[np.float64], counts: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Gradient (R, K) of the log likelihood and its negative second derivatives (R, K, K), made regular along the sum
    of the strengths."""
    chance = special.expit(strengths[:, :, None] - strengths[:, None, :])
    answers = counts + counts.swapaxes(1, 2)
    gradient = (counts - answers * chance).sum(-1)
    spread = answers * chance * (1 - chance)
    curvature = np.eye(counts.shape[-1]) * spread.sum(-1)[:, :, None] - spread
    return gradient, curvature + 1.0


def agreement(answers: Preferences) -> float:
    """Kendall's coefficient of agreement u: twice the share of agreeing answers, less 1, among all pairs of answers
    that two different listeners gave on the same two systems. 1: all agree; 0: as by chance. NaN without such pairs.

    Source: Kendall and Babington Smith (1940), doi 10.1093/biomet/31.3-4.324, for tables with gaps.
    """
    low, high = np.minimum(answers.better, answers.worse), np.maximum(answers.better, answers.worse)
    pair = low * answers.systems + high
    listener = np.unique(answers.listener, return_inverse=True)[1]
    counts = np.zeros((2, answers.systems**2, answers.listeners))  # side preferred, pair of systems, listener
    np.add.at(counts, ((answers.better == low).astype(np.int64), pair, listener), 1)
    agreeing = _of_two_listeners(counts[0]) + _of_two_listeners(counts[1])
    pairs = _of_two_listeners(counts.sum(0))
    return 2 * agreeing / pairs - 1 if pairs else math.nan


def _of_two_listeners(counts: NDArray[np.float64]) -> float:
    """Pairs of answers of two listeners, of counts (pairs of systems, listeners)."""
    return float((counts.sum(1) ** 2 - (counts**2).sum(1)).sum() / 2)


def listeners_planned(odds: float, systems: int, answers: float, verdicts: int, level: float = 0.95) -> int:
    """Listeners at which two of `systems` systems that differ by these `odds` are decided with chance 0.8.

    `answers`: of one listener, spread evenly over all pairs of systems, checks left out; `verdicts`: comparisons of a
    Holm family, of which this one is decided first. Each listener's own log odds of a system are taken to spread by
    `LISTENER_SPREAD`; the other systems lie between the two.
    """
    each = answers / (systems * (systems - 1) / 2)
    chance = odds / (1 + odds)
    of_answers = 2 / (systems * each * chance * (1 - chance))  # variance of log odds, answers of one listener
    error = math.sqrt(of_answers + 2 * LISTENER_SPREAD**2)
    return listeners_needed(math.log(odds), error, verdicts, level)


def listeners_needed(
    difference: float, spread: float, verdicts: int = 1, level: float = 0.95, fixed: float = 0.0
) -> int:
    """Listeners at which a true `difference` is decided with chance 0.8, `spread` being the standard error of one
    listener's answers, by Student's t at the first of `verdicts` steps of Holm; at most `MOST`. `fixed`: standard error
    from the samples, which more listeners leave as it is."""
    if not difference or not all(map(math.isfinite, (difference, spread, fixed))):
        return MOST
    if not spread and not fixed:
        return 2
    alpha = (1 - level) / verdicts

    def chance(count: int) -> float:
        shift = abs(difference) / math.hypot(spread / math.sqrt(count), fixed)
        return float(stats.nct.sf(stats.t.isf(alpha / 2, count - 1), count - 1, shift))

    return fewest(chance, 2) or MOST
