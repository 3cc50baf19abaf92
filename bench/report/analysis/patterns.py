"""Groups of block patterns in a report: families, cycles and rotations, arms of the same mixers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cache

import pandas as pd

from architectures.pattern import BlockPattern, PatternError
from bench.report.presentation import shown_rows


@cache
def read_pattern(pattern: str) -> BlockPattern | None:
    """The pattern of a text; None where it cannot be read, as for an arm of MIDI files."""
    try:
        return BlockPattern.parse(pattern)
    except PatternError:
        return None


def layers_of(pattern: str) -> tuple[str, ...]:
    """All mixers of a pattern from first to last; () for one that cannot be read."""
    found = read_pattern(pattern)
    return tuple(map(str, found.slots)) if found else ()


def cycle_of(pattern: str) -> str | None:
    """Name of the cycle of a repeated pattern, the same for all its rotations; None without a repeat.

    `MFA*8`, `FAM*8` and `AMF*8` are one sequence but for the edges, so all three give `AMF*8`.
    """
    found = read_pattern(pattern)
    if found is None or found.repeats == 1:
        return None
    return f"{min(''.join(map(str, rotation)) for rotation in found.rotations)}*{found.repeats}"


def same_mixers(first: str, second: str) -> bool:
    """Whether two repeated patterns hold the same mixers equally often, in whatever order."""
    one, other = read_pattern(first), read_pattern(second)
    return (
        one is not None
        and other is not None
        and one.repeats == other.repeats > 1
        and Counter(one.block) == Counter(other.block)
    )


def rotation_groups(patterns: Mapping[str, str]) -> list[list[str]]:
    """Groups of two or more arms whose patterns are rotations of one cycle; `patterns` maps arm to pattern."""
    groups: dict[str, list[str]] = {}
    for arm, pattern in patterns.items():
        cycle = cycle_of(pattern)
        if cycle:
            groups.setdefault(cycle, []).append(arm)
    distinct = (group for group in groups.values() if len({patterns[arm] for arm in group}) > 1)
    return list(distinct)


def rotation_note(patterns: Mapping[str, str]) -> str:
    """The sentence that goes wherever orders are ranked; empty where no two arms are rotations of one cycle."""
    groups = rotation_groups(patterns)
    if not groups:
        return ""
    named = "; ".join(", ".join(f"{arm} ({patterns[arm]})" for arm in group) for group in groups)
    same = "Rotations of one cycle, the same sequence of layers but for the edges"
    return f"{same}: {named}. Their ranks are not independent."


def patterns_of(frame: pd.DataFrame) -> dict[str, str]:
    """Pattern of each arm, as its rows give it."""
    rows = shown_rows(frame)
    rows = rows.loc[(rows["kind"] != "reference") & (rows["pattern"] != ""), ["arm", "pattern"]]
    first = rows.drop_duplicates("arm")
    return {str(arm): str(pattern) for arm, pattern in zip(first["arm"], first["pattern"], strict=True)}


ORDERS, MIXED, ATTENTION, WITHOUT = "orders of one block", "attention mixed in", "attention only", "without attention"
OTHERS = "other networks"
MOST_TOGETHER = 8
FEWEST_ORDERS = 3
WITHIN_A_TOKEN = ("F", "C")
"""Mixers of a token, or of a token and its neighbours; they do not decide a family."""


def families(arms: Iterable[str], patterns: Mapping[str, str]) -> list[tuple[str, list[str]]]:
    """Title and arms of each family, arms in their order; one of more than `MOST_TOGETHER` is cut in parts."""
    arms = list(arms)
    found: dict[str, list[str]] = {}
    for arm in arms:
        found.setdefault(_family(arm, arms, patterns), []).append(arm)
    parts = []
    for title in (one for one in (ORDERS, MIXED, WITHOUT, ATTENTION, OTHERS) if one in found):
        members = found[title]
        count = -(-len(members) // MOST_TOGETHER)
        size = -(-len(members) // count)
        parts += [(title, members[start : start + size]) for start in range(0, len(members), size)]
    return parts


def _family(arm: str, arms: list[str], patterns: Mapping[str, str]) -> str:
    mine = patterns.get(arm, "")
    if not (layers := layers_of(mine)):
        return OTHERS
    letters = {layer[0] for layer in layers} - set(WITHIN_A_TOKEN)
    if "A" not in letters:
        return WITHOUT
    if letters == {"A"}:
        return ATTENTION
    orders = [other for other in arms if same_mixers(mine, patterns.get(other, ""))]
    return ORDERS if len(orders) >= FEWEST_ORDERS else MIXED
