"""Arms in groups that can be read in one panel: by what mixes tokens in them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from bench.report.arms import layers_of, same_mixers

ORDERS, MIXED, ATTENTION, OTHERS = "orders of one block", "attention mixed in", "attention only", "without attention"
MOST_TOGETHER = 8
FEWEST_ORDERS = 3
WITHIN_A_TOKEN = ("F", "C")
"""Mixers that see a token and its neighbours; they do not decide a family."""


def families(arms: Iterable[str], patterns: Mapping[str, str]) -> list[tuple[str, list[str]]]:
    """Title and arms of each family, arms in their order; one of more than `MOST_TOGETHER` is cut in parts."""
    arms = list(arms)
    found: dict[str, list[str]] = {}
    for arm in arms:
        found.setdefault(_family(arm, arms, patterns), []).append(arm)
    parts = []
    for title in (one for one in (ORDERS, MIXED, OTHERS, ATTENTION) if one in found):
        members = found[title]
        count = -(-len(members) // MOST_TOGETHER)
        size = -(-len(members) // count)
        parts += [(title, members[start : start + size]) for start in range(0, len(members), size)]
    return parts


def _family(arm: str, arms: list[str], patterns: Mapping[str, str]) -> str:
    mine = patterns.get(arm, "")
    letters = {layer[0] for layer in layers_of(mine)} - set(WITHIN_A_TOKEN)
    if "A" not in letters:
        return OTHERS
    if letters == {"A"}:
        return ATTENTION
    orders = [other for other in arms if same_mixers(mine, patterns.get(other, ""))]
    return ORDERS if len(orders) >= FEWEST_ORDERS else MIXED
