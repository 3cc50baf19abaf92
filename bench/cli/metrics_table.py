"""The table of `smdim-bench metrics`, for the screen and as CSV."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from metrics.headlines import HEADLINES
from metrics.music.table import CEILING
from metrics.quantities import quantity_of
from metrics.statistics.redraws import SEPARATED, WITHIN, place

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from metrics import MetricResult, Notes
    from metrics.music.excerpts import Extent

    Marks = Mapping[str, Sequence[MetricResult]]

DEFINITIONS_FROM = 240  # columns of the screen from which units and definitions fit
FLOORS_FROM = 190  # and the floors; below, the ceiling alone
INTERVALS_FROM = 110  # and the interval and n; below, value, ceiling and place
NOT_APART = "~"


def show_sides(
    console: Console,
    generated: Sequence[Notes],
    reference: Sequence[Notes],
    extents: Sequence[Extent],
    before: Sequence[float],
    steps: int,
) -> None:
    """What is compared: pieces, songs and medians of either side as read, the cut, and the grid of both."""
    from rich.table import Table

    from metrics.music.notes import song_numbers

    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("", "pieces", "songs", "notes", "beats", "tempo", "ticks a beat", "grid"):
        table.add_column(heading, justify="right" if heading else "left", no_wrap=True)
    for side, pieces, extent, whole in zip(
        ("generated", "reference"), (generated, reference), extents, before, strict=True
    ):
        songs = int(song_numbers(pieces).max(initial=-1)) + 1
        medians = [f"{extent.notes:.0f}", f"{extent.beats:.0f}", _known(extent.tempo), _known(extent.ticks)]
        medians[0] += f" of {whole:.0f}" if whole > 1.02 * extent.notes else ""
        table.add_row(side, str(len(pieces)), str(songs), *medians, f"1/{extent.grid}" if extent.grid else "none")
    console.print(table)
    if steps and any(extent.grid != steps for extent in extents):
        console.print(
            f"both sides are put on the coarser grid, {steps} steps a beat; --grid none leaves them", style="dim"
        )


def _known(value: float) -> str:
    return f"{value:.0f}" if math.isfinite(value) else "?"


def places(rows: Sequence[MetricResult], marks: Marks) -> dict[str, str]:
    """Place of each figure among the redraws of real music, where there are several."""
    real = {row.name: row for row in marks.get(CEILING, ())}
    found = {}
    for row in rows:
        beside = real.get(row.name)
        if beside is not None:
            spread = (beside.value, beside.parts.get("sd", math.nan), beside.low, beside.high)
            found[row.name] = place(row.value, *spread, row.better)
    return found


def show_table(console: Console, rows: Sequence[MetricResult], marks: Marks, title: str) -> None:
    """Every metric with its place among real music; interval, n, floors and definitions where the screen is wide
    enough."""
    shown = {name: results for name, results in marks.items() if console.width >= FLOORS_FROM or name == CEILING}
    where = places(rows, marks)
    console.print(title, style="bold")
    sections: dict[str, list[MetricResult]] = {}
    for row in rows:
        sections.setdefault(quantity_of(row.name).section, []).append(row)
    for words, members in sections.items():
        console.print(f"\n{words}", style="bold cyan")
        console.print(_section(members, shown, where, console.width))
    console.print()
    for row in rows:
        if row.reason:
            console.print(f"{row.name}: {row.reason}", style="dim")
    for words in _separations(rows, marks):
        console.print(words, soft_wrap=True)
    if marks:
        console.print(_ceiling_words(marks), style="dim", soft_wrap=True)
    if console.width < DEFINITIONS_FROM:
        left_out = "" if console.width >= FLOORS_FROM else "floors, "
        left_out += "" if console.width >= INTERVALS_FROM else "intervals, "
        console.print(f"{left_out}units, definitions and parts stand in the CSV: -o table.csv", style="dim")


def _ceiling_words(marks: Marks) -> str:
    first = next((row for row in marks.get(CEILING, ()) if "draws" in row.parts), None)
    if first is None:
        return ""
    draws, pieces = (f"{first.parts[name]:.0f}" for name in ("draws", "n"))
    blind = f"{NOT_APART} after a floor: the metric does not separate real music from it."
    if not first.songs:
        return (
            f"real/real: {draws} halves of the reference ({pieces} pieces) against the other half, too few for a place "
            f"among real music: give --train, a corpus, or more reference pieces. {blind}"
        )
    songs = f" of {first.songs} songs"
    return (
        f"{WITHIN}: inside the 95 % range of {draws} draws of {pieces} real pieces{songs}; 4.2 sd worse: so many of "
        f"their standard deviations away. {blind}"
    )


def _separations(rows: Sequence[MetricResult], marks: Marks) -> list[str]:
    """For each headline metric the floors that it does not separate real music from."""
    found = []
    for row in rows:
        if row.name in HEADLINES:
            blind = [name for name, results in marks.items() if _blind(results, row.name)]
            found += [f"{row.name} does not separate real music from: {', '.join(blind)}"] if blind else []
    if found:
        found[-1] += f" (area under the curve below {SEPARATED:g} at this n)"
    return found


def _blind(results: Sequence[MetricResult], name: str) -> bool:
    return any(row.name == name and row.parts.get("auc", math.nan) < SEPARATED for row in results)


def _section(rows: Sequence[MetricResult], marks: Marks, where: Mapping[str, str], width: int) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("", width=37, no_wrap=True)
    columns = ["value", *(["low", "high", "n"] if width >= INTERVALS_FROM else [])]
    for column in columns:
        table.add_column(column, justify="right", width=4 if column == "n" else 8, no_wrap=True)
    for mark in marks:
        short = mark.removesuffix("-tokens").replace("-vs-", "/")
        style = "green" if mark == CEILING else "red"
        table.add_column(short, justify="right", width=max(10, len(short)), no_wrap=True, style=style)
        if mark == CEILING:
            table.add_column("place", width=len(WITHIN), no_wrap=True)
    if width >= FLOORS_FROM:
        table.add_column("better", style="dim", width=7, no_wrap=True)
    if width >= DEFINITIONS_FROM:
        table.add_column("unit", style="dim", width=8, no_wrap=True)
        table.add_column("definition", style="dim", no_wrap=True)
    beside = {mark: {row.name: row for row in results} for mark, results in marks.items()}
    for row in rows:
        figures = {"value": figure(row.value), "low": figure(row.low), "high": figure(row.high), "n": str(row.n)}
        cells = [row.name, *(figures[column] for column in columns)]
        for mark, results in beside.items():
            found = results.get(row.name)
            cells.append(
                "-" if found is None else figure(found.value) + (NOT_APART if _blind([found], row.name) else "")
            )
            cells += [where.get(row.name, "")] if mark == CEILING else []
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
    where = places(rows, marks)
    columns = [
        "set",
        "metric",
        "value",
        "unit",
        "low",
        "high",
        "n",
        "songs",
        "place",
        "better",
        "definition",
        "reason",
        "parts",
    ]
    writer.writerow([*columns, "generated", "reference", "seed"])
    for name, results in {"generated": rows, **marks}.items():
        for row in results:
            parts = json.dumps({key: None if math.isnan(part) else part for key, part in row.parts.items()})
            counts = [row.n, row.songs, where.get(row.name, "") if name == "generated" else ""]
            words = [row.better, row.definition, row.reason, parts]
            figures = [row.value, row.unit, row.low, row.high, *counts, *words]
            writer.writerow([name, row.name, *("" if f != f else f for f in figures), generated, reference, seed])
    return stream.getvalue()
