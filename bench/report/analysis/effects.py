"""Main effects on a figure: attention's place, mixers, Mamba layers, direction and the axes of a study."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bench.report.analysis.comparisons import by_seed
from bench.report.analysis.patterns import cycle_of, read_pattern
from bench.report.rows.arms import arm_order
from bench.report.rows.summaries import Group, Summaries, quality_group, quality_summaries
from metrics.headlines import PRIMARY
from metrics.statistics.intervals import Interval, mean_interval

MIXERS = {"M": "Mamba", "F": "feed-forward", "A": "attention"}
_AXIS = re.compile(r"(\w+)=(\S+)")


@dataclass(frozen=True)
class Effect:
    """The mean of the arms of one level less the mean of all other arms that have the factor, one difference a seed."""

    group: Group
    metric: str
    factor: str
    level: str
    others: str
    arms: tuple[str, ...]
    against: tuple[str, ...]
    difference: Interval
    cell_ids: tuple[str, ...]


def factors(arm: str, pattern: str, direction: str) -> dict[str, str]:
    """Level of each factor that an arm has: from its block, its direction and the `key=value` words of its name."""
    levels = {f"axis {key}": value for key, value in _AXIS.findall(arm)}
    found = read_pattern(pattern)
    if found is None:
        return levels
    mixers = [str(slot)[0] for slot in found.block]
    levels |= {f"{name} in the block": "with" if letter in mixers else "without" for letter, name in MIXERS.items()}
    levels["Mamba layers"] = str(mixers.count("M") * found.repeats)
    if "A" in mixers and len(mixers) > 2:
        levels["place of attention"] = _place(mixers)
        levels["cycle"] = cycle_of(pattern) or "none"
        levels["edges (first to last layer)"] = f"{mixers[0]} to {mixers[-1]}"
    if "M" in mixers and direction:
        levels["direction"] = direction
    return levels


def _place(mixers: list[str]) -> str:
    """Early, middle or late: where in its block the attention stands on average."""
    at = np.mean([index for index, mixer in enumerate(mixers) if mixer == "A"]) / (len(mixers) - 1)
    return "early" if at < 1 / 3 else "late" if at > 2 / 3 else "middle"


def effects(frame: pd.DataFrame) -> list[Effect]:
    """Main effects on the primary metrics, in every quality setting; a factor that does not vary has none."""
    found = []
    for group, summaries in quality_summaries(frame).groups(quality_group):
        arms = [arm for arm in arm_order(frame) if summaries.where(arm=arm)]
        levels = {arm: _factors_of(summaries, arm) for arm in arms}
        for metric in PRIMARY:
            measured = summaries.where(metric=metric).measured()
            for factor in dict.fromkeys(name for one in levels.values() for name in one):
                found += _effects_of(group, metric, factor, measured, levels)
    return found


def _factors_of(summaries: Summaries, arm: str) -> dict[str, str]:
    first = summaries.where(arm=arm)[0]
    return factors(arm, first.pattern, first.direction)


def _effects_of(
    group: Group, metric: str, factor: str, summaries: Summaries, levels: dict[str, dict[str, str]]
) -> list[Effect]:
    having = {arm: one[factor] for arm, one in levels.items() if factor in one and summaries.where(arm=arm)}
    kinds = list(dict.fromkeys(having.values()))
    if len(kinds) < 2:
        return []
    shown = kinds if len(kinds) > 2 else [kind for kind in kinds if kind != "without"][:1]
    found = []
    for level in shown:
        arms = tuple(arm for arm in having if having[arm] == level)
        against = tuple(arm for arm in having if having[arm] != level)
        others = kinds[1 - kinds.index(level)] if len(kinds) == 2 else "the others"
        cells = Summaries(summaries.where(arm=arm)[0] for arm in having).cell_ids()
        difference = _difference(summaries, arms, against)
        found.append(Effect(group, metric, factor, level, others, arms, against, difference, cells))
    return found


def _difference(summaries: Summaries, arms: tuple[str, ...], against: tuple[str, ...]) -> Interval:
    """Mean over the seeds that all arms have of (mean of `arms` - mean of `against`)."""
    first, second = _arm_means(summaries, arms), _arm_means(summaries, against)
    return mean_interval([first[seed] - second[seed] for seed in sorted(first.keys() & second.keys())])


def _arm_means(summaries: Summaries, arms: Iterable[str]) -> dict[int, float]:
    """Mean over the arms for each seed that all of them have."""
    values = [by_seed(summaries.where(arm=arm)[0]) for arm in arms]
    seeds = set.intersection(*(set(one) for one in values))
    return {seed: float(np.mean([one[seed] for one in values])) for seed in seeds}


def depth_interaction(summaries: Summaries) -> tuple[Interval, int, int] | None:
    """Effect of late against early attention at the deepest less at the shallowest depth that have both; the two
    depths."""
    cells: dict[tuple[int, str], list[str]] = {}
    for arm in summaries.distinct("arm"):
        found = read_pattern(summaries.where(arm=arm)[0].pattern)
        place = _factors_of(summaries, arm).get("place of attention")
        if found and found.repeats > 1 and place in ("early", "late"):
            cells.setdefault((found.repeats, place), []).append(arm)
    depths = sorted(depth for depth, place in cells if place == "early" and (depth, "late") in cells)
    if len(depths) < 2:
        return None
    deep, shallow = depths[-1], depths[0]
    means = {key: _arm_means(summaries, arms) for key, arms in cells.items() if key[0] in (deep, shallow)}
    seeds = sorted(set.intersection(*(set(one) for one in means.values())))
    gains = {
        depth: np.array([means[depth, "late"][seed] - means[depth, "early"][seed] for seed in seeds])
        for depth in (deep, shallow)
    }
    return mean_interval(gains[deep] - gains[shallow]), deep, shallow
