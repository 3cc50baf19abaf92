"""The table of `smdim-bench metrics`, for the screen and as CSV."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from metrics.quantities import quantity_of

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from metrics import MetricResult

    Marks = Mapping[str, Sequence[MetricResult]]

DEFINITIONS_FROM = 176  # columns of the screen from which units and definitions fit
FLOORS_FROM = 124  # and the floors; below, the ceiling alone
CEILING = "real-vs-real"


def show_table(console: Console, rows: Sequence[MetricResult], marks: Marks, title: str) -> None:
    """Every metric with its interval and ceiling; n, floors and definitions where the screen is wide enough."""
    shown = {name: results for name, results in marks.items() if console.width >= FLOORS_FROM or name == CEILING}
    console.print(f"[bold]{title}[/bold]", highlight=False)
    sections: dict[str, list[MetricResult]] = {}
    for row in rows:
        sections.setdefault(quantity_of(row.name).section, []).append(row)
    for words, members in sections.items():
        console.print(f"\n[bold cyan]{words}[/bold cyan]", highlight=False)
        console.print(_section(members, shown, console.width))
    console.print()
    for row in rows:
        if row.reason:
            console.print(f"{row.name}: {row.reason}", style="dim", highlight=False)
    if console.width < DEFINITIONS_FROM:
        left_out = "" if console.width >= FLOORS_FROM else "floors, "
        console.print(f"{left_out}units, definitions and parts stand in the CSV: -o table.csv", style="dim")


def _section(rows: Sequence[MetricResult], marks: Marks, width: int) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("", width=37, no_wrap=True)
    columns = ["value", "low", "high", *(["n"] if width >= FLOORS_FROM else [])]
    for column in columns:
        table.add_column(column, justify="right", width=4 if column == "n" else 8, no_wrap=True)
    for mark in marks:
        short = mark.removesuffix("-tokens").replace("-vs-", "/")
        table.add_column(short, justify="right", width=10, no_wrap=True, style="green" if mark == CEILING else "red")
    if width >= FLOORS_FROM:
        table.add_column("better", style="dim", width=7, no_wrap=True)
    if width >= DEFINITIONS_FROM:
        table.add_column("unit", style="dim", width=8, no_wrap=True)
        table.add_column("definition", style="dim", no_wrap=True)
    beside = {mark: {row.name: row.value for row in results} for mark, results in marks.items()}
    for row in rows:
        figures = {"value": figure(row.value), "low": figure(row.low), "high": figure(row.high), "n": str(row.n)}
        cells = [row.name, *(figures[column] for column in columns)]
        cells += [figure(values.get(row.name, math.nan)) for values in beside.values()]
        cells += ["as real" if row.better == "nearest" else row.better] if width >= FLOORS_FROM else []
        table.add_row(*cells, *([row.unit, row.definition] if width >= DEFINITIONS_FROM else []))
    return table


def figure(value: float) -> str:
    """A value as the table shows it: four significant figures, a dash for none."""
    if math.isnan(value):
        return "-"
    if abs(value) < 1e-12:
        return "0"
    if math.isinf(value):
        return f"{value:g}"
    return f"{value:.4f}" if 0.001 <= abs(value) < 10 else f"{value:.1f}" if 10 <= abs(value) < 1e6 else f"{value:.1e}"


def table_csv(rows: Sequence[MetricResult], marks: Marks, generated: str, reference: str, seed: int) -> str:
    """The whole table: one line a metric and set, `set` being "generated", the ceiling or a floor; parts as JSON."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    columns = ["set", "metric", "value", "unit", "low", "high", "n", "songs", "better", "definition", "reason", "parts"]
    writer.writerow([*columns, "generated", "reference", "seed"])
    for name, results in {"generated": rows, **marks}.items():
        for row in results:
            parts = json.dumps({key: None if math.isnan(part) else part for key, part in row.parts.items()})
            figures = [row.value, row.unit, row.low, row.high, row.n, row.songs]
            figures += [row.better, row.definition, row.reason, parts]
            writer.writerow([name, row.name, *("" if f != f else f for f in figures), generated, reference, seed])
    return stream.getvalue()
