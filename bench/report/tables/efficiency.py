"""The one table of costs for a paper: time, memory and FLOPs of every arm at chosen lengths."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from bench.errors import UserError
from bench.report.analysis.comparable import first_setting, kernel_conflict, settings_left_out
from bench.report.rows.arms import arm_order
from bench.report.rows.summaries import Summaries, cost_summaries
from bench.report.tables.captions import cost_caption
from bench.report.tables.cost import brief_cost_entries, throttled_notes
from bench.report.tables.table import Entry, Table
from metrics.headlines import EFFICIENCY, brief

MOST_LENGTHS = 5
TOKENS = "tokens"


def shown_lengths(lengths: Sequence[int]) -> list[int]:
    """All lengths where they are few, else the powers of two, else the last ones."""
    if len(lengths) <= MOST_LENGTHS:
        return list(lengths)
    return [n for n in lengths if n & (n - 1) == 0][-MOST_LENGTHS:] or list(lengths[-MOST_LENGTHS:])


def efficiency_lengths(frame: pd.DataFrame, metrics: Sequence[str] = EFFICIENCY) -> list[int]:
    """Lengths of which the table can have rows: those at which any of its costs was measured."""
    return first_setting(cost_summaries(frame)).where(metric=tuple(metrics)).measured().lengths()


def efficiency_tables(
    frame: pd.DataFrame,
    folder: Path | None = None,
    *,
    metrics: Sequence[str] = EFFICIENCY,
    lengths: Sequence[int] | None = None,
    force: bool = False,
) -> list[Table]:
    """One table: a row per length and arm, a column per cost; [] without costs. `lengths`: those of `shown_lengths`
    unless given. Bold as in `cost_tables`.

    Raises UserError for a length that was not measured.
    """
    everything = cost_summaries(frame)
    costs = first_setting(everything).where(metric=tuple(metrics))
    measured = efficiency_lengths(frame, metrics)
    chosen = shown_lengths(measured) if lengths is None else list(lengths)
    if unknown := [length for length in chosen if length not in measured]:
        have = ", ".join(map(str, measured)) or "none"
        raise UserError(f"lengths {', '.join(map(str, unknown))}: not measured; measured are {have}")
    columns = [metric for metric in metrics if costs.where(metric=metric, length=chosen).measured()]
    if not columns:
        return []
    arms = [arm for arm in arm_order(frame) if costs.where(arm=arm)]
    body = [row for length in chosen for row in _rows(costs.where(length=length), length, arms, columns, folder, force)]
    shown = costs.where(length=chosen, metric=columns)
    notes = [*throttled_notes(shown), *filter(None, (_kernel_note(shown, force), settings_left_out(everything)))]
    names = ("arm", TOKENS, *map(brief, columns))
    caption = cost_caption(shown, folder)
    return [Table("efficiency", "Efficiency", names, tuple(body), tuple(notes), caption, grouped=TOKENS)]


def _rows(
    costs: Summaries, length: int, arms: list[str], columns: list[str], folder: Path | None, force: bool
) -> list[tuple[Entry, ...]]:
    """The rows of one length."""
    found = [brief_cost_entries(costs, arms, metric, folder, force=force) for metric in columns]
    return [(Entry(arm), Entry.count(length), *(column[at] for column in found)) for at, arm in enumerate(arms)]


def _kernel_note(shown: Summaries, force: bool) -> str:
    conflict = kernel_conflict(shown.kernels())
    if not conflict:
        return ""
    return f"{'Ranked although' if force else 'Not ranked:'} operations ran on different kernels ({conflict})."
