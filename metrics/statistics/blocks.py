"""Randomised block model of a table of arms and seeds: value = arm + seed + error."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from metrics.statistics.differences import (
    ROUNDING,
    Components,
    Difference,
    largest,
    simultaneous_interval,
)
from metrics.statistics.intervals import mean_interval
from metrics.statistics.simultaneous import Family

ArmValues = Mapping[str, Mapping[int, float]]
"""Arm -> seed -> value."""
UNEQUAL = 3.0
"""An arm whose errors spread so many times as widely as the others' is named."""


@dataclass(frozen=True)
class BlockModel:
    """Arms measured at the same seeds (same data, same noise): value = arm + seed + error of one spread for all arms.

    Replicates take the place of seeds where those are what is repeated (timings: fit natural logarithms, read
    `Difference.ratio`). Build with `fit`.

    Parameters
    ----------
    values
        Arm -> seed -> finite value. An arm without any is left out.
    sigma
        Standard deviation of the errors, pooled over arms; NaN without degrees of freedom.
    freedom
        Its degrees of freedom: (arms - 1)(seeds - 1) where every arm has every seed.
    unequal_spread
        The arm whose errors spread at least `UNEQUAL` times as widely as the others', else "". Intervals that involve
        this arm are too narrow then (false calls of 0.08 to 0.12 instead of 0.05), and those of the others too wide.
    note
        Which seeds which arms lack; "" where the table is full.

    Source: Montgomery (2017), Design and Analysis of Experiments, chapter 4.
    """

    values: dict[str, dict[int, float]]
    sigma: float
    freedom: int
    unequal_spread: str
    note: str

    @classmethod
    def fit(cls, values: ArmValues) -> BlockModel:
        """The model of a table; values that are not finite count as missing.

        Where arms lack seeds, the spread comes from the least squares fit to all values, and a difference from the
        seeds that both of its arms have. A table without any finite value raises ValueError.
        """
        kept = {
            arm: {seed: float(value) for seed, value in sorted(row.items()) if math.isfinite(value)}
            for arm, row in values.items()
        }
        kept = {arm: row for arm, row in kept.items() if row}
        if not kept:
            raise ValueError("block model: no arm has a finite value")
        residuals, freedom = _residuals(kept)
        squares = sum(value**2 for row in residuals.values() for value in row.values())
        sigma = math.sqrt(squares / freedom) if freedom else math.nan
        if sigma <= ROUNDING * largest(value for row in kept.values() for value in row.values()):
            sigma = 0.0
        return cls(kept, sigma, freedom, _unequal(residuals) if sigma else "", _lacking(kept))

    @property
    def arms(self) -> tuple[str, ...]:
        """Arms that have values, in the order given."""
        return tuple(self.values)

    @property
    def means(self) -> dict[str, float]:
        """Mean of each arm over its own seeds: the figure that is printed."""
        return {arm: float(np.mean(list(row.values()))) for arm, row in self.values.items()}

    @property
    def full(self) -> bool:
        """Whether every arm has every seed."""
        return len({tuple(row) for row in self.values.values()}) == 1

    def against(self, baseline: str, level: float = 0.95) -> dict[str, Difference]:
        """arm - baseline for every other arm, with intervals that together cover with chance `level` (Dunnett).

        Raises ValueError for a baseline without values.
        """
        if baseline not in self.values:
            raise ValueError(f"baseline {baseline!r} has no value; allowed: {', '.join(self.values)}")
        family = Family("baseline", len(self.values))
        others = [arm for arm in self.values if arm != baseline]
        return {arm: self._difference(arm, baseline, family, level) for arm in others}

    def pairs(self, level: float = 0.95) -> dict[tuple[str, str], Difference]:
        """first - second for every two arms, with intervals that together cover with chance `level` (Tukey, Kramer)."""
        family = Family("pairs", len(self.values))
        return {(one, two): self._difference(one, two, family, level) for one, two in combinations(self.values, 2)}

    def _difference(self, first: str, second: str, family: Family, level: float) -> Difference:
        one, two = self.values[first], self.values[second]
        shared = [seed for seed in one if seed in two]
        differences = [one[seed] - two[seed] for seed in shared]
        value = float(np.mean(differences)) if shared else math.nan
        if abs(value) <= ROUNDING * largest([*one.values(), *two.values()]):
            value = 0.0
        error = self.sigma * math.sqrt(2 / len(shared)) if shared else math.nan
        reason = "" if shared else "no seed in common"
        interval = simultaneous_interval(value, error, self.freedom, family, len(shared), level, reason)
        paired = mean_interval(differences, level)
        return Difference(first, second, interval, paired, error, self.freedom, family, Components(2 * self.sigma**2))


def _residuals(values: dict[str, dict[int, float]]) -> tuple[dict[str, dict[int, float]], int]:
    """Errors of the least squares fit by arm and seed, and their degrees of freedom."""
    arms, seeds = list(values), sorted({seed for row in values.values() for seed in row})
    cells = [(a, seeds.index(seed), value) for a, arm in enumerate(arms) for seed, value in values[arm].items()]
    if len(cells) == len(arms) * len(seeds):
        table_AS = np.array([list(values[arm].values()) for arm in arms])
        error_AS = table_AS - table_AS.mean(axis=1, keepdims=True) - table_AS.mean(axis=0) + table_AS.mean()
        freedom = (len(arms) - 1) * (len(seeds) - 1)
        return {arm: dict(zip(seeds, error_AS[a].tolist(), strict=True)) for a, arm in enumerate(arms)}, freedom
    design = np.zeros((len(cells), len(arms) + len(seeds)))
    for row, (a, s, _) in enumerate(cells):
        design[row, a] = design[row, len(arms) + s] = 1.0
    measured = np.array([value for _, _, value in cells])
    fitted, _, rank, _ = np.linalg.lstsq(design, measured, rcond=None)
    errors = iter((measured - design @ fitted).tolist())
    return {arm: {seed: next(errors) for seed in values[arm]} for arm in arms}, len(cells) - int(rank)


def _unequal(residuals: dict[str, dict[int, float]]) -> str:
    """The arm that spreads `UNEQUAL` times as widely as the others, from seeds that all arms have; "" for none.

    The variance of each arm by Grubbs (1948), doi 10.1080/01621459.1948.10483261; it needs three arms and three seeds.
    """
    shared = sorted(set.intersection(*(set(row) for row in residuals.values())))
    count = len(residuals)
    if count < 3 or len(shared) < 3:
        return ""
    table_AS = np.array([[row[seed] for seed in shared] for row in residuals.values()])
    table_AS = table_AS - table_AS.mean(axis=1, keepdims=True) - table_AS.mean(axis=0) + table_AS.mean()
    spread_A = (table_AS**2).sum(axis=1) / (len(shared) - 1)
    total = spread_A.sum() / (1 - 1 / count)
    variance_A = (spread_A - total / count**2) / (1 - 2 / count)
    widest = int(np.argmax(variance_A))
    others = max(total - variance_A[widest], 0.0) / (count - 1)
    return list(residuals)[widest] if variance_A[widest] >= UNEQUAL**2 * others else ""


def _lacking(values: dict[str, dict[int, float]]) -> str:
    seeds = sorted({seed for row in values.values() for seed in row})
    lacks = {arm: [str(seed) for seed in seeds if seed not in row] for arm, row in values.items()}
    return "; ".join(f"{arm} lacks seed {', '.join(missing)}" for arm, missing in lacks.items() if missing)
