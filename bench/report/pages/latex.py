"""Tables for a paper: booktabs rules, siunitx columns, footnotes on what was run.

A table goes into a float with `\\input{quality.tex}`; the document needs the packages booktabs and siunitx (version 3).
Columns that do not fit beside each other within the width of the text go into a second block under the first.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TypeVar

from bench.errors import in_one_line
from bench.report.tables.table import Entry, Table

Item = TypeVar("Item")
CHARACTER_IN = 0.064  # mean width of a character at \footnotesize, seen in compiled tables
BROKEN_AT = 12  # characters between two places where a word longer than WIDEST_WORDS may be broken
WIDEST_WORDS = 26  # characters; longer texts are broken in a column of their own
LONG_COLUMN_IN = 1.75
SCRIPT_CHARACTER_IN = 0.05  # the same at \scriptsize
INTERVAL_CHARACTER_IN = 0.045  # of an interval at \scriptsize, mostly digits
MOST_LINES = 44  # of a block; a longer table goes on in another float
LEFT_OUT = {
    "claims_": ("published", "quantity", "where"),
    "differences": ("where",),
    "ranks": ("where",),
    "ablation": ("arms", "against", "in words"),
}
THIN = "\N{NARROW NO-BREAK SPACE}"
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
    THIN: r"\,",
}


@dataclass(frozen=True)
class Form:
    """How wide a table may be, and how it is set: widths in inches, of which `between` is that of two \\tabcolsep."""

    environment: str
    size: str
    width: float
    character: float
    between: float


TWO_COLUMNS = Form("table*", r"\footnotesize\setlength{\tabcolsep}{4pt}", 7.0, CHARACTER_IN, 0.11)
ONE_COLUMN = Form("table", r"\scriptsize\setlength{\tabcolsep}{1.5pt}", 3.3, SCRIPT_CHARACTER_IN, 0.042)
"""Without intervals."""
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


def to_latex(table: Table, footnotes: Sequence[str] = (), form: Form = TWO_COLUMNS) -> str:
    """The table as a float with caption, label `tab:<name>` and footnotes: the table's notes, then the ones given.

    Settings that are the same in every row (seeds, T, kernel, ...) become a footnote instead of a column. A table
    too long for a page becomes several floats, the later ones labelled `tab:<name>-2` and so on; the last one has
    the notes.
    """
    table = _without_intervals(table) if form is ONE_COLUMN else table
    parts = _pages(table, form)
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
        floats.append(_float(part, footnotes if last else (), form))
    return "\n".join(floats)


def _without_intervals(table: Table) -> Table:
    """The table with figures alone; its caption says nothing of brackets, which it lacks."""
    rows = tuple(
        tuple(
            replace(entry, text=_number(entry), low=math.nan, high=math.nan) if math.isfinite(entry.low) else entry
            for entry in row
        )
        for row in table.rows
    )
    caption = " ".join(part for part in re.split(r"(?<=\.) ", table.caption) if not part.startswith("Brackets"))
    return replace(table, rows=rows, caption=caption)


def _pages(table: Table, form: Form) -> list[tuple[tuple[Entry, ...], ...]]:
    """The rows in runs that fit a page beside the notes, counting the lines that long words are broken into."""
    kept, _ = _columns(table)
    blocks = len(_blocks(table, kept, form))
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


def _float(table: Table, footnotes: Sequence[str], form: Form) -> str:
    """One float."""
    kept, shared = _columns(table)
    caption = f"{table.title}. {table.caption}" if table.caption else table.title
    lines = [rf"\begin{{{form.environment}}}[t]", r"\centering", form.size, SETUP, rf"\caption{{{escaped(caption)}}}"]
    lines += [rf"\label{{tab:{table.name}}}\par\smallskip"]
    filled = [block for block in _blocks(table, kept, form) if any(row[at].text for row in table.rows for at in block)]
    for position, block in enumerate(filled):
        lines += [r"\par\medskip"] if position else []
        lines += _tabular(table, block)
    notes = [*([f"In every row: {'; '.join(shared)}."] if shared else []), *table.notes, *footnotes]
    notes = [note.replace("`", "") for note in notes]
    if notes:
        lines += [r"\par\smallskip", r"\parbox{\linewidth}{\raggedright\scriptsize"]
        lines += [escaped(note) + r"\par" for note in notes] + ["}"]
    return "\n".join([*lines, rf"\end{{{form.environment}}}"]) + "\n"


def _columns(table: Table) -> tuple[list[int], list[str]]:
    """Indices of the columns to print after the first, and `name: value` of those that are the same in every row."""
    left_out = next((names for start, names in LEFT_OUT.items() if table.name.startswith(start)), ())
    kept, shared = [], []
    for index, name in enumerate(table.columns[1:], start=1):
        values = {row[index].text for row in table.rows if not row[0].reference}
        if name in left_out or (name == table.grouped and len(values) > 1):
            continue
        if len(table.rows) > 1 and len(values) == 1 and not table.has_interval(index):
            shared.append(f"{name} {values.pop()}")
        else:
            kept.append(index)
    return kept, shared


def _blocks(table: Table, columns: Sequence[int], form: Form) -> list[list[int]]:
    """The columns in blocks that fit the text width beside the first column."""
    return _runs(columns, [_width(table, index, form) for index in columns], form.width, _width(table, 0, form))


def _width(table: Table, index: int, form: Form) -> float:
    head = max(map(len, _head_lines(table, index)))
    if table.has_interval(index):
        parts = [row[index].text.partition(" [") for row in table.rows]
        number, interval = (max(len(part[at]) for part in parts) for at in (0, 2))
        wide = number * form.character + (interval + 2) * INTERVAL_CHARACTER_IN
        return max(wide, head * form.character) + form.between
    longest = max(head, _longest(table, index))
    if longest > WIDEST_WORDS:
        return LONG_COLUMN_IN + form.between
    return longest * form.character + form.between


def _longest(table: Table, index: int) -> int:
    """Characters of the longest entry of a column."""
    return max((len(row[index].text + row[index].mark) for row in table.rows), default=0)


def _head_lines(table: Table, index: int) -> list[str]:
    """The heading of a column, a word a line where it is wider than the figures under it."""
    _, name = _group(table.columns[index])
    return name.split() if table.is_numeric(index) and len(name) > _longest(table, index) else [name]


def _tabular(table: Table, columns: Sequence[int]) -> list[str]:
    shown = [0, *columns]
    lines = [rf"\begin{{tabular}}{{{''.join(_column_type(table, index) for index in shown)}}}", r"\toprule"]
    groups = [_group(table.columns[index]) for index in shown]
    if any(group for group, _ in groups):
        lines += _group_heads(table, shown, [group for group, _ in groups])
    heads = [_head(table, index) for index in shown]
    lines += [" & ".join(heads) + r" \\", r"\midrule"]
    before, group = False, ""
    for row in table.rows:
        if not any(row[index].text for index in columns):
            continue
        reference, of = row[0].reference, _group_words(table, row)
        lines += [r"\midrule"] if (reference and not before) or (group and of != group) else []
        if of != group:
            lines.append(rf"\multicolumn{{{sum(_span(table, index) for index in shown)}}}{{l}}{{{escaped(of)}}} \\")
        before, group = reference, of
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
        if _has_other_signs(table, index):
            return "r" + (r"@{\,}l" if _span(table, index) == 2 else "")
        numbers = [_number(row[index]) for row in table.rows if math.isfinite(row[index].value)]
        whole = max(len(number.partition(".")[0].lstrip("-")) for number in numbers)
        decimals = max(len(number.partition(".")[2]) for number in numbers)
        sign = "-" if any(number.startswith("-") for number in numbers) else ""
        units = {_unit(row[index]) for row in table.rows} - {""}
        after = f", table-space-text-post={{{escaped(max(units, key=len))}}}" if units else ""
        kind = f"S[table-format={sign}{whole}{f'.{decimals}' if decimals else ''}{after}]"
        return kind + (r"@{\,}l" if _span(table, index) == 2 else "")
    longest = max(len(text) for text in (table.columns[index], *(row[index].text for row in table.rows)))
    return rf">{{\raggedright\arraybackslash}}p{{{LONG_COLUMN_IN}in}}" if longest > WIDEST_WORDS else "l"


def _number(entry: Entry) -> str:
    return entry.text.split(" ", 1)[0]


def _has_other_signs(table: Table, index: int) -> bool:
    """Whether a figure of the column has a decimal comma or groups of digits, which a siunitx column does not take as
    written."""
    for entry in (row[index] for row in table.rows if math.isfinite(row[index].value)):
        number = _number(entry)
        grouped = abs(entry.value) >= 1000 and "." in number and "e" not in number and not _unit(entry)
        if grouped or "," in number or THIN in number:
            return True
    return False


def _group_words(table: Table, row: Sequence[Entry]) -> str:
    """The value that keeps rows together, as a line above them: `2048 tokens`; "" where all rows have one."""
    if not table.grouped:
        return ""
    index = table.columns.index(table.grouped)
    return f"{row[index].text} {table.grouped}" if len({one[index].text for one in table.rows}) > 1 else ""


def _unit(entry: Entry) -> str:
    """Text after the number of an entry that has no interval: `M` of `2.07 M`."""
    has_unit = math.isfinite(entry.value) and " [" not in entry.text
    return entry.text.partition(" ")[2] if has_unit else ""


def _head(table: Table, index: int) -> str:
    parts = [escaped(part) for part in _head_lines(table, index)]
    text = parts[0]
    if len(parts) > 1:
        text = r"\begin{tabular}[b]{@{}c@{}}" + r" \\ ".join(parts) + r"\end{tabular}"
    if index and table.is_numeric(index):
        return rf"\multicolumn{{{_span(table, index)}}}{{c}}{{{text}}}"
    return text


def _printed(table: Table, index: int, entry: Entry) -> str:
    """The number of an entry; siunitx alone sets a minus sign for a hyphen."""
    number = _number(entry)
    if not _has_other_signs(table, index):
        return number
    return number.replace("-", "$-$").replace(THIN, r"\,")


def _entry(table: Table, index: int, entry: Entry) -> str:
    mark = escaped(entry.mark)
    if not index or not table.is_numeric(index):
        return escaped(entry.text) + mark
    wide = _span(table, index) == 2
    if not math.isfinite(entry.value):
        return "{" + escaped(entry.text) + mark + "}" + (" &" if wide else "")
    interval, unit = entry.text.partition(" [")[2], _unit(entry)
    bold = r"\bfseries " if entry.best else ""
    first = f"{bold}{_printed(table, index, entry)}" + (f" {{{escaped(unit)}}}" if unit else "")
    sign = mark if len(entry.mark) == 1 else ""  # of a footnote; words would widen the column
    if not wide:
        return f"{first} {{{sign}}}" if sign else first
    return f"{first} & " + (rf"{{\scriptsize[{escaped(interval)}{sign}}}" if interval else sign)
