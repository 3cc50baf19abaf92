"""Ranking of arms: the arm that may be printed bold, and the ranks that each may have."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from metrics.statistics.blocks import ArmValues
from metrics.statistics.comparison import pair_values, sign_flip_p_value, smallest_p_value
from metrics.statistics.differences import Difference, Direction


@dataclass(frozen=True)
class BestArm:
    """The arm that may be printed bold, or None with the reason."""

    arm: str | None
    reason: str


@dataclass(frozen=True)
class Ranked:
    """An arm's place: rank of its mean (1 is best), the ranks it may have with 95 % chance, chance of being best."""

    arm: str
    mean: float
    rank: int
    low_rank: int
    high_rank: int
    probability_best: float


@dataclass(frozen=True)
class Place:
    """An arm's rank by its estimate (1 is best), and the ranks it may have by the simultaneous intervals of all
    pairs."""

    arm: str
    rank: int
    low_rank: int
    high_rank: int


def places(pairs: Mapping[tuple[str, str], Difference], *, better: Direction) -> list[Place]:
    """Arms from best to worst, from the differences of all pairs (`BlockModel.pairs`, `SongModel.pairs`).

    An arm may have any rank after all arms that are better by their interval and before all that are worse, so no rank
    contradicts a verdict on the same pairs, nor one against a baseline. All ranges hold together at the level of the
    family.
    """
    _check_direction(better)
    sign = 1 if better == "higher" else -1
    arms = list(dict.fromkeys(arm for pair in pairs for arm in pair))
    better_than, worse_than, lead = (dict.fromkeys(arms, 0.0) for _ in range(3))
    for (one, two), difference in pairs.items():
        side = sign * difference.side
        winner, loser = (one, two) if side > 0 else (two, one)
        better_than[winner] += abs(side)
        worse_than[loser] += abs(side)
        if math.isfinite(difference.value):
            lead[one] += sign * difference.value
            lead[two] -= sign * difference.value
    order = sorted(arms, key=lambda arm: -lead[arm])
    return [
        Place(
            arm,
            rank,
            min(rank, 1 + int(worse_than[arm])),
            max(rank, len(arms) - int(better_than[arm])),
        )
        for rank, arm in enumerate(order, 1)
    ]


def leader(pairs: Mapping[tuple[str, str], Difference], *, better: Direction) -> BestArm:
    """The arm that is better than every other by the simultaneous intervals of all pairs: the one printed bold.

    None with the reason where there is no such arm.
    """
    ranked = places(pairs, better=better)
    if not ranked:
        return BestArm(None, "fewer than two arms have values")
    first = ranked[0].arm
    sign = 1 if better == "higher" else -1
    for (one, two), difference in pairs.items():
        if first in (one, two) and sign * difference.side * (1 if first == one else -1) <= 0:
            return BestArm(None, f"{first} is not surely better than {two if first == one else one}")
    return BestArm(first, "")


def best_arm(values: ArmValues, *, better: Direction, level: float = 0.95) -> BestArm:
    """The arm that is significantly better than every other, if there is one: the only one to be printed bold.

    The arm with the best mean must beat each of the k - 1 others at a two-sided p of at most 2 alpha / k. Whatever the
    truth, an arm is named falsely only if it beats one that is at least as good, a chance of at most alpha / k for each
    of the k arms, so alpha over the table. With two arms this is the usual test at alpha.
    """
    _check(values, better)
    arms = [arm for arm in values if any(not math.isnan(value) for value in values[arm].values())]
    if len(arms) < 2:
        return BestArm(None, "fewer than two arms have values")
    sign = 1 if better == "higher" else -1
    means = {arm: sign * float(np.nanmean(list(values[arm].values()))) for arm in arms}
    leader = max(arms, key=lambda arm: means[arm])
    allowed = 2 * (1 - level) / len(arms)
    for other in (arm for arm in arms if arm != leader):
        differences = pair_values(values[leader], values[other])
        differences = sign * differences[~np.isnan(differences)]
        count = differences.size
        if count == 0 or smallest_p_value(count) > allowed:
            return BestArm(None, f"cannot be decided with {count} seed{'s' if count != 1 else ''}")
        if sign_flip_p_value(differences) > allowed or differences.mean() <= 0:
            return BestArm(None, f"{leader} is not significantly better than {other}")
    return BestArm(leader, "")


def rank_arms(
    values: ArmValues, *, better: Direction, level: float = 0.95, draws: int = 20_000, seed: int = 0
) -> list[Ranked]:
    """Arms from best to worst with the ranks they may have and the chance of each being best.

    From seeds that every arm has: value = arm + seed + noise with one noise variance for all arms, flat prior, so arm
    means are drawn from their posterior t distribution with (arms - 1)(seeds - 1) degrees of freedom, which stays wide
    at two seeds. One common seed: chances are NaN. Ties share their chance. Source: Gelman et al., Bayesian Data
    Analysis (2013), section 3.2, for the prior; the model is that of a randomised block design.
    """
    _check(values, better)
    shared = sorted(set.intersection(*({s for s, v in row.items() if not math.isnan(v)} for row in values.values())))
    arms = list(values)
    table_AS = np.array([[values[arm][one] for one in shared] for arm in arms])  # arms, seeds
    if not shared:
        raise ValueError("rank_arms: no seed that every arm has a value for")
    sign = 1 if better == "higher" else -1
    means_A = table_AS.mean(axis=1)
    order = np.argsort(-sign * means_A, kind="stable")
    probability, low, high = _posterior_ranks(sign * table_AS, level, draws, seed)
    return [
        Ranked(arms[a], float(means_A[a]), place + 1, int(low[a]), int(high[a]), float(probability[a]))
        for place, a in enumerate(order)
    ]


def _posterior_ranks(
    table_AS: np.ndarray, level: float, draws: int, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Chance of being best and the bounds of the rank of each arm; higher values are better here."""
    arms, seeds = table_AS.shape
    freedom = (arms - 1) * (seeds - 1)
    if freedom == 0:
        return np.full(arms, math.nan), np.ones(arms), np.full(arms, arms)
    residual = table_AS - table_AS.mean(axis=1, keepdims=True) - table_AS.mean(axis=0) + table_AS.mean()
    generator = np.random.default_rng(seed)
    variance_N = (residual**2).sum() / generator.chisquare(freedom, draws)
    drawn_NA = table_AS.mean(axis=1) + np.sqrt(variance_N / seeds)[:, None] * generator.standard_normal((draws, arms))
    best_NA = drawn_NA == drawn_NA.max(axis=1, keepdims=True)
    probability = (best_NA / best_NA.sum(axis=1, keepdims=True)).mean(axis=0)
    ranks_NA = 1 + (drawn_NA[:, None, :] > drawn_NA[:, :, None]).sum(axis=2)  # N A A -> N A
    bounds = np.quantile(ranks_NA, [(1 - level) / 2, (1 + level) / 2], axis=0, method="nearest")
    return probability, bounds[0], bounds[1]


def _check(values: ArmValues, better: str) -> None:
    if not values:
        raise ValueError("no arms to compare")
    _check_direction(better)


def _check_direction(better: str) -> None:
    if better not in ("higher", "lower"):
        raise ValueError(f"better = {better!r}; allowed: higher, lower")
