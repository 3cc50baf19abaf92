"""Tables in a terminal: the summary of a run (a line an arm, quality and cost side by side), and tables of a report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bench.glyphs import labels_of
from bench.report.presentation import PLAIN, Presentation
from bench.report.rows.frame import as_frame, study_name
from bench.report.rows.study import kernels_together
from bench.report.rows.summaries import Summary
from bench.report.tables.numbers import number, with_interval
from bench.report.tables.summary import shown_summary
from bench.report.tables.table import Entry

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console
    from rich.table import Table

    from bench.report.tables.table import Table as ReportTable

CELL_LETTERS = 60
"""Of a name in the first column of a report's table."""
COLUMNS, FEWEST_LETTERS = 80, 16
"""Of a terminal, and of an arm's name beside its figures."""
LOPSIDED = 1.3
"""One end of an interval so many times as far from the figure as the other: it has no half to print after ±."""
HALVES = "± is half of the 95 % interval, [low, high] an interval that is not even around its figure"


def summary_table(
    table: Any, folder: Path | None = None, *, force: bool = False, presentation: Presentation = PLAIN
) -> Table:
    """The summary table of a report for 80 columns: per arm its scores and its cost at the longest length, references
    below. Marks as in the report: † no better than the grammar, ‡ not settled."""
    frame = as_frame(table)
    together = force or (folder is not None and kernels_together(folder))
    shown = shown_summary(frame, folder, force=together, presentation=presentation)
    written = presentation.numbers.text
    caption = "\n".join(filter(None, (shown.caption, *shown.notes, HALVES)))
    words = shown.columns[-1:]
    figures = [heading.replace(" ", "\n") for heading in shown.columns[1:-1]]
    result = narrow_table(study_name(frame), figures, caption, words=words, title_justify="center")
    rows = [
        (row[0], [*(written(plus_minus(entry)) for entry in row[1:-1]), row[-1].text.replace(" ", "\n")])
        for row in shown.rows
    ]
    arms = [(f"{name.text} {name.mark}".strip(), cells) for name, cells in rows if not name.reference]
    add_arms(result, arms)
    for place, (name, cells) in enumerate((name, cells) for name, cells in rows if name.reference):
        if not place:
            result.add_section()
        add_references(result, name.text, cells)
    return result


def narrow_table(
    title: str,
    figures: Sequence[str],
    caption: str = "",
    *,
    first: str = "",
    words: Sequence[str] = (),
    title_justify: Any = "left",
) -> Table:
    """A rich table without rows and padding, so that many columns fit 80 characters; title and caption are no markup.

    Columns: the arm, or `first` where that may be broken; those of `figures`, set at the right; those of `words`.
    """
    from rich import box
    from rich.text import Text

    from bench.report.pages.whole_words import WholeWordTable

    result = WholeWordTable(
        title=Text(title),
        caption=Text(caption),
        title_justify=title_justify,
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        padding=0,
        collapse_padding=True,
    )
    result.add_column(Text(first or "arm"), no_wrap=not first)
    for heading in figures:
        result.add_column(Text(heading), justify="right", overflow="fold")  # of a figure nothing may be left out
    for heading in words:
        result.add_column(Text(heading), overflow="fold")
    return result


def add_arms(table: Table, rows: Sequence[tuple[str, Sequence[str]]]) -> None:
    """Add a row for each label of an arm and its cells; a label for which 80 columns have no room beside the figures
    loses its middle."""
    from rich.cells import cell_len
    from rich.text import Text

    taken = 2
    for column, *texts in zip(table.columns[1:], *(cells for _, cells in rows), strict=True):
        taken += 1 + max(map(cell_len, [*str(column.header).split(), *texts]))
    labels = labels_of([label for label, _ in rows], max(COLUMNS - taken, FEWEST_LETTERS))
    for label, (_, cells) in zip(labels, rows, strict=True):
        table.add_row(*map(Text, (label, *cells)))


def add_references(table: Table, name: str, cells: Sequence[str]) -> None:
    """Add a row of a ceiling or baseline, fainter than the arms."""
    from rich.text import Text

    table.add_row(*map(Text, (name, *cells)), style="dim")


def print_table(console: Console, table: ReportTable) -> None:
    """Print a table of a report with its notes: a long name in the first column loses its middle, cells of the others
    are broken into lines, between words while there is room."""
    from rich.text import Text

    from bench.report.pages.whole_words import WholeWordTable

    shown = WholeWordTable(title=Text(table.title), title_justify="left")
    for heading in table.columns:
        shown.add_column(Text(heading), overflow="fold")
    labels = labels_of([row[0].text for row in table.rows], CELL_LETTERS)
    for row, label in zip(table.rows, labels, strict=True):
        texts = (label, *(entry.text for entry in row[1:]))
        shown.add_row(*(Text(f"{text} {entry.mark}".strip()) for entry, text in zip(row, texts, strict=True)))
    console.print(shown)
    for note in table.notes:
        console.print(Text(note))


def plus_minus(shown: Summary | Entry) -> str:
    """A figure ± half of its 95 % interval, or the interval itself where one end is much farther from the figure than
    the other; memory is shown without, what was not measured as `n/a`."""
    text = shown.text if isinstance(shown, Entry) else with_interval(shown.value, shown.low, shown.high)
    figure = text.partition(" [")[0]
    if "memory" in shown.metric or not shown.high > shown.low:
        return figure
    ends = sorted((shown.value - shown.low, shown.high - shown.value))
    if ends[1] > LOPSIDED * ends[0]:
        return text
    return f"{figure} ±{number((shown.high - shown.low) / 2, 1)}"
