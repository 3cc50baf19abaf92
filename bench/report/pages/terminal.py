"""Tables in a terminal: the summary of a run (a line an arm, quality and cost side by side), and tables of a report."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bench.glyphs import labels_of
from bench.report.analysis.references import grammar_marks, place_of
from bench.report.rows.arms import arm_order, reference_order
from bench.report.rows.frame import as_frame, study_name
from bench.report.rows.summaries import Summaries, Summary, cost_summaries, quality_summaries, reference_summaries
from bench.report.tables.cost import joined, parameters_entry
from bench.report.tables.numbers import NOTHING, number
from bench.report.tables.quality import NO_MORE, OPEN, seeds_entry
from metrics.cost.quantities import BITS, FORWARD_GFLOPS, PEAK_MEMORY_INFERENCE, STEP_LATENCY
from metrics.music.two_samples import KERNEL_DISTANCE
from metrics.statistics.redraws import WITHIN

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from bench.report.tables.table import Table as ReportTable

COST = ((STEP_LATENCY, "step ms"), (PEAK_MEMORY_INFERENCE, "mem GiB"), (FORWARD_GFLOPS, "GFLOPs"))
QUALITY = ((BITS, "bits/token"), (KERNEL_DISTANCE, "kernel"))
CELL_LETTERS = 60
"""Of a name in the first column of a report's table."""
COLUMNS, FEWEST_LETTERS = 80, 16
"""Of a terminal, and of an arm's name beside its figures."""
MARKS = {"no more": NO_MORE, "open": OPEN}


def summary_table(table: Any) -> Table:
    """A rich table that fits 80 columns: per arm its scores (mean over seeds ± half of the 95 % interval) and its
    cost at the longest length, reference rows below. Marks as in the report: † no more than the grammar, ‡ not
    settled."""
    frame = as_frame(table)
    quality, references, cost = quality_summaries(frame), reference_summaries(frame), cost_summaries(frame)
    marks = grammar_marks(quality, references)
    longest = max(cost.lengths(), default=None)
    figures = ("params", *(name for _, name in QUALITY), *(name for _, name in COST))
    placed = any(place_of(one, references) for one in quality.where(metric=[metric for metric, _ in QUALITY]))
    caption = _caption(set(marks.values()), quality, longest, placed)
    result = narrow_table(study_name(frame), figures, caption, words=("reads",), title_justify="center")
    rows: list[tuple[str, Sequence[str]]] = []
    for arm in arm_order(frame):
        mine, spent = quality.where(arm=arm), cost.where(arm=arm, length=longest)
        state = {MARKS.get(mark, "") for (_, _, name), mark in marks.items() if name == arm}
        direction = joined(Summaries([*mine, *spent]), "direction").text
        cells = (
            _reads(direction),
            parameters_entry(Summaries([*mine, *spent])).text,
            *(_placed(mine.first(metric=metric), references) for metric, _ in QUALITY),
            *(_score(spent.first(metric=metric)) for metric, _ in COST),
        )
        rows.append((" ".join([arm, *sorted(mark for mark in state if mark)]), cells))
    add_arms(result, rows)
    _add_references(result, references)
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

    Columns: the arm, or `first` where that may be broken; those of `words`; those of `figures`, set at the right.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    result = Table(
        title=Text(title),
        caption=Text(caption),
        title_justify=title_justify,
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        padding=0,
        collapse_padding=True,
    )
    result.add_column(Text(first or "arm"), no_wrap=not first)
    for heading in words:
        result.add_column(Text(heading))
    for heading in figures:
        result.add_column(Text(heading), justify="right", overflow="fold")  # of a figure nothing may be left out
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


def print_table(console: Console, table: ReportTable) -> None:
    """Print a table of a report with its notes: a long name in the first column loses its middle, cells of the others
    are broken into lines."""
    from rich.table import Table
    from rich.text import Text

    shown = Table(title=Text(table.title), title_justify="left")
    for heading in table.columns:
        shown.add_column(Text(heading), overflow="fold")
    labels = labels_of([row[0].text for row in table.rows], CELL_LETTERS)
    for row, label in zip(table.rows, labels, strict=True):
        texts = (label, *(entry.text for entry in row[1:]))
        shown.add_row(*(Text(f"{text} {entry.mark}".strip()) for entry, text in zip(row, texts, strict=True)))
    console.print(shown)
    for note in table.notes:
        console.print(Text(note))


def _reads(direction: str) -> str:
    """The direction of an arm's recurrent layers in one short word."""
    if "bidirectional" in direction:
        return "both"
    words = dict.fromkeys(word for word in direction.replace(",", " ").split() if word in ("forward", "backward"))
    return "none" if direction.startswith(("no ", "none")) else " ".join(words) or direction


def plus_minus(summary: Summary, widest: float = math.inf) -> str:
    """A figure ± half of its 95 % interval, `?` for a half of `widest` or more; memory is shown without."""
    half = (summary.high - summary.low) / 2
    if "memory" in summary.metric or not half > 0:
        return number(summary.value)
    return f"{number(summary.value)}±{number(half, 1) if half < widest else '?'}"


def _score(summary: Summary | None) -> str:
    return plus_minus(summary) if summary is not None and summary.measured else NOTHING


def _placed(summary: Summary | None, references: Summaries) -> str:
    """A score and, in brackets, its place among redraws of real music, shortened: (in), (-4.2) for 4.2 sd worse."""
    words = place_of(summary, references)
    short = "in" if words == WITHIN else words.replace(" sd worse", "").replace(" sd better", "")
    sign = "-" if words.endswith("worse") else "+" if words.endswith("better") else ""
    return f"{_score(summary)} ({sign}{short})" if words else _score(summary)


def _add_references(result: Table, references: Summaries) -> None:
    from rich.text import Text

    found = []
    for arm in reference_order(references):
        scores = [_score(references.first(arm=arm, metric=metric)) for metric, _ in QUALITY]
        if any(score != NOTHING for score in scores):
            found.append((arm, ["" if score == NOTHING else score for score in scores]))
    if found:
        result.add_section()
    for arm, scores in found:
        result.add_row(Text(f"({arm})"), "", "", *scores, *("" for _ in COST), style="dim")


def _caption(states: set[str], quality: Summaries, longest: int | None, placed: bool) -> str:
    words = []
    if quality:
        words.append(
            f"scores: mean over {seeds_entry(quality).text} seeds ± half of the 95 % interval; in brackets: references"
        )
    if placed:
        words.append("(in): within the 95 % range of redraws of real music; (-4.2): 4.2 of their sd worse, (+) better")
    if longest is not None:
        words.append(f"cost: at {longest} tokens ± half of the 95 % interval of its timed calls")
    if "no more" in states:
        words.append(f"{NO_MORE} learned no more than the grammar of tokens")
    if "open" in states:
        words.append(f"{OPEN} below the grammar baseline on average, not settled by these seeds")
    return "\n".join(words)
