"""Sources of a figure in a table: its cells, their raw figures, definition and versions."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from bench.errors import UserError, quoted
from bench.report.tables.table import Entry, Table

SHOWN = ("cell_id", "seed", "value", "low", "high", "n", "device", "kernel", "version")


def find_table(tables: Iterable[Table], name: str) -> Table:
    """The table of that name. Raises UserError naming those there are."""
    known = {table.name: table for table in tables}
    if name not in known:
        raise UserError(f"no table {quoted(name)}; tables are {', '.join(known)}")
    return known[name]


def rows_behind(frame: pd.DataFrame, entry: Entry) -> pd.DataFrame:
    """The rows of the result table that an entry was computed from; empty for an entry that is no measurement."""
    rows = frame[frame["cell_id"].isin(entry.cell_ids)]
    if entry.metric:
        rows = rows[rows["metric"] == entry.metric]
    if entry.length is not None:
        rows = rows[(rows["length"] == entry.length).fillna(False).astype(bool)]
    return rows


def citation(frame: pd.DataFrame, table: Table, row: str, column: str) -> list[str]:
    """Lines with the content of a place in a table and the cells, definitions and raw figures behind it.

    Raises UserError for an unknown row or column and for a place without a figure.
    """
    entry = table.entry(row, column)
    if not entry.cell_ids:
        raise UserError(
            f"table {table.name}, row {quoted(row)}, column {quoted(column)}: {entry.text or 'empty'}, no measurement"
        )
    rows = rows_behind(frame, entry)
    lines = [f"{table.title}", f"{row}, {column}: {entry.text}" + (f" ({entry.reason})" if entry.reason else "")]
    for definition in dict.fromkeys(text for text in rows["definition"] if text):
        lines.append(f"definition: {definition}")
    for number, values in enumerate(rows[list(SHOWN)].itertuples(index=False), start=1):
        known = [f"{name} {value}" for name, value in zip(SHOWN, values, strict=True) if not _empty(value)]
        lines.append(f"{number}. {', '.join(known)}")
    lines += [f"cell {cell}: no row of its own" for cell in entry.cell_ids if cell not in set(rows["cell_id"])]
    return lines


def _empty(value: object) -> bool:
    return bool(pd.isna(value)) or value == ""  # type: ignore[call-overload]
