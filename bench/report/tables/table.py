"""A table of a report: entries with the cells behind them, written as Markdown or CSV."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from bench.errors import UserError, quoted
from bench.report.presentation import NumberStyle
from bench.report.tables.numbers import NOTHING, with_interval
from metrics.statistics.intervals import Interval

MARKUP = "\\*<>|$&~"
"""Signs that Markdown reads as markup wherever they stand."""


@dataclass(frozen=True)
class Entry:
    """One place in a table: the text shown, the figure behind it (NaN for words) and the rows that gave it.

    Those rows are the ones of `cell_ids` with this `metric` and `length` (any length where it is None).
    """

    text: str
    value: float = math.nan
    low: float = math.nan
    high: float = math.nan
    cell_ids: tuple[str, ...] = ()
    mark: str = ""
    best: bool = False
    reason: str = ""
    metric: str = ""
    length: int | None = None
    reference: bool = False
    """Names a row of a ceiling, floor or baseline: no arm of the study."""

    @classmethod
    def figure(
        cls,
        value: float,
        low: float = math.nan,
        high: float = math.nan,
        *,
        cell_ids: Sequence[str] = (),
        reason: str = "",
    ) -> Entry:
        """An entry for a measured figure; one that is NaN shows `n/a` and keeps its reason."""
        text = with_interval(value, low, high)
        return cls(text, value, low, high, tuple(cell_ids), reason=reason if text == NOTHING else "")

    @classmethod
    def interval(cls, found: Interval, *, cell_ids: Sequence[str] = ()) -> Entry:
        """An entry for a figure with its interval."""
        return cls.figure(found.value, found.low, found.high, cell_ids=cell_ids)

    @classmethod
    def count(cls, number: int) -> Entry:
        """An entry for a whole number."""
        return cls(str(number), float(number))


@dataclass(frozen=True)
class Table:
    """A table with its notes. `name` is also its file name; the first column names the row.

    `caption`: sentences after the title in a paper, which say n, seeds, device and what the brackets are. `grouped`:
    the column whose equal values keep rows together, for a rule between the groups.
    """

    name: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Entry, ...], ...]
    notes: tuple[str, ...] = ()
    caption: str = ""
    grouped: str = ""

    @classmethod
    def of_words(cls, name: str, title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
        """A table of texts; None is an empty one."""
        entries = tuple(tuple(Entry("" if cell is None else str(cell)) for cell in row) for row in rows)
        return cls(name, title, tuple(columns), entries)

    def entry(self, row: str, column: str) -> Entry:
        """The entry in the row whose first column reads `row` and under `column`, both without regard to case or marks.

        Raises UserError naming what there is.
        """
        rows: dict[str, list[tuple[Entry, ...]]] = {}
        for entries in self.rows:
            rows.setdefault(_plain(entries[0].text), []).append(entries)
        columns = {_plain(name): index for index, name in enumerate(self.columns)}
        if _plain(row) not in rows:
            raise UserError(
                f"table {self.name}: no row {quoted(row)}; rows are {', '.join(e[0].text for e in self.rows)}"
            )
        if _plain(column) not in columns:
            raise UserError(f"table {self.name}: no column {quoted(column)}; columns are {', '.join(self.columns)}")
        if len(rows[_plain(row)]) > 1:
            raise UserError(f"table {self.name}: {len(rows[_plain(row)])} rows are called {quoted(row)}")
        return rows[_plain(row)][0][columns[_plain(column)]]

    def written(self, numbers: NumberStyle) -> Table:
        """This table with its figures in another style; those of `to_csv` stay as programs read them."""

        def restyled(entry: Entry) -> Entry:
            if not math.isfinite(entry.value):
                return entry
            return replace(entry, text=numbers.text(entry.text), mark=numbers.text(entry.mark))

        return replace(self, rows=tuple(tuple(map(restyled, row)) for row in self.rows))

    def to_markdown(self) -> str:
        """A GitHub pipe table with its notes under it."""
        numeric = [self.is_numeric(index) for index in range(len(self.columns))]
        lines = [
            "| " + " | ".join(map(as_markdown, self.columns)) + " |",
            "|" + "|".join(" ---: " if right else " :--- " for right in numeric) + "|",
        ]
        lines += ["| " + " | ".join(_markdown(entry) for entry in row) + " |" for row in self.rows]
        notes = [f"- {as_markdown(note, code=True)}" for note in filter(None, (self.caption, *self.notes))]
        return "\n".join([*lines, *(["", *notes] if notes else [])]) + "\n"

    def under_title(self, heading: str = "") -> str:
        """The table under its title as Markdown; `heading`: the signs before the title, such as `##`."""
        return f"{heading} {as_markdown(self.title)}\n\n{self.to_markdown()}".lstrip()

    def to_csv(self) -> str:
        """One line a row; a column with figures has the full number, and columns `low` and `high` beside intervals.

        The last column names the cells behind the row. Missing figures are empty, never 0.
        """
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        intervals = [self.has_interval(index) for index in range(len(self.columns))]
        header: list[str] = []
        for name, wide in zip(self.columns, intervals, strict=True):
            header += [name, f"{name} low", f"{name} high"] if wide else [name]
        writer.writerow([*header, "cells"])
        for row in self.rows:
            fields: list[str] = []
            for index, (entry, wide) in enumerate(zip(row, intervals, strict=True)):
                value = _raw(entry.value) if self.is_numeric(index) and not _is_words(entry) else entry.text
                fields += [value, _raw(entry.low), _raw(entry.high)] if wide else [value]
            cells = dict.fromkeys(cell for entry in row for cell in entry.cell_ids)
            writer.writerow([*fields, " ".join(cells)])
        return buffer.getvalue()

    def is_numeric(self, index: int) -> bool:
        """Whether a column has a figure."""
        return any(math.isfinite(row[index].value) for row in self.rows)

    def has_interval(self, index: int) -> bool:
        """Whether a column has a figure with an interval."""
        return any(math.isfinite(row[index].low) for row in self.rows)


def numbered(name: str, position: int, count: int) -> str:
    """The name of one of `count` tables: `quality`, or `quality_2` where there are several."""
    return f"{name}_{position + 1}" if count > 1 else name


def _is_words(entry: Entry) -> bool:
    return math.isnan(entry.value) and entry.text not in ("", NOTHING)


def _plain(text: str) -> str:
    return text.strip().rstrip("†‡* ").casefold()


def _raw(value: float) -> str:
    return repr(float(value)) if math.isfinite(value) else ""


def as_markdown(text: str, code: bool = False) -> str:
    """Text that Markdown shows as it is, in one line; `code`: except that backticks mark code."""
    special = MARKUP if code else MARKUP + "`"
    escaped = "".join("\\" + sign if sign in special else sign for sign in " ".join(text.splitlines()))
    escaped = re.sub(r"(?<!\w)_|_(?!\w)", r"\\_", escaped)
    return re.sub(r"\](?=[(\[:])", r"\\]", escaped)


def _markdown(entry: Entry) -> str:
    text = as_markdown(entry.text)
    if entry.best:
        text = f"**{text}**"
    return text + (f" {entry.mark}" if entry.mark else "")
