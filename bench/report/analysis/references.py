"""Arms beside reference rows: the ceiling of real music, the floors, the token baselines."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from bench.report.rows.arms import reference_order
from bench.report.rows.summaries import Group, Summaries, Summary
from metrics.cost.quantities import BITS
from metrics.music.table import CEILING
from metrics.quantities import quantity_of
from metrics.statistics.redraws import SEPARATED, place

BIGRAM, GRAMMAR = "bigram", "grammar"
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


def reference_scores(
    references: Summaries, metrics: Sequence[str], group: Group, arms: Iterable[str] | None = None
) -> list[tuple[str, list[Summary | None]]]:
    """Each reference arm (of `arms` where given) that has any of these metrics for the corpus and length of a group,
    with its summary of each."""
    names = reference_order(references) if arms is None else arms
    found = [(arm, [reference_summary(references, arm, one, group[0], group[1]) for one in metrics]) for arm in names]
    return [(arm, summaries) for arm, summaries in found if any(summaries)]


def place_of(summary: Summary | None, references: Summaries) -> str:
    """The place of a figure among the redraws of real music, `metrics.statistics.redraws.place`; empty where either is
    not known."""
    if summary is None:
        return ""
    real = reference_summary(references, CEILING, summary.metric, summary.corpus, summary.length)
    if real is None or not math.isfinite(real.sd):
        return ""
    better = quantity_of(summary.metric).better
    return place(summary.value, real.value, real.sd, real.low, real.high, better)


def separated_from(references: Summaries, metric: str, corpus: str, length: int | None) -> dict[str, bool]:
    """Floor -> whether the metric separates real music from it: an area under the curve of 0.9 or more. Floors where
    that was not measured are absent."""
    found = {}
    for arm in references.distinct("arm"):
        floor = reference_summary(references, arm, metric, corpus, length)
        if floor is not None and math.isfinite(floor.auc):
            found[arm] = floor.auc >= SEPARATED
    return found


def blind_to(references: Summaries, metric: str, corpus: str, length: int | None) -> tuple[str, ...]:
    """The floors that the metric does not separate real music from, on this corpus, at this length and n."""
    return tuple(arm for arm, apart in separated_from(references, metric, corpus, length).items() if not apart)


def grammar_marks(quality: Summaries, references: Summaries) -> dict[ArmKey, str]:
    """For each (corpus, length, arm) with bits/token: "no more" where the mean is not below the grammar
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
