"""Tables in a terminal that are broken between words, where there is room, and not inside figures."""

from __future__ import annotations

from collections.abc import Callable

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Column, Table

UNBROKEN = 10_000
"""Letters of a terminal in which nothing is broken."""


class WholeWordTable(Table):
    """A rich table that gives each column with overflow "fold" its longest word where the table does not fit, and its
    longest line where what is left then allows that, the columns that lack least first; the others share the rest."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        broken = [column for column in self.columns if column.overflow == "fold"]
        lines = {id(column): longest(column, str.splitlines) for column in broken}
        words = {id(column): longest(column, str.split) for column in broken}
        width = Measurement.get(console, options.update(max_width=UNBROKEN), self).maximum
        left = options.max_width - (width - sum(lines.values()) + sum(words.values()))
        if width > options.max_width and left >= 0:
            for column in sorted(broken, key=lambda column: lines[id(column)] - words[id(column)]):
                lacking = lines[id(column)] - words[id(column)]
                column.width = words[id(column)] + (lacking if lacking <= left else 0)
                left -= lacking if lacking <= left else 0
            short = [column for column in broken if (column.width or 0) < lines[id(column)]]
            for column in short:
                column.width = (column.width or 0) + left // len(short)
        yield from super().__rich_console__(console, options)


def longest(column: Column, parts: Callable[[str], list[str]]) -> int:
    """Letters of the longest part of a column's heading and cells, cut by `str.split` or `str.splitlines`."""
    texts = [str(column.header), *map(str, column.cells)]
    return max((cell_len(part) for text in texts for part in parts(text)), default=0)
