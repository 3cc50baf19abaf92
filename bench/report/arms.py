"""Arms as a report shows them: one order, one colour and marker everywhere, and which block orders are one cycle."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

# Colours after Okabe and Ito (2008), told apart under the common colour-vision deficiencies; in grey, markers and
# dashes tell the arms apart. After the first twelve colours come again, with another marker and other dashes.
LOOKS: tuple[tuple[str, str, Any], ...] = (
    ("#0072B2", "o", "-"),
    ("#D55E00", "s", (0, (5, 1.5))),
    ("#009E73", "^", (0, (5, 1.5, 1, 1.5))),
    ("#CC79A7", "v", (0, (1, 1.2))),
    ("#E69F00", "D", (0, (3, 1))),
    ("#56B4E9", "P", (0, (7, 2, 1, 2, 1, 2))),
    ("#000000", "X", (0, (2, 1))),
    ("#7A5195", "*", (0, (6, 1, 2, 1))),
    ("#8C6D31", "h", (0, (1, 2))),
    ("#666666", "p", "-"),
    ("#003F5C", "<", (0, (4, 2))),
    ("#A6761D", ">", (0, (2, 2))),
    ("#0072B2", "s", (0, (5, 1.5))),
    ("#D55E00", "^", (0, (1, 1.2))),
    ("#56B4E9", "D", "-"),
    ("#009E73", "v", (0, (3, 1))),
    ("#CC79A7", "o", (0, (4, 2))),
    ("#E69F00", "P", (0, (5, 1.5, 1, 1.5))),
    ("#009E73", "X", (0, (2, 1))),
    ("#D55E00", "o", "-"),
    ("#CC79A7", "D", (0, (6, 1, 2, 1))),
    ("#7A5195", "s", (0, (1, 2))),
    ("#000000", "v", (0, (5, 1.5))),
    ("#8C6D31", "<", "-"),
)
FIXED = ("smdim", "transformer", "mamba", "mamba-causal", "fam", "amf", "maf", "afm", "fma")
REFERENCE_ORDER = ("real-vs-real", "shuffled", "unigram-tokens", "uniform-tokens", "unigram", "bigram", "grammar")
_MIXER = r"(?:[A-Z]|\[[^\]]+\])(?:\([a-z][^)]*\))?"
_REPEATED = re.compile(r"^(.*?)(?:\*(\d+))?$")
_GROUP = re.compile(rf"\(((?:{_MIXER}\d*)+)\)(\d+)")
_RUN = re.compile(rf"({_MIXER})(\d*)")


@dataclass(frozen=True)
class Look:
    """How an arm is drawn."""

    colour: str
    marker: str
    dashes: Any

    @property
    def on_dark(self) -> str:
        """The colour on a dark ground: halfway to white."""
        parts = (int(self.colour[start : start + 2], 16) for start in (1, 3, 5))
        return "#" + "".join(f"{(part + 255) // 2:02x}" for part in parts)


def _slot(arm: str) -> int | None:
    name = arm.casefold()
    return FIXED.index(name) if name in FIXED else None


def arm_order(frame: pd.DataFrame) -> list[str]:
    """Arms in the order every table and legend uses: the catalog's well-known ones first, then the others by name."""
    arms = frame.loc[frame["kind"] != "reference", "arm"] if "kind" in frame.columns else frame["arm"]
    names = [str(name) for name in arms.unique() if name]
    return sorted(names, key=lambda name: (_slot(name) is None, _slot(name) or 0, name))


def looks(arms: Iterable[str]) -> dict[str, Look]:
    """Colour, marker and dashes of each arm; a well-known arm has its own in every study, others take the next free."""
    arms = list(arms)
    chosen: dict[str, int] = {}
    for arm in arms:
        slot = _slot(arm)
        if slot is not None and slot not in chosen.values():
            chosen[arm] = slot
    free = [index for index in range(len(LOOKS)) if index not in chosen.values()]
    others = sorted(arm for arm in arms if arm not in chosen)
    for position, arm in enumerate(others):
        chosen[arm] = free[position % len(free)] if free else position % len(LOOKS)
    return {arm: Look(*LOOKS[chosen[arm]]) for arm in arms}


def block_of(pattern: str) -> tuple[tuple[str, ...], int] | None:
    """The mixers of the repeated block, one by one, and how often it repeats; None for a pattern that does not
    repeat."""
    match = _REPEATED.match(pattern.replace(" ", ""))
    if match is None or match.group(2) is None:
        return None
    block = match.group(1)
    while (flat := _GROUP.sub(lambda group: group.group(1) * int(group.group(2)), block)) != block:
        block = flat
    mixers = tuple(mixer for mixer, count in _RUN.findall(block) for _ in range(int(count or 1)))
    return (mixers, int(match.group(2))) if mixers else None


def layers_of(pattern: str) -> tuple[str, ...]:
    """All mixers of a pattern from first to last, whether it repeats or not; () for one that cannot be read."""
    found = block_of(pattern) or block_of(f"{pattern}*1")
    return found[0] * found[1] if found else ()


def cycle_of(pattern: str) -> str | None:
    """Name of the cycle that a repeated pattern walks, the same for all its rotations; None without a repeat.

    `MFA*8`, `FAM*8` and `AMF*8` are one sequence but for the edges, so all three give `AMF*8`.
    """
    found = block_of(pattern)
    if found is None:
        return None
    mixers, repeats = found
    rotations = ["".join(mixers[shift:] + mixers[:shift]) for shift in range(len(mixers))]
    return f"{min(rotations)}*{repeats}"


def same_mixers(first: str, second: str) -> bool:
    """Whether two repeated patterns hold the same mixers equally often, in whatever order."""
    one, other = block_of(first), block_of(second)
    return one is not None and other is not None and (sorted(one[0]), one[1]) == (sorted(other[0]), other[1])


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
    rows = frame.loc[(frame["kind"] != "reference") & (frame["pattern"] != ""), ["arm", "pattern"]]
    first = rows.drop_duplicates("arm")
    return {str(arm): str(pattern) for arm, pattern in zip(first["arm"], first["pattern"], strict=True)}
