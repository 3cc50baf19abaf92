"""Summary of a study that only times, on 80 columns: cost by length, growth, FLOP audit, A/A."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from bench.glyphs import shortened
from bench.report.analysis.aa import same_models
from bench.report.analysis.comparable import first_setting
from bench.report.analysis.growth import cost_exponent, meeting
from bench.report.pages.terminal import CELL_LETTERS, FEWEST_LETTERS, add_arms, narrow_table, plus_minus
from bench.report.rows.arms import arm_order
from bench.report.rows.frame import EFFICIENCY, QUALITY, as_frame, rows_of
from bench.report.rows.study import baseline_arm
from bench.report.rows.summaries import Summaries, Summary, cost_summaries
from bench.report.tables.audit import aa_table, flop_audit_table, ratio_table
from bench.report.tables.cost import throttled_notes
from bench.report.tables.efficiency import shown_lengths
from bench.report.tables.growth import crossing
from bench.report.tables.numbers import NOTHING
from bench.report.tables.table import Table
from metrics.cost.quantities import STEP_LATENCY
from metrics.headlines import GROWING, brief
from metrics.quantities import quantity_of

if TYPE_CHECKING:
    from rich.table import Table as RichTable

SHOWN = GROWING[:4]
MOST_PAIRS = 30
COLUMNS_PRINTED = 4
"""Of the FLOP audit: the operators that were not counted stand in the report."""


def cost_summary(frame: pd.DataFrame, folder: Path) -> list[RichTable]:
    """Tables of a study without quality cells; [] for any other, which `summary_table` covers."""
    frame = as_frame(frame)
    if not len(rows_of(frame, EFFICIENCY)) or len(rows_of(frame, QUALITY)):
        return []
    summaries, baseline, arms = first_setting(cost_summaries(frame)), baseline_arm(folder, frame), arm_order(frame)
    tables = [
        _by_length(summaries.where(metric=metric), metric, arms) for metric in SHOWN if summaries.where(metric=metric)
    ]
    tables.append(_growth(summaries, arms, baseline, folder))
    flops, same = flop_audit_table(frame, summaries, arms), same_models(summaries, folder)
    tables += [_rich(flops, COLUMNS_PRINTED)] if flops.rows else []
    pairs = (aa_table(summaries, same, folder), ratio_table(summaries, arms, baseline, same, folder))
    return tables + [_rich(table) for table in pairs if 0 < len(table.rows) <= MOST_PAIRS]


def _by_length(summaries: Summaries, metric: str, arms: list[str]) -> RichTable:
    from rich.text import Text

    lengths = shown_lengths(summaries.lengths())
    title = f"{quantity_of(metric).short_heading}, median with its 95 % interval"
    shown = summaries.where(length=lengths)
    result = narrow_table(title, [str(length) for length in lengths], "\n".join(throttled_notes(shown)))
    result.add_column(Text("kernels"))
    rows: list[tuple[str, Sequence[str]]] = []
    for arm in arms:
        line = summaries.where(arm=arm)
        figures = (_score(line.first(length=length)) for length in lengths)
        rows.append((arm, [*figures, "; ".join(line.kernels())]))
    add_arms(result, rows)
    return result


def _growth(summaries: Summaries, arms: list[str], baseline: str, folder: Path) -> RichTable:
    """Exponents of the growth with length, and where a step costs as much as the baseline's."""
    from rich.text import Text

    words = (
        "k of cost = a L^k; at the right, where a step costs as much: `cheaper` or `costlier` at all lengths, or beyond"
    )
    result = narrow_table("Growth with length", [brief(metric, unit=False) for metric in GROWING], words)
    result.add_column(Text(f"a step beside {shortened(baseline, FEWEST_LETTERS)}"))
    rows: list[tuple[str, Sequence[str]]] = []
    for arm in arms:
        exponents = [_exponent(summaries.where(metric=metric, arm=arm).measured(), folder) for metric in GROWING]
        steps = summaries.where(metric=STEP_LATENCY).measured()
        crossed = "" if arm == baseline else crossing(meeting(steps, arm, baseline, folder), arm).text
        rows.append((arm, [*exponents, crossed]))
    add_arms(result, rows)
    return result


def _exponent(line: Summaries, folder: Path) -> str:
    if len(line.lengths()) < 2:
        return NOTHING
    interval, _ = cost_exponent(line, folder)
    half = (interval.high - interval.low) / 2
    return f"{interval.value:.2f} ±{half:.2f}" if half > 0 else f"{interval.value:.2f}"


def _score(summary: Summary | None) -> str:
    if summary is None or not summary.measured:
        return summary.reason.partition(":")[0] if summary is not None and summary.reason else NOTHING
    return plus_minus(summary)


def _rich(table: Table, columns: int = 99) -> RichTable:
    from rich.text import Text

    result = narrow_table(table.title, table.columns[1:columns], "\n".join(table.notes), first=table.columns[0])
    for row in table.rows:
        result.add_row(Text(shortened(row[0].text, CELL_LETTERS)), *(Text(entry.text) for entry in row[1:columns]))
    return result
