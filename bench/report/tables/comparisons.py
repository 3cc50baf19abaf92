"""Tables that compare arms: differences from the baseline arm with their verdicts, and the ranks that arms may have."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from bench.report.analysis.comparisons import Compared, Comparison, compared
from bench.report.rows.arms import arm_order
from bench.report.rows.summaries import distinct_brackets, group_words
from bench.report.tables.cost import rotation_notes
from bench.report.tables.numbers import NOTHING, number
from bench.report.tables.table import Entry, Table
from metrics.statistics.differences import FEWEST_SEEDS

OUTSIDE = (
    "An arm without seeds, music of another system: interval over its pieces, the songs of the reference and the seeds "
    "of an arm that is trained; these differences are a family of their own with the same chance (Bonferroni)."
)


def comparison_tables(frame: pd.DataFrame, baseline: str, folder: Path | None = None) -> list[Table]:
    """Every arm against the baseline arm on the primary metrics: estimate with its simultaneous interval, the paired t
    interval beside it, and the verdict."""
    return difference_tables(compared(frame, folder), baseline)


def difference_tables(judged: Iterable[Compared], baseline: str) -> list[Table]:
    """The table of `comparison_tables` from models that are fitted; [] where none has the baseline."""
    found = [(one, arms) for one in judged if (arms := one.against(one.baseline(baseline)))]
    if not found:
        return []
    body = [_row(one, arm, one.baseline(baseline)) for one, arms in found for arm in arms]
    baselines = dict.fromkeys(one.baseline(baseline) for one, _ in found)
    columns = ("arms and score", "difference", "paired t", "seeds", "songs", "p", "verdict", "matters from", "where")
    where = distinct_brackets(one.group for one, _ in found)
    notes = [
        *_rules(max(1 - one.level for one, _ in found)),
        *([OUTSIDE] if any(one.outside for one, _ in found) else []),
        *(words for one, _ in found for words in model_notes(one, where[one.group])),
    ]
    return [Table("differences", f"Differences from {', '.join(baselines)}", columns, tuple(body), tuple(notes))]


def _row(one: Compared, arm: Comparison, baseline: str) -> tuple[Entry, ...]:
    difference, margin = arm.difference, one.margin(baseline) if arm.difference else None
    name = Entry(f"{arm.arm} - {baseline}: {one.quantity.heading}")
    cells = one.summaries.where(arm=[arm.arm, baseline]).cell_ids()
    if difference is None:
        figures = [Entry(NOTHING, reason=arm.verdict.reason), *[Entry(NOTHING)] * 4]
    else:
        over_songs = difference.seeds if difference.unit == "song" else 0
        figures = [
            Entry.interval(difference.interval, cell_ids=cells),
            Entry.interval(difference.paired),
            Entry.count(difference.seeds) if difference.unit == "seed" else Entry("none"),
            Entry.count(songs) if (songs := difference.songs or over_songs) else Entry("fixed"),
            Entry(number(difference.p_value, 2), difference.p_value),
        ]
    matters = Entry(NOTHING) if margin is None else Entry(number(margin), margin)
    return (name, *figures, Entry(arm.words), matters, Entry(group_words(one.group)))


def _rules(alpha: float) -> tuple[str, ...]:
    share = f"{100 * (1 - alpha):g} %"
    return (
        "Interval of the difference: all rows of arms with seeds, of one metric and setting, together cover with "
        f"chance {share}, so that all primary metrics together do with 95 % (Dunnett's intervals of the model value = "
        f"arm + seed + error). It alone decides, and p is adjusted likewise: below {alpha:.3g} exactly where it "
        "excludes 0. Paired t: the interval of this pair alone, uncorrected, beside it.",
        "better, worse: the interval excludes 0; by less than matters: it also lies within the margin. same: it "
        f"contains 0 and lies within the margin. open: anything else, and anything under {FEWEST_SEEDS} seeds; the "
        "seeds, or songs, named would decide with chance 0.8 if the difference and the spread stayed as they are.",
    )


def model_notes(one: Compared, where: str) -> list[str]:
    """What a reader should know of the model of one metric: the test of all arms at once, an arm that spreads more
    widely, what is missing. `where`: its setting as in `distinct_brackets`."""
    block = one.block
    if block is None:
        return []
    label = one.quantity.heading + where
    notes = []
    if math.isfinite(one.omnibus.p_value):
        counted = f"{one.omnibus.arrangements:,} arrangements" if one.omnibus.exact else "drawn arrangements"
        notes.append(
            f"{label}, all arms at once: p = {number(one.omnibus.p_value, 2)} that they are equal (permutation of arms "
            f"within seeds, {counted}); reported, not a condition."
        )
    if block.unequal_spread:
        notes.append(
            f"{label}, unequal spread: {block.unequal_spread} varies three times as much between seeds as the others; "
            "where that is no chance, its intervals are too narrow (false calls of 8 to 18 % in place of 5 %)."
        )
    lacking = "; ".join(filter(None, (one.note, getattr(one.model, "note", ""))))
    return [*notes, *([f"{label}, {lacking}."] if lacking else [])]


def rank_tables(frame: pd.DataFrame, folder: Path | None = None) -> list[Table]:
    """Arms from best to worst on the primary metrics with the ranks that each may have."""
    body, refused = [], []
    for one in compared(frame, folder):
        if one.refused:
            refused.append(f"{one.quantity.heading} ({group_words(one.group)}): {one.refused}.")
        if one.block is None:
            continue
        for place in one.places:
            summary = one.summaries.where(arm=place.arm)[0]
            body.append(
                (
                    Entry(f"{place.arm}: {one.quantity.heading}"),
                    Entry.count(place.rank),
                    Entry(f"{place.low_rank} to {place.high_rank}"),
                    Entry.figure(summary.value, cell_ids=summary.cell_ids),
                    Entry(group_words(one.group)),
                )
            )
    if not body and not refused:
        return []
    notes = [
        *refused,
        "Possible ranks: after every arm that is better and before every arm that is worse by the simultaneous "
        "intervals of all pairs (Tukey's, of the model of the differences); they hold together with chance 95 %.",
        *rotation_notes(frame, arm_order(frame)),
    ]
    columns = ("arm and score", "rank", "possible ranks", "mean", "where")
    return [Table("ranks", "Ranks", columns, tuple(body), tuple(notes))]
