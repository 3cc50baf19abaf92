"""Tables of two studies, commits or machines: what differs in how they ran, and their figures side by side."""

from __future__ import annotations

import pandas as pd

from bench.report.analysis.changes import Folders, changes
from bench.report.rows.provenance import provenance
from bench.report.tables.table import Entry, Table
from metrics.quantities import quantity_of


def differing_settings(first: pd.DataFrame, second: pd.DataFrame) -> list[tuple[str, str, str]]:
    """Settings of the two studies that are not the same: name, words of the first, words of the second."""
    one, other = dict(provenance(first)), dict(provenance(second))
    names = list(dict.fromkeys([*one, *other]))
    return [(name, one.get(name, "-"), other.get(name, "-")) for name in names if one.get(name) != other.get(name)]


def change_tables(
    first: pd.DataFrame,
    second: pd.DataFrame,
    names: tuple[str, str] = ("A", "B"),
    folders: Folders = (),
    *,
    force: bool = False,
) -> list[Table]:
    """What differs in how the two ran, and their figures side by side; `folders`: their results folders."""
    settings = differing_settings(first, second)
    apart = Table.of_words("settings", "What differs in how they ran", ("setting", *names), settings)
    tables = [apart] if settings else []
    body = []
    for change in changes(first, second, folders, force=force):
        one, other = change.first, change.second
        where = " ".join(str(word) for word in (one.arm, "" if one.length is None else f"L={one.length}") if word)
        ratio = other.value / one.value if one.value else float("nan")
        body.append(
            (
                Entry(where, mark="*" if change.forced else ""),
                Entry(quantity_of(one.metric, one.unit).heading),
                Entry.figure(one.value, one.low, one.high, cell_ids=one.cell_ids),
                Entry.figure(other.value, other.low, other.high, cell_ids=other.cell_ids),
                Entry.figure(ratio),
                Entry(change.verdict),
            )
        )
    columns = ("where", "figure", *names, f"{names[1]} / {names[0]}", f"{names[1]} against {names[0]}")
    notes = (
        ["* compared although device, threads, kernel or definition differ (--force)."]
        if any(e[0].mark for e in body)
        else []
    )
    if not body:
        notes.append("No figure was measured in both: no arm, length, corpus and setting is in common.")
    notes.append(
        "Times, and memory where it has replicates: by their replicates in fresh processes; other memory: by both "
        "intervals. Primary scores: by simultaneous intervals as in a report, seeds paired, each arm against itself; "
        "other scores are not compared."
    )
    return [*tables, Table("changes", f"{names[0]} and {names[1]}", columns, tuple(body), tuple(notes))]
