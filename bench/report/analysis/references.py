"""Arms beside reference rows: the ceiling of real music, the floors, the token baselines."""

from __future__ import annotations

from bench.report.rows.points import Point, Points
from metrics.cost.quantities import BITS

CEILING = "real-vs-real"
GRAMMAR = "grammar"
ArmKey = tuple[str, int | None, str]


def reference_point(references: Points, arm: str, metric: str, corpus: str, length: int | None) -> Point | None:
    """The measured reference for a corpus and length, else the one without a corpus or length of its own; None where
    there is none."""
    for wanted_corpus in (corpus, ""):
        for wanted_length in (length, None):
            found = references.first(arm=arm, metric=metric, corpus=wanted_corpus, length=wanted_length)
            if found is not None and found.measured:
                return found
    return None


def grammar_marks(quality: Points, references: Points) -> dict[ArmKey, str]:
    """For each (corpus, length, arm) with validation bits/token: "no more" where the mean is not below the grammar
    baseline, "open" where the mean is below but the interval reaches it (or there is none), "" where it lies wholly
    below, "unknown" without a baseline."""
    marks: dict[ArmKey, str] = {}
    for point in quality.where(metric=BITS).measured():
        baseline = reference_point(references, GRAMMAR, BITS, point.corpus, point.length)
        if baseline is None:
            mark = "unknown"
        elif point.value >= baseline.value:
            mark = "no more"
        else:
            mark = "" if point.high < baseline.value else "open"
        marks[(point.corpus, point.length, point.arm)] = mark
    return marks
