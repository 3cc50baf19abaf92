"""Difference of two arms with its simultaneous interval and the variance components that it rests on."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from metrics.statistics.intervals import Interval, mean_interval, without_interval
from metrics.statistics.simultaneous import Family

Direction = Literal["higher", "lower"]
"""The values that are better."""
Unit = Literal["seed", "song"]
"""What is repeated: trainings with other seeds, or the songs of music that exists once."""
FEWEST_SEEDS = 3
"""Seeds, or songs where nothing else is repeated, under which nothing is called: two show one spread only, and no arm
that spreads more widely than others."""
ROUNDING = 1e-12
"""Share of the largest value under which a difference or a spread is rounding error and counts as 0."""


@dataclass(frozen=True)
class Components:
    """Variance components of a difference between two arms, in the squared unit of the difference.

    `seed`: of one seed's difference (two errors of arm x seed); `song`: of one song's; `residual`: of one song in one
    seed. The variance of the mean over S seeds and G songs is seed / S + song / G + residual / (S G). A block model has
    the first alone.
    """

    seed: float
    song: float = 0.0
    residual: float = 0.0


@dataclass(frozen=True)
class Difference:
    """first - second: estimate with its simultaneous interval, and the plain paired t interval beside it (`paired`).

    Parameters
    ----------
    interval
        Covers together with all other intervals of `family` at its level; `n` counts the seeds that both arms have.
        The one interval that decides.
    by_seed
        The difference of each of these seeds.
    standard_error, freedom
        Of the estimate, in its unit, and the degrees of freedom of that error.
    seeds_alone
        The same two with the songs at hand taken for all songs: no interval is narrower than theirs. Equal where only
        seeds are random.
    songs
        Songs behind each value where songs are random too; 0 where only seeds are.
    unit
        What `interval.n` counts and `components.seed` is the variance of.
    """

    first: str
    second: str
    interval: Interval
    by_seed: tuple[float, ...]
    standard_error: float
    freedom: float
    seeds_alone: tuple[float, float]
    family: Family
    components: Components
    songs: int = 0
    unit: Unit = "seed"

    @property
    def value(self) -> float:
        """The estimate."""
        return self.interval.value

    @property
    def seeds(self) -> int:
        """Seeds that both arms have; songs where the `unit` is a song."""
        return self.interval.n

    @cached_property
    def paired(self) -> Interval:
        """Student's interval of this pair alone, uncorrected: n - 1 degrees of freedom. Beside, never for a verdict."""
        return mean_interval(self.by_seed, self.interval.level)

    @property
    def side(self) -> int:
        """1 or -1 where the interval lies above or below 0, else 0; 0 under `FEWEST_SEEDS` seeds."""
        if self.seeds < FEWEST_SEEDS or not self.interval.excludes(0.0):
            return 0
        return 1 if self.value > 0 else -1

    @cached_property
    def p_value(self) -> float:
        """p adjusted for the family: at most 1 - level exactly where the interval excludes 0; NaN without interval."""
        if math.isnan(self.interval.low):
            return math.nan
        if self.value == 0:
            return 1.0
        errors = {(self.standard_error, self.freedom), self.seeds_alone}
        return max(self.family.p_value(self.value / error, freedom) if error else 0.0 for error, freedom in errors)

    def reversed(self) -> Difference:
        """second - first."""
        return replace(
            self,
            first=self.second,
            second=self.first,
            interval=_negative(self.interval),
            by_seed=tuple(-value for value in self.by_seed),
        )

    def ratio(self) -> Interval:
        """first / second with its interval, where the values are natural logarithms."""
        one = self.interval
        return Interval(math.exp(one.value), math.exp(one.low), math.exp(one.high), one.n, one.level, one.reason)


def _negative(interval: Interval) -> Interval:
    """The interval of the value with its sign changed."""
    return Interval(-interval.value, -interval.high, -interval.low, interval.n, interval.level, interval.reason)


def simultaneous_interval(
    value: float, half_width: float, freedom: float, seeds: int, level: float, reason: str = ""
) -> Interval:
    """The interval of one estimate as a member of a family; without one where a reason is given."""
    if not reason and not freedom > 0:
        reason = "one seed has no interval" if seeds == 1 else "too few values for a spread between seeds"
    if reason:
        return without_interval(value, seeds, level, reason)
    return Interval(value, value - half_width, value + half_width, seeds, level)


def satterthwaite(variances: Sequence[ArrayLike], freedoms: Sequence[ArrayLike]) -> np.ndarray:
    """Degrees of freedom of a sum of estimated variances, for numbers or arrays; infinite where all are 0.

    Source: Satterthwaite (1946), doi 10.2307/3002019.
    """
    parts = [np.asarray(variance, dtype=np.float64) for variance in variances]
    with np.errstate(divide="ignore", invalid="ignore"):
        below = sum(np.where(one > 0, one**2 / np.asarray(of), 0.0) for one, of in zip(parts, freedoms, strict=True))
        return np.where(below > 0, sum(parts) ** 2 / below, math.inf)


def primary_level(metrics: int, alpha: float = 0.05) -> float:
    """Level of each of `metrics` primary metrics so that any false call among all of them has chance `alpha`."""
    if metrics < 1:
        raise ValueError(f"{metrics} primary metrics: at least one is needed")
    return 1 - alpha / metrics


def largest(values: Iterable[float]) -> float:
    """The largest absolute value, 0 for none: the scale that rounding is judged by."""
    return max(map(abs, values), default=0.0)
