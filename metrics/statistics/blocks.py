"""Randomised block model of a table of arms and seeds: value = arm + seed + error."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
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
        variance, freedom = _variance(kept)
        sigma = math.sqrt(variance)
        if sigma <= ROUNDING * largest(value for row in kept.values() for value in row.values()):
            sigma = 0.0
        return cls(kept, sigma, freedom, _unequal(kept) if sigma else "", _lacking(kept))

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
        """arm - baseline for every other arm: Dunnett's intervals.

        Together with those of `pairs` they cover with chance `level` (`Family.together`), so that verdicts against the
        baseline, the bold figure and ranks are one family. Raises ValueError for a baseline without values.
        """
        if baseline not in self.values:
            raise ValueError(f"baseline {baseline!r} has no value; allowed: {', '.join(self.values)}")
        family = Family.together("baseline", len(self.values), self.freedom, level)
        others = [arm for arm in self.values if arm != baseline]
        return {arm: self.difference((arm,), (baseline,), family, level) for arm in others}

    def pairs(self, level: float = 0.95) -> dict[tuple[str, str], Difference]:
        """first - second for every two arms: Tukey's intervals, which cover as those of `against`."""
        family = Family.together("pairs", len(self.values), self.freedom, level)
        return {(a, b): self.difference((a,), (b,), family, level) for a, b in combinations(self.values, 2)}

    def contrast(
        self, first: Sequence[str], second: Sequence[str], *, comparisons: int = 1, level: float = 0.95
    ) -> Difference:
        """Mean of the arms `first` less mean of the arms `second`, one of `comparisons` such questions (Bonferroni).

        For main effects of an ablation. Raises ValueError for an arm without values or one on both sides.
        """
        unknown = [arm for arm in (*first, *second) if arm not in self.values]
        if unknown or not first or not second or set(first) & set(second):
            raise ValueError(
                f"contrast of {', '.join(first)} and {', '.join(second)}: give different arms out of "
                f"{', '.join(self.values)}"
            )
        family = Family("chosen", len(self.values), 1 / comparisons)
        return self.difference(tuple(first), tuple(second), family, level)

    def difference(self, first: tuple[str, ...], second: tuple[str, ...], family: Family, level: float) -> Difference:
        """Mean of the arms `first` less mean of the arms `second` as a member of a family."""
        one, two = ([self.values[arm] for arm in side] for side in (first, second))
        shared = [seed for seed in one[0] if all(seed in row for row in one + two)]
        by_seed = tuple(sum(r[s] for r in one) / len(one) - sum(r[s] for r in two) / len(two) for s in shared)
        value = sum(by_seed) / len(shared) if shared else math.nan
        if abs(value) <= ROUNDING * largest(row[s] for row in one + two for s in shared):
            value = 0.0
        components = Components(self.sigma**2 * (1 / len(one) + 1 / len(two)))
        error = math.sqrt(components.seed / len(shared)) if shared else math.nan
        reason = "" if shared else "no seed in common"
        half = family.critical(self.freedom, level) * error
        interval = simultaneous_interval(value, half, self.freedom, len(shared), level, reason)
        names, spread = (" + ".join(first), " + ".join(second)), (error, float(self.freedom))
        return Difference(*names, interval, by_seed, *spread, spread, family, components)


def block_errors(table_AS: np.ndarray) -> np.ndarray:
    """Errors of value = arm + seed + error; the last two axes are arms and seeds, further ones are tables."""
    means = table_AS.mean(axis=-1, keepdims=True) + table_AS.mean(axis=-2, keepdims=True)
    return table_AS - means + table_AS.mean(axis=(-2, -1), keepdims=True)


def block_variance(table_AS: np.ndarray) -> np.ndarray:
    """Variance of those errors, pooled over arms, with (arms - 1)(seeds - 1) degrees of freedom."""
    arms, seeds = table_AS.shape[-2:]
    return (block_errors(table_AS) ** 2).sum(axis=(-2, -1)) / ((arms - 1) * (seeds - 1))


def _variance(values: dict[str, dict[int, float]]) -> tuple[float, int]:
    """Variance of the errors of the least squares fit by arm and seed, and its degrees of freedom."""
    if len({tuple(row) for row in values.values()}) == 1:
        table_AS = np.array([list(row.values()) for row in values.values()])
        freedom = (table_AS.shape[0] - 1) * (table_AS.shape[1] - 1)
        return (float(block_variance(table_AS)) if freedom else math.nan), freedom
    seeds = sorted({seed for row in values.values() for seed in row})
    cells = [(a, seeds.index(seed), value) for a, row in enumerate(values.values()) for seed, value in row.items()]
    design = np.zeros((len(cells), len(values) + len(seeds)))
    for row, (a, s, _) in enumerate(cells):
        design[row, a] = design[row, len(values) + s] = 1.0
    measured = np.array([value for _, _, value in cells])
    fitted, _, rank, _ = np.linalg.lstsq(design, measured, rcond=None)
    freedom = len(cells) - int(rank)
    return (float(((measured - design @ fitted) ** 2).sum()) / freedom if freedom else math.nan), freedom


def _unequal(values: dict[str, dict[int, float]]) -> str:
    """The arm that spreads `UNEQUAL` times as widely as the others, from seeds that all arms have; "" for none."""
    shared = sorted(set.intersection(*(set(row) for row in values.values())))
    if len(values) < 3 or len(shared) < 3:
        return ""
    arm, is_unequal = widest_arm(np.array([[row[seed] for seed in shared] for row in values.values()]))
    return list(values)[int(arm)] if is_unequal else ""


def widest_arm(table_AS: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Index of the arm with the widest errors, and whether they are `UNEQUAL` times as wide as the others'.

    The last two axes are arms and seeds, at least three each. Variance of each arm by Grubbs (1948), doi
    10.1080/01621459.1948.10483261.
    """
    count, seeds = table_AS.shape[-2:]
    square_A = (block_errors(table_AS) ** 2).sum(axis=-1) / (seeds - 1)
    total = square_A.sum(axis=-1) / (1 - 1 / count)
    variance_A = (square_A - total[..., None] / count**2) / (1 - 2 / count)
    most = variance_A.max(axis=-1)
    return variance_A.argmax(axis=-1), most >= UNEQUAL**2 * np.maximum(total - most, 0.0) / (count - 1)


def _lacking(values: dict[str, dict[int, float]]) -> str:
    seeds = sorted({seed for row in values.values() for seed in row})
    lacks = {arm: [str(seed) for seed in seeds if seed not in row] for arm, row in values.items()}
    return "; ".join(f"{arm} lacks seed {', '.join(missing)}" for arm, missing in lacks.items() if missing)
