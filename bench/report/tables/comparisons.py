"""Tables that compare arms: differences from the baseline arm with their tests, and ranks with their chances."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from bench.report.analysis.comparisons import by_seed, comparisons, losses
from bench.report.rows.arms import arm_order
from bench.report.rows.summaries import group_words, quality_group, quality_summaries, reference_summaries
from bench.report.tables.cost import rotation_notes
from bench.report.tables.numbers import number
from bench.report.tables.table import Entry, Table
from metrics.headlines import PRIMARY
from metrics.quantities import quantity_of
from metrics.statistics.ranking import rank_arms

MOST_PAIR_DRAWS = 2e7  # arms x arms x draws that are held in memory at once


def comparison_tables(frame: pd.DataFrame, baseline: str) -> list[Table]:
    """Every arm against the baseline arm on the primary metrics: paired difference, interval, p after Holm, and a
    verdict."""
    body = []
    for found in comparisons(frame, baseline):
        difference = found.difference
        body.append(
            (
                Entry(f"{found.arm} - {baseline}: {quantity_of(found.metric).heading}"),
                Entry.interval(difference),
                Entry.count(difference.n),
                Entry(number(found.adjusted_p, 2), found.adjusted_p),
                Entry(found.verdict),
                Entry(number(found.detectable) if math.isfinite(found.detectable) else "none"),
                Entry("over 1000" if found.seeds_needed is None else str(found.seeds_needed)),
                Entry(group_words(found.group)),
            )
        )
    if not body:
        return []
    columns = ("arms and score", "difference", "pairs", "p (Holm)", "verdict", "detectable", "seeds needed", "where")
    notes = (
        "Seeds are paired: one seed means the same data order and the same noise for every arm. Exact sign-flip test, "
        "two-sided, Holm-corrected over all rows of one setting; only these primary metrics are tested.",
        "Detectable: the smallest true difference that these seeds would have found with chance 0.8. Seeds needed: to "
        "find a difference as large as the one seen, with chance 0.8.",
        "With n pairs no p below 2^(1-n) can come out, however large the difference.",
    )
    return [Table("differences", f"Differences from {baseline}", columns, tuple(body), notes)]


def rank_tables(frame: pd.DataFrame) -> list[Table]:
    """Arms from best to worst on the primary metrics: the ranks each may have and its chance of being the best."""
    body, references = [], reference_summaries(frame)
    for group, summaries in quality_summaries(frame).groups(quality_group):
        for metric in PRIMARY:
            rows = summaries.where(metric=metric)
            values = losses(rows, references)
            shared = set.intersection(*(set(one) for one in values.values())) if len(values) > 1 else set()
            if not shared:
                continue
            draws = int(min(20_000, MOST_PAIR_DRAWS / len(values) ** 2))
            for ranked in rank_arms(values, better="lower", draws=draws):
                summary = rows.where(arm=ranked.arm)[0]
                mean = float(np.mean([by_seed(summary)[seed] for seed in sorted(shared)]))
                body.append(
                    (
                        Entry(f"{ranked.arm}: {quantity_of(metric).heading}"),
                        Entry.count(ranked.rank),
                        Entry(f"{ranked.low_rank} to {ranked.high_rank}"),
                        Entry.figure(ranked.probability_best, reason="one seed says nothing of chances"),
                        Entry.figure(mean, cell_ids=summary.cell_ids),
                        Entry(group_words(group)),
                    )
                )
    if not body:
        return []
    notes = [
        "Ranks by the mean over the seeds that every arm has. Possible ranks (95 %) and chances come from the spread "
        "between seeds, the same for all arms; they describe and are no test.",
    ]
    notes += rotation_notes(frame, arm_order(frame))
    columns = ("arm and score", "rank", "possible ranks", "chance of being best", "mean", "where")
    return [Table("ranks", "Ranks", columns, tuple(body), tuple(notes))]
