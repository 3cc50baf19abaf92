"""Findings of single arms in words, and answers made of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.report.analysis.comparisons import Comparison
from bench.report.tables.numbers import number
from metrics.statistics.differences import FEWEST_SEEDS

CANNOT, OPEN = "cannot tell here", "open"
LAST = (OPEN, CANNOT)
"""Kinds of findings that stand after what was decided."""
MOST_NAMED = 4


@dataclass(frozen=True)
class Answer:
    """One half of the question and its answer in a sentence."""

    question: str
    words: str


@dataclass(frozen=True)
class Finding:
    """What was found of one arm: `kind` such as "yes" or "open", and the figure or reason behind it."""

    arm: str
    kind: str
    detail: str = ""

    @property
    def known(self) -> bool:
        """Whether anything can be said."""
        return self.kind != CANNOT


def music_finding(arm: Comparison) -> Finding:
    """The verdict on one arm, with the figure that a reader needs to judge it."""
    difference, verdict = arm.difference, arm.verdict
    if difference is None:
        return Finding(arm.arm, CANNOT, verdict.reason or "no figure")
    if difference.seeds < FEWEST_SEEDS:
        seeds = f"{difference.seeds} seed{'s' if difference.seeds != 1 else ''} of at least {FEWEST_SEEDS}"
        return Finding(arm.arm, CANNOT, seeds)
    if verdict.word == "same":
        return Finding(arm.arm, f"the {verdict.text}")
    if verdict.differs:
        return Finding(arm.arm, verdict.text, f"by {number(abs(difference.value), 2)}")
    return Finding(arm.arm, OPEN, f"{_signed(difference.interval.low)} to {_signed(difference.interval.high)}")


def _signed(value: float) -> str:
    return f"{'+' if value > 0 else ''}{number(value, 2)}"


def phrase(label: str, found: Sequence[Finding]) -> str:
    """`FLOPs yes, 6 %` of one arm; of several `FLOPs: yes for smdim (6 %) and mamba (23 %), open for ...`. What cannot
    be said of any arm is said once."""
    reasons = list(dict.fromkeys(one.detail for one in found))
    if not any(one.known for one in found) and len(reasons) == 1:
        return f"{label}: {CANNOT} ({reasons[0]})"
    if len(found) == 1:
        return f"{label} {found[0].kind}{f', {found[0].detail}' if found[0].detail else ''}"
    kinds: dict[str, list[str]] = {}
    for one in sorted(found, key=lambda one: one.kind.startswith(LAST)):
        kinds.setdefault(one.kind, []).append(f"{one.arm} ({one.detail})" if one.detail else one.arm)
    return f"{label}: {', '.join(f'{kind} for {names(arms)}' for kind, arms in kinds.items())}"


def names(listed: Sequence[str]) -> str:
    """Names as a list in words; of many the first ones and how many more."""
    if len(listed) > MOST_NAMED + 1:
        return f"{', '.join(listed[:MOST_NAMED])} and {len(listed) - MOST_NAMED} more"
    return " and ".join(filter(None, (", ".join(listed[:-1]), listed[-1])))


def sentence(parts: Sequence[str]) -> str:
    words = "; ".join(parts)
    return f"{words[0].upper()}{words[1:]}."
