"""Main effects on a figure: attention's place, mixers, Mamba layers, direction and the axes of a study."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from bench.report.analysis.comparisons import Compared, compared
from bench.report.analysis.patterns import cycle_of, read_pattern
from bench.report.presentation import read_axes
from bench.report.rows.arms import arm_order
from bench.report.rows.summaries import Summaries
from metrics.statistics.differences import Difference
from metrics.statistics.verdict import Verdict

MIXERS = {"M": "Mamba", "F": "feed-forward", "A": "attention"}


@dataclass(frozen=True)
class Effect:
    """The mean of the arms of one level less the mean of all other arms that have the factor, with its verdict;
    `difference` is None where an arm is in no model of seeds."""

    compared: Compared
    factor: str
    level: str
    others: str
    arms: tuple[str, ...]
    against: tuple[str, ...]
    difference: Difference | None
    verdict: Verdict
    cell_ids: tuple[str, ...]


def factors(axes: str, pattern: str, direction: str) -> dict[str, str]:
    """Level of each factor that an arm has: from what it is on the study's axes of settings, from its block and its
    direction."""
    given = read_axes(axes)
    short = Counter(key.rpartition(".")[2] for key in given)
    levels = {}
    for key, value in given.items():
        name = key.rpartition(".")[2]
        levels[f"axis {name if short[name] == 1 else key}"] = value
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


def effects(frame: pd.DataFrame, folder: Path | None = None) -> list[Effect]:
    """Main effects on the primary metrics, in every quality setting; a factor that does not vary has none.

    Those of one metric and setting are judged together, by the model that compares its arms.
    """
    found, order = [], arm_order(frame)
    for one in compared(frame, folder):
        arms = [arm for arm in order if one.summaries.where(arm=arm)]
        levels = {arm: _factors_of(one.summaries, arm) for arm in arms}
        asked = [ask for name in _names(levels) for ask in _asked(name, levels)]
        found += [_effect(one, ask, len(asked)) for ask in asked]
    return found


def _names(levels: dict[str, dict[str, str]]) -> list[str]:
    return list(dict.fromkeys(name for one in levels.values() for name in one))


@dataclass(frozen=True)
class _Asked:
    """A level of a factor against the others, and the arms of both sides."""

    factor: str
    level: str
    others: str
    arms: tuple[str, ...]
    against: tuple[str, ...]


def _asked(factor: str, levels: dict[str, dict[str, str]]) -> list[_Asked]:
    having = {arm: one[factor] for arm, one in levels.items() if factor in one}
    kinds = list(dict.fromkeys(having.values()))
    if len(kinds) < 2:
        return []
    shown = kinds if len(kinds) > 2 else [kind for kind in kinds if kind != "without"][:1]
    found = []
    for level in shown:
        arms = tuple(arm for arm in having if having[arm] == level)
        against = tuple(arm for arm in having if having[arm] != level)
        others = kinds[1 - kinds.index(level)] if len(kinds) == 2 else "the others"
        found.append(_Asked(factor, level, others, arms, against))
    return found


def _effect(one: Compared, ask: _Asked, comparisons: int) -> Effect:
    cells = one.summaries.where(arm=[*ask.arms, *ask.against]).cell_ids()
    difference = one.contrast(ask.arms, ask.against, comparisons)
    if difference is None:
        found = Verdict("open", reason="not every arm is repeated over seeds")
        return Effect(one, ask.factor, ask.level, ask.others, ask.arms, ask.against, None, found, cells)
    margin = one.stated.at(one.mean_of(ask.against)) if one.stated else None
    found = one.judge(difference, margin)
    return Effect(one, ask.factor, ask.level, ask.others, ask.arms, ask.against, difference, found, cells)


def _factors_of(summaries: Summaries, arm: str) -> dict[str, str]:
    first = summaries.where(arm=arm)[0]
    return factors(first.axes, first.pattern, first.direction)


def depth_interaction(one: Compared) -> tuple[Difference, int, int] | None:
    """Effect of late against early attention at the deepest less at the shallowest depth that have both, halved; the
    two depths. None where the four sides are not of as many arms each."""
    cells: dict[tuple[int, str], list[str]] = {}
    for arm in one.summaries.distinct("arm"):
        found = read_pattern(one.summaries.where(arm=arm)[0].pattern)
        place = _factors_of(one.summaries, arm).get("place of attention")
        if found and found.repeats > 1 and place in ("early", "late"):
            cells.setdefault((found.repeats, place), []).append(arm)
    depths = sorted(depth for depth, place in cells if place == "early" and (depth, "late") in cells)
    if len(depths) < 2:
        return None
    deep, shallow = depths[-1], depths[0]
    if len({len(cells[depth, place]) for depth in (deep, shallow) for place in ("early", "late")}) > 1:
        return None
    up, down = cells[deep, "late"] + cells[shallow, "early"], cells[deep, "early"] + cells[shallow, "late"]
    half = one.contrast(up, down, 1)
    return None if half is None else (half, deep, shallow)
