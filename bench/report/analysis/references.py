"""Arms beside reference rows: the ceiling of real music, the floors, the token baselines."""

from __future__ import annotations

from bench.report.rows.summaries import Summaries, Summary
from metrics.cost.quantities import BITS

CEILING = "real-vs-real"
GRAMMAR = "grammar"
ArmKey = tuple[str, int | None, str]


def reference_summary(references: Summaries, arm: str, metric: str, corpus: str, length: int | None) -> Summary | None:
    """The measured reference for a corpus and length, else the one without a corpus or length of its own; None where
    there is none."""
    for wanted_corpus in (corpus, ""):
        for wanted_length in (length, None):
            found = references.first(arm=arm, metric=metric, corpus=wanted_corpus, length=wanted_length)
            if found is not None and found.measured:
                return found
    return None


def grammar_marks(quality: Summaries, references: Summaries) -> dict[ArmKey, str]:
    """For each (corpus, length, arm) with validation bits/token: "no more" where the mean is not below the grammar
    baseline, "open" where the mean is below but the interval reaches it (or there is none), "" where it lies wholly
    below, "unknown" without a baseline."""
    marks: dict[ArmKey, str] = {}
    for summary in quality.where(metric=BITS).measured():
        baseline = reference_summary(references, GRAMMAR, BITS, summary.corpus, summary.length)
        if baseline is None:
            mark = "unknown"
        elif summary.value >= baseline.value:
            mark = "no more"
        else:
            mark = "" if summary.high < baseline.value else "open"
        marks[(summary.corpus, summary.length, summary.arm)] = mark
    return marks
