"""Timings in fresh processes: the spread between replicates, pooled over arms, and the interval of one arm.

Two processes of one program keep a small difference for as long as they live, so the rounds of one process say little
about the next: what is repeated is the process, and its figure is the median over its rounds. Spreads are those of
natural logarithms. Source: Kalibera and Jones (2013), "Rigorous benchmarking in reasonable time",
doi 10.1145/2464157.2464160.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from metrics.statistics.blocks import BlockModel, block_variance
from metrics.statistics.differences import (
    ROUNDING,
    Components,
    Difference,
    largest,
    satterthwaite,
    simultaneous_interval,
)
from metrics.statistics.intervals import Interval, check_level, finite_values, without_interval
from metrics.statistics.rounds import round_medians
from metrics.statistics.simultaneous import Family

Rounds = Sequence[Sequence[float]]
"""Timed calls, a sequence a round."""


POLISHINGS = 10
"""Turns between medians over rounds and over arms, after which they change no more."""


@dataclass(frozen=True)
class Spread:
    """Standard deviation of natural logarithms around the mean of their group, with its degrees of freedom.

    0 degrees: no group has two values, and the deviation is NaN.
    """

    deviation: float
    freedom: float

    def share(self, count: int, level: float = 0.95) -> float:
        """Half width of the interval of a mean of `count` logarithms, which is a share of the time: 0.02 for 2 %.

        NaN without degrees of freedom.
        """
        check_level(level)
        if not self.freedom or not count:
            return math.nan
        return float(stats.t.ppf((1 + level) / 2, self.freedom)) * self.deviation / math.sqrt(count)


def pooled_spread(groups: Iterable[Sequence[float] | np.ndarray]) -> Spread:
    """The spread of positive times within groups, such as the rounds of one process each: squares of all groups over
    all their degrees of freedom."""
    logarithms = [np.log(np.asarray(group, dtype=np.float64)) for group in groups if len(group)]
    freedom = sum(group.size - 1 for group in logarithms)
    if not freedom:
        return Spread(math.nan, 0)
    squares = sum(float(((group - group.mean()) ** 2).sum()) for group in logarithms)
    return Spread(math.sqrt(squares / freedom), freedom)


def replicates_spread(times: Iterable[Sequence[float]]) -> Spread:
    """The spread between the replicates of an arm, pooled over arms: of processes, and of the machine's state.

    `times`: the times of each arm's replicates, NaN for one it lacks. Arms that lack one that others have take no part;
    where every arm lacks one, each counts by those it has.
    All arms of a replicate share the machine's state, so the degrees of freedom are Satterthwaite's of the two mean
    squares, from replicates - 1 (only the machine's state differs) to arms x (replicates - 1) (it does not).
    """
    kept = [np.asarray(row, dtype=np.float64) for row in times]
    taken = sorted({int(place) for row in kept for place in np.flatnonzero(row > 0)})
    count = len(taken)
    whole = [row[taken] for row in kept if row.size > max(taken, default=0) and (row[taken] > 0).all()]
    if count < 2 or not whole:
        had = [row[row > 0] for row in kept]
        pooled, most = pooled_spread(had), max((row.size for row in had), default=0)
        return Spread(pooled.deviation, min(pooled.freedom, max(most - 1, 0)))  # the machine's state alone may differ
    table_AR = np.log(np.stack(whole))
    arms = len(table_AR)
    if arms == 1:
        return pooled_spread(whole)
    of_replicates = arms * float(table_AR.mean(axis=0).var(ddof=1))
    parts = (of_replicates / arms, float(block_variance(table_AR)) * (arms - 1) / arms)
    freedom = float(satterthwaite(parts, (count - 1, (arms - 1) * (count - 1))))
    return Spread(math.sqrt(sum(parts)), min(freedom, arms * (count - 1)))


def sessions_difference(
    times: tuple[Sequence[float], Sequence[float]],
    spreads: tuple[Spread, Spread],
    *,
    comparisons: int = 1,
    level: float = 0.95,
) -> Difference:
    """log of the second session's time of one arm less that of the first's, one of `comparisons` (Bonferroni).

    Sessions share no state of the machine, so their replicates do not pair: the variance is the sum of both means',
    each by the spread between the replicates of all arms of its session (`replicates_spread`), with Satterthwaite's
    degrees of freedom. `times`: positive ones of the arm's replicates in each session.
    """
    before, after = (np.log(np.asarray(one, dtype=np.float64)) for one in times)
    value, replicates = float(after.mean() - before.mean()), min(before.size, after.size)
    if abs(value) <= ROUNDING * largest((*before, *after)):
        value = 0.0
    parts = [one.deviation**2 / size for one, size in zip(spreads, (before.size, after.size), strict=True)]
    freedoms = [one.freedom for one in spreads]
    freedom = float(satterthwaite(parts, freedoms)) if all(freedoms) else 0.0
    family, error = Family("chosen", 2, 1 / comparisons), math.sqrt(sum(parts))
    half = family.critical(freedom, level) * error
    interval = simultaneous_interval(value, half, freedom, replicates, level)
    spread = (error, freedom)
    return Difference("after", "before", interval, (), *spread, spread, family, Components(replicates * error**2))


def replicate_time(rounds: Rounds) -> float:
    """The figure of one process: the median of its round medians; NaN without a round or where that is not positive."""
    medians = round_medians(rounds)
    middle = float(np.median(medians)) if medians.size else math.nan
    return middle if middle > 0 else math.nan


def paired_times(rounds: Mapping[str, Rounds]) -> dict[str, float]:
    """Natural logarithm of the time of each arm's process in one replicate, less what its rounds share.

    Round i of all arms was taken in turns, so what slows the machine down in a round slows all arms: each round's
    effect, the median over arms of its distance from their own medians, is taken off before the median over rounds
    (median polish; Tukey (1977), Exploratory Data Analysis).
    Differences of two arms are their ratio within rounds; the level of a replicate is arbitrary. An arm without a
    positive time is left out.
    """
    count = max(map(len, rounds.values()), default=0)
    table_AR = np.full((len(rounds), count), math.nan)
    for row, one in zip(table_AR, rounds.values(), strict=True):
        for place, calls in enumerate(one):
            middle = float(np.median(finite_values(calls))) if len(finite_values(calls)) else math.nan
            row[place] = math.log(middle) if middle > 0 else math.nan
    kept = {arm: row for arm, row in zip(rounds, table_AR, strict=True) if np.isfinite(row).any()}
    if not kept:
        return {}
    known_AR = np.stack(list(kept.values()))
    known_AR = known_AR[:, np.isfinite(known_AR).any(axis=0)]
    shared_R = np.zeros(known_AR.shape[1])
    for _ in range(POLISHINGS):
        shared_R = np.nanmedian(known_AR - np.nanmedian(known_AR - shared_R, axis=1, keepdims=True), axis=0)
    return dict(zip(kept, np.nanmedian(known_AR - shared_R, axis=1).tolist(), strict=True))


def replicates_model(arms: Mapping[str, Sequence[Rounds]]) -> BlockModel | None:
    """The block model of log times, of each arm its replicates in their order; None where fewer than two arms have two.

    Times are `paired_times`, so a replicate without a positive time is left out of its arm.
    """
    values: dict[str, dict[int, float]] = {arm: {} for arm in arms}
    for place in range(max(map(len, arms.values()), default=0)):
        taken = {arm: replicates[place] for arm, replicates in arms.items() if place < len(replicates)}
        for arm, time in paired_times(taken).items():
            values[arm][place + 1] = time
    if sum(len(times) > 1 for times in values.values()) < 2:
        return None
    return BlockModel.fit(values)


def replicates_interval(times: Sequence[float], spread: Spread, level: float = 0.95) -> Interval:
    """Geometric mean of one arm's replicates, times or divided by exp(t s / sqrt(n)) with the pooled spread s.

    Parameters
    ----------
    times
        `replicate_time` of each replicate; NaN are left out. `n` counts the others.
    spread
        Of the replicates of all arms of the session: `replicates_spread`.
    """
    check_level(level)
    kept = [time for time in times if time > 0]
    if not kept:
        return without_interval(math.nan, 0, level, "no values")
    value, share = math.exp(float(np.mean(np.log(kept)))), spread.share(len(kept), level)
    if math.isnan(share):
        return without_interval(value, len(kept), level, "one replicate has no interval")
    return Interval(value, value * math.exp(-share), value * math.exp(share), len(kept), level)
