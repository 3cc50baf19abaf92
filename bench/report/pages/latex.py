"""Tables for a paper: booktabs rules, siunitx columns, footnotes on what was run.

A table goes into a float with `\\input{quality.tex}`; the document needs the packages booktabs and siunitx (version 3).
Columns that do not fit beside each other within `TEXT_WIDTH_IN` go into a second block under the first.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import groupby
from typing import TypeVar

from bench.errors import in_one_line
from bench.report.tables.table import Entry, Table

Item = TypeVar("Item")
TEXT_WIDTH_IN = 7.0
CHARACTER_IN = 0.064  # mean width of a character at \footnotesize, seen in compiled tables
BETWEEN_IN = 0.17  # two \tabcolsep
BROKEN_AT = 12  # characters between two places where a word longer than WIDEST_WORDS may be broken
WIDEST_WORDS = 26  # characters; longer texts are broken in a column of their own
LONG_COLUMN_IN = 1.75
INTERVAL_CHARACTER_IN = 0.05  # the same at \scriptsize
MOST_LINES = 44  # of a block; a longer table goes on in another float
LEFT_OUT = {
    "claims_": ("published", "quantity", "where"),
    "differences": ("where",),
    "ranks": ("where",),
    "ablation": ("arms", "against", "in words"),
    "cost_": ("pattern", "kernel"),
}
SPECIAL: dict[str, str | int | None] = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "†": r"\textsuperscript{\textdagger}",
    "‡": r"\textsuperscript{\textdaggerdbl}",
}
SETUP = r"\sisetup{mode=match, reset-text-series=false, text-series-to-math=true, table-align-text-after=false}"


def escaped(text: str) -> str:
    """Text that LaTeX prints as it is, in one line: a first `[` or `*` would be an argument of what is before; a long
    word may be broken anywhere."""
    words = (
        [word[at : at + BROKEN_AT] for at in range(0, len(word), BROKEN_AT)] if len(word) > WIDEST_WORDS else [word]
        for word in in_one_line(" ".join(text.splitlines())).split(" ")
    )
    signs = str.maketrans(SPECIAL)
    plain = " ".join(r"\allowbreak{}".join(part.translate(signs) for part in parts) for parts in words)
    return f"{{}}{plain}" if plain.startswith(("[", "*")) else plain


def to_latex(table: Table, footnotes: Sequence[str] = ()) -> str:
    """The table as a float with caption, label `tab:<name>` and footnotes: the table's notes, then the ones given.

    Settings that are the same in every row (seeds, T, kernel, ...) become a footnote instead of a column. A table
    too long for a page becomes several floats, the later ones labelled `tab:<name>-2` and so on; the last one has
    the notes.
    """
    parts = _pages(table)
    floats = []
    for number, rows in enumerate(parts, start=1):
        last = number == len(parts)
        part = replace(
            table,
            rows=rows,
            name=table.name + (f"-{number}" if number > 1 else ""),
            title=table.title + (" (continued)" if number > 1 else ""),
            notes=table.notes if last else (),
        )
        floats.append(_float(part, footnotes if last else ()))
    return "\n".join(floats)


def _pages(table: Table) -> list[tuple[tuple[Entry, ...], ...]]:
    """The rows in runs that fit a page beside the notes, counting the lines that long words are broken into."""
    kept, _ = _columns(table)
    blocks = len(_blocks(table, kept))
    lines = [blocks * max(-(-len(row[index].text) // WIDEST_WORDS) for index in (0, *kept)) for row in table.rows]
    return [tuple(rows) for rows in _runs(table.rows, lines, MOST_LINES)]


def _runs(items: Sequence[Item], sizes: Iterable[float], most: float, start: float = 0) -> list[list[Item]]:
    """The items in runs, each as long as `start` and its sizes stay within `most`; at least one run."""
    runs: list[list[Item]] = [[]]
    used = start
    for item, size in zip(items, sizes, strict=True):
        if runs[-1] and used + size > most:
            runs.append([])
            used = start
        runs[-1].append(item)
        used += size
    return runs


def _float(table: Table, footnotes: Sequence[str]) -> str:
    """One float."""
    kept, shared = _columns(table)
    lines = [r"\begin{table*}[t]", r"\centering", r"\footnotesize", SETUP, rf"\caption{{{escaped(table.title)}}}"]
    lines += [rf"\label{{tab:{table.name}}}"]
    for position, block in enumerate(_blocks(table, kept)):
        lines += [r"\par\medskip"] if position else []
        lines += _tabular(table, block)
    notes = [*([f"In every row: {'; '.join(shared)}."] if shared else []), *table.notes, *footnotes]
    notes = [note.replace("`", "") for note in notes]
    if notes:
        lines += [r"\par\smallskip", r"\parbox{\linewidth}{\raggedright\scriptsize"]
        lines += [escaped(note) + r"\par" for note in notes] + ["}"]
    return "\n".join([*lines, r"\end{table*}"]) + "\n"


def _columns(table: Table) -> tuple[list[int], list[str]]:
    """Indices of the columns to print after the first, and `name: value` of those that are the same in every row."""
    left_out = next((names for start, names in LEFT_OUT.items() if table.name.startswith(start)), ())
    kept, shared = [], []
    for index, name in enumerate(table.columns[1:], start=1):
        values = {row[index].text for row in table.rows if not row[0].reference}
        if name in left_out:
            continue
        if len(table.rows) > 1 and len(values) == 1 and not table.has_interval(index):
            shared.append(f"{name} {values.pop()}")
        else:
            kept.append(index)
    return kept, shared


def _blocks(table: Table, columns: Sequence[int]) -> list[list[int]]:
    """The columns in blocks that fit the text width beside the first column."""
    return _runs(columns, [_width(table, index) for index in columns], TEXT_WIDTH_IN, _width(table, 0))


def _width(table: Table, index: int) -> float:
    if table.has_interval(index):
        parts = [row[index].text.partition(" [") for row in table.rows]
        number, interval = (max(len(part[at]) for part in parts) for at in (0, 2))
        wide = number * CHARACTER_IN + (interval + 2) * INTERVAL_CHARACTER_IN
        return max(wide, len(_group(table.columns[index])[1]) * CHARACTER_IN) + BETWEEN_IN
    longest = max(
        len(text) for text in (table.columns[index], *(row[index].text + row[index].mark for row in table.rows))
    )
    if longest > WIDEST_WORDS:
        return LONG_COLUMN_IN + BETWEEN_IN
    return longest * CHARACTER_IN + BETWEEN_IN


def _tabular(table: Table, columns: Sequence[int]) -> list[str]:
    shown = [0, *columns]
    lines = [rf"\begin{{tabular}}{{{''.join(_column_type(table, index) for index in shown)}}}", r"\toprule"]
    groups = [_group(table.columns[index]) for index in shown]
    if any(group for group, _ in groups):
        lines += _group_heads(table, shown, [group for group, _ in groups])
    heads = [_head(table, index, name) for index, (_, name) in zip(shown, groups, strict=True)]
    lines += [" & ".join(heads) + r" \\", r"\midrule"]
    before = False
    for row in table.rows:
        if not any(row[index].text for index in columns):
            continue
        reference = row[0].reference
        lines += [r"\midrule"] if reference and not before else []
        before = reference
        lines.append(" & ".join(_entry(table, index, row[index]) for index in shown) + r" \\")
    return [*lines, r"\bottomrule", r"\end{tabular}"]


def _group(heading: str) -> tuple[str, str]:
    """The group a column belongs to and its name within it: `L = 512` is `512` under `length [tokens]`."""
    groups = {"L = ": "length [tokens]", "OA ": "overlapping area"}
    start = next((start for start in groups if heading.startswith(start)), "")
    return groups.get(start, ""), heading.removeprefix(start)


def _group_heads(table: Table, shown: Sequence[int], groups: Sequence[str]) -> list[str]:
    cells, rules, at = [], [], 1
    for (group, _), part in groupby(zip(groups, shown, strict=True), key=lambda one: (one[0], one[0] or one[1])):
        width = sum(_span(table, index) for _, index in part)
        cells.append(rf"\multicolumn{{{width}}}{{c}}{{{escaped(group)}}}")
        rules += [rf"\cmidrule(lr){{{at}-{at + width - 1}}}"] if group else []
        at += width
    return [" & ".join(cells) + r" \\", *rules]


def _span(table: Table, index: int) -> int:
    """Columns that LaTeX needs for one column of a table: a figure with intervals takes two."""
    return 2 if table.has_interval(index) else 1


def _column_type(table: Table, index: int) -> str:
    if index and table.is_numeric(index):
        numbers = [_number(row[index]) for row in table.rows if math.isfinite(row[index].value)]
        whole = max(len(number.partition(".")[0].lstrip("-")) for number in numbers)
        decimals = max(len(number.partition(".")[2]) for number in numbers)
        sign = "-" if any(number.startswith("-") for number in numbers) else ""
        kind = f"S[table-format={sign}{whole}.{decimals}]" if decimals else f"S[table-format={sign}{whole}]"
        return kind + (r"@{\,}l" if _span(table, index) == 2 else "")
    longest = max(len(text) for text in (table.columns[index], *(row[index].text for row in table.rows)))
    return rf">{{\raggedright\arraybackslash}}p{{{LONG_COLUMN_IN}in}}" if longest > WIDEST_WORDS else "l"


def _number(entry: Entry) -> str:
    return entry.text.split(" ", 1)[0]


def _head(table: Table, index: int, name: str) -> str:
    if index and table.is_numeric(index):
        return rf"\multicolumn{{{_span(table, index)}}}{{c}}{{{escaped(name)}}}"
    return escaped(name)


def _entry(table: Table, index: int, entry: Entry) -> str:
    mark = escaped(entry.mark)
    if not index or not table.is_numeric(index):
        return escaped(entry.text) + mark
    wide = _span(table, index) == 2
    if not math.isfinite(entry.value):
        return "{" + escaped(entry.text) + mark + "}" + (" &" if wide else "")
    interval = entry.text.partition(" [")[2]
    bold = r"\bfseries " if entry.best else ""
    first = f"{bold}{_number(entry)}"
    unit = entry.text.split(" ", 1)[1] if " " in entry.text and not interval else ""
    first += f" {{{escaped(unit)}}}" if unit else ""
    sign = mark if len(entry.mark) == 1 else ""  # of a footnote; words would widen the column
    if not wide:
        return f"{first} {{{sign}}}" if sign else first
    return f"{first} & " + (rf"{{\scriptsize[{escaped(interval)}{sign}}}" if interval else sign)
