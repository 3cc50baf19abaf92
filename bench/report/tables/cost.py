"""Tables of cost against length: one a metric, arm by length, bold only where the best is apart from all others."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from bench.report.analysis.comparable import EXACT, kernel_conflict, lowest_apart
from bench.report.analysis.patterns import patterns_of, rotation_note
from bench.report.analysis.times import REPLICATED, TIMES, cheapest
from bench.report.rows.arms import arm_order
from bench.report.rows.rounds import is_replicated, rounds_of
from bench.report.rows.summaries import Summaries, Summary, cost_summaries
from bench.report.tables.numbers import NOTHING, millions, number
from bench.report.tables.table import Entry, Table, numbered
from metrics.cost.quantities import STEP_LATENCY, STEP_LAUNCHES, STEP_OPERATORS
from metrics.headlines import COSTS
from metrics.quantities import Quantity, quantity_of

FORCED, THROTTLED = "*", "throttled"
SETTINGS_RANKED = f"{FORCED} ranked although device, threads or batch differ."
SETTINGS_APART = (
    "Costs on another device, with other threads or another batch stand in a table of their own: they are not ranked "
    "against these (`report --force` puts them into one table and marks it)."
)
SETTINGS = ("parameters", "direction", "pattern", "kernel")
"""The last columns of a table of costs."""
Setting = tuple[str, int | None, int | None]


def cost_tables(frame: pd.DataFrame, folder: Path | None = None, *, force: bool = False) -> list[Table]:
    """One table a cost metric and setting (device, threads, batch): rows arms, columns lengths, `n/a` with its reason
    noted. Bold is the arm that `least` names, by the raw samples in `folder`; none where kernels differ. With `force`
    all settings are in one table, and a figure that is bold although kernels or settings differ is marked *. A figure
    of a throttled GPU is marked so."""
    order = arm_order(frame)
    summaries = cost_summaries(frame)
    summaries = summaries.of(sorted(summaries, key=lambda summary: order.index(summary.arm)))
    counts = summaries.where(metric=(STEP_LAUNCHES, STEP_OPERATORS)).measured()
    tables = []
    for metric in COSTS:
        quantity = quantity_of(metric)
        rows = summaries.where(metric=metric)
        settings = [setting for setting, _ in rows.measured().groups(lambda summary: summary.setting)]
        several = len(settings) > 1
        if several and force:
            named = _named_by_setting(rows)
            tables.append(_cost_table(frame, named, quantity, f"cost_{metric}", None, force, several, folder))
            continue
        for position, setting in enumerate(settings or [None]):
            chosen = rows.of(p for p in rows if p.setting == setting or not p.measured) if several else rows
            if chosen:
                name = numbered(f"cost_{metric}", position, len(settings))
                table = _cost_table(frame, chosen, quantity, name, setting, force, several, folder)
                if metric == STEP_LATENCY:
                    table = _with_counts(table, Summaries(one for one in counts if one.setting == setting))
                tables.append(table)
    return tables


def _named_by_setting(summaries: Summaries) -> Summaries:
    """The summaries with their device, threads and batch in the name of the arm."""
    return Summaries(
        replace(one, arm=f"{one.arm}{_in_brackets(one.setting)}") if one.measured else one for one in summaries
    )


def _cost_table(
    frame: pd.DataFrame,
    summaries: Summaries,
    quantity: Quantity,
    name: str,
    setting: Setting | None,
    force: bool,
    several: bool,
    folder: Path | None,
) -> Table:
    lengths = summaries.lengths()
    arms = summaries.distinct("arm")
    conflict = kernel_conflict(summaries.kernels())
    mixed = bool(conflict) or (several and setting is None)
    best = {
        length: least(summaries.where(length=length), quantity, folder, ranked=force or not conflict)
        for length in lengths
    }
    body, reasons = [], dict[str, list[str]]()
    for arm in arms:
        part = summaries.where(arm=arm)
        entries = [Entry(arm)]
        for length in lengths:
            entry = cost_entry(part.first(length=length), best[length] == arm, mixed)
            if entry.reason:
                reasons.setdefault(entry.reason, []).append(f"{arm} at {length}")
            entries.append(entry)
        settings = (joined(part, "direction"), joined(part, "pattern"), Entry("; ".join(part.kernels())))
        body.append((*entries, parameters_entry(part), *settings))
    notes = [f"{NOTHING}: {', '.join(where)}: {reason}" for reason, where in reasons.items()]
    notes += throttled_notes(summaries)
    if conflict:
        ranked = f"{FORCED} ranked although" if force else "Not ranked:"
        notes.append(f"{ranked} operations ran on different kernels ({conflict}).")
    if several:
        notes.append(SETTINGS_RANKED if setting is None else SETTINGS_APART)
    notes += rotation_notes(frame, arms)
    columns = ("arm", *(f"L = {length}" for length in lengths), *SETTINGS)
    return Table(name, quantity.heading + _in_brackets(setting), columns, tuple(body), tuple(notes))


def _with_counts(table: Table, counts: Summaries) -> Table:
    """The table with a column of the kernels that a step launches, where they were counted, else of its operators: of
    the longest length, on which a chunked recurrence alone depends."""
    metric = next((one for one in (STEP_LAUNCHES, STEP_OPERATORS) if counts.where(metric=one)), None)
    if metric is None:
        return table
    shown = counts.where(metric=metric)
    longest = max(shown.lengths())
    entries = [summary_entry(shown.first(arm=body[0].text, length=longest)) for body in table.rows]
    at = -len(SETTINGS)
    rows = tuple((*body[:at], entry, *body[at:]) for body, entry in zip(table.rows, entries, strict=True))
    quantity = quantity_of(metric)
    columns = (*table.columns[:at], quantity.label.lower(), *table.columns[at:])
    note = f"{quantity.label}: {quantity.definition.rpartition(' ')[0]}; at L = {longest}."
    return replace(table, columns=columns, rows=rows, notes=(*table.notes, note))


def cost_entry(summary: Summary | None, best: bool = False, mixed: bool = False) -> Entry:
    """A cost as a table entry; `mixed`: the best of figures of different kernels or settings, which is marked."""
    marks = [FORCED] * (best and mixed) + [THROTTLED] * bool(summary and summary.throttled)
    return replace(summary_entry(summary), best=best, mark=" ".join(marks))


def brief_cost_entry(summary: Summary | None, folder: Path | None, best: bool = False, mixed: bool = False) -> Entry:
    """The same without an interval for memory that was measured in one process per arm."""
    entry = cost_entry(summary, best, mixed)
    if summary is None or not summary.measured or "memory" not in summary.metric:
        return entry
    if folder is not None and is_replicated(folder, summary):
        return entry
    return replace(entry, text=number(summary.value), low=math.nan, high=math.nan)


def brief_cost_entries(
    summaries: Summaries, arms: Sequence[str], metric: str, folder: Path | None, *, force: bool
) -> list[Entry]:
    """The entries of one metric at one length, an arm each; `force`: see `cost_tables`."""
    rows = summaries.where(metric=metric)
    conflict = bool(kernel_conflict(rows.kernels()))
    best = least(rows, quantity_of(metric), folder, ranked=force or not conflict)
    return [brief_cost_entry(rows.first(arm=arm), folder, arm == best, conflict) for arm in arms]


def least(summaries: Summaries, quantity: Quantity, folder: Path | None, *, ranked: bool = True) -> str | None:
    """The arm that is bold among those of one length: a time or peak of memory by its replicates (a time by intervals
    that lie apart where no raw samples are kept), a count by itself. None where the arms are not `ranked`."""
    if not ranked:
        return None
    if quantity.name in REPLICATED and folder is not None and any(rounds_of(folder, one) for one in summaries):
        return cheapest(summaries, folder)
    return lowest_apart(summaries) if quantity.name in (*TIMES, *EXACT) else None


def throttled_notes(summaries: Summaries) -> list[str]:
    """Notes on figures of a throttled GPU: which, why, in how many rounds; [] where there are none."""
    found = dict[str, list[str]]()
    for one in summaries:
        if one.throttled:
            found.setdefault(one.throttled, []).append(f"{one.arm} at {one.length}")
    return [f"{THROTTLED}: {', '.join(where)}: {words}" for words, where in found.items()]


def rotation_notes(frame: pd.DataFrame, arms: list[str]) -> list[str]:
    """The note for a table that ranks orders of which some are rotations of one cycle; [] where none are."""
    note = rotation_note({arm: pattern for arm, pattern in patterns_of(frame).items() if arm in arms})
    return [note] if note else []


def summary_entry(summary: Summary | None) -> Entry:
    """A summary as a table entry with its interval; without a figure its reason, without a summary nothing."""
    if summary is None:
        return Entry("")
    reason = summary.reason or "no reason recorded"
    entry = Entry.figure(summary.value, summary.low, summary.high, cell_ids=summary.cell_ids, reason=reason)
    return replace(entry, metric=summary.metric, length=summary.length)


def joined(summaries: Summaries, name: str) -> Entry:
    """The different values of a field as words, `n/a` where none is known."""
    values: list[Any] = summaries.distinct(name)
    return Entry(" / ".join(str(value) for value in values) or NOTHING)


def parameters_entry(summaries: Summaries) -> Entry:
    """Parameters in millions, as a figure where all summaries agree."""
    texts = summaries.distinct("parameters")
    if len(texts) == 1 and texts[0].isdigit():
        return Entry(millions(float(texts[0])), float(texts[0]))
    return Entry(" / ".join(millions(float(text)) if text.isdigit() else text for text in texts) or NOTHING)


def _in_brackets(setting: Setting | None) -> str:
    words = setting_words(setting) if setting else ""
    return f" ({words})" if words else ""


def setting_words(setting: Setting) -> str:
    """Device, threads and batch of a cost: `cpu, 2 threads, batch 1`."""
    device, threads, batch = setting
    parts = [device] if device else []
    parts += [] if threads is None else [f"{threads} thread{'s' if threads != 1 else ''}"]
    parts += [] if batch is None else [f"batch {batch}"]
    return ", ".join(parts)
