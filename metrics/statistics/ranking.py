"""Ranking of arms: the arm that may be printed bold, and the ranks that each may have."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from metrics.statistics.differences import Difference, Direction


@dataclass(frozen=True)
class BestArm:
    """The arm that may be printed bold, or None with the reason."""

    arm: str | None
    reason: str


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


def _check_direction(better: str) -> None:
    if better not in ("higher", "lower"):
        raise ValueError(f"better = {better!r}; allowed: higher, lower")
