"""The tables of `smdim-bench metrics`: systems beside ceiling and floors, and their pairs; screen, CSV and JSON."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.files import finite, to_json, write_atomically
from metrics.headlines import DISTANCES, HEADLINES
from metrics.music.table import CEILING, REFERENCE_SETS
from metrics.quantities import quantity_of
from metrics.statistics.redraws import SEPARATED, WITHIN, place

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from metrics import MetricResult, Notes
    from metrics.comparisons import Pair
    from metrics.music.excerpts import Extent

    Marks = Mapping[str, Sequence[MetricResult]]

DEFINITIONS_FROM = 240  # columns of the screen from which units and definitions fit
FLOORS_FROM = 190  # and the floors; below, the ceiling alone
INTERVALS_FROM = 110  # and the interval and n; below, value, ceiling and place
NOT_APART = "~"
GENERATED = "generated"
"""A system that is measured alone."""
RESERVED = frozenset({"reference", *REFERENCE_SETS})
"""Names that no system has."""


@dataclass(frozen=True)
class Measured:
    """What was measured: the quality table of each system, `GENERATED` for one alone; ceiling and floors; the folder of
    each system; the reference and the seed as they were given."""

    systems: Mapping[str, Sequence[MetricResult]]
    marks: Marks
    folders: Mapping[str, str]
    reference: str
    seed: int

    @property
    def several(self) -> bool:
        """Whether there are pairs."""
        return len(self.systems) > 1

    @cached_property
    def pairs(self) -> list[Pair]:
        """Every two systems on every metric."""
        from metrics.comparisons import compare_pairs

        return compare_pairs(self.systems) if self.several else []


def show_sides(
    console: Console,
    sides: Mapping[str, Sequence[Notes]],
    extents: Mapping[str, Extent],
    before: Mapping[str, float],
    steps: int,
) -> None:
    """What is compared: pieces, songs and medians of each side as read, the cut, and the grid of all."""
    from rich.table import Table

    from metrics.music.notes import song_numbers

    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("", "pieces", "songs", "notes", "beats", "tempo", "ticks a beat", "grid"):
        table.add_column(heading, justify="right" if heading else "left", no_wrap=True)
    for side, pieces in sides.items():
        extent, whole = extents[side], before[side]
        songs = int(song_numbers(pieces).max(initial=-1)) + 1
        medians = [f"{extent.notes:.0f}", f"{extent.beats:.0f}", _known(extent.tempo), _known(extent.ticks)]
        medians[0] += f" of {whole:.0f}" if whole > 1.02 * extent.notes else ""
        table.add_row(side, str(len(pieces)), str(songs), *medians, f"1/{extent.grid}" if extent.grid else "none")
    console.print(table)
    if steps and any(extent.grid != steps for extent in extents.values()):
        console.print(
            f"{'both' if len(sides) == 2 else 'all'} sides are put on the coarser grid, {steps} steps a beat; "
            "--grid none leaves them",
            style="dim",
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


def show_table(console: Console, measured: Measured, title: str) -> None:
    """Every metric with its place among real music, the headline ones for several systems, then their pairs; interval,
    n, floors and definitions where the screen is wide enough."""
    marks = measured.marks
    shown = {name: results for name, results in marks.items() if console.width >= FLOORS_FROM or name == CEILING}
    console.print(title, style="bold")
    sections: dict[str, dict[str, list[tuple[str, MetricResult]]]] = {}  # section -> metric -> systems
    for system, rows in measured.systems.items():
        for row in rows:
            if not measured.several or row.name in HEADLINES:
                metrics = sections.setdefault(quantity_of(row.name).section, {})
                metrics.setdefault(row.name, []).append((system, row))
    where = {system: places(rows, marks) for system, rows in measured.systems.items()}
    for words, members in sections.items():
        console.print(f"\n{words}", style="bold cyan")
        rows = [(system, row, where[system].get(row.name, "")) for one in members.values() for system, row in one]
        console.print(_section(rows, shown, console.width, several=measured.several))
    console.print()
    for system, results in measured.systems.items():
        for row in results:
            if row.reason:
                console.print(f"{f'{system}: ' if measured.several else ''}{row.name}: {row.reason}", style="dim")
    for words in _separations(next(iter(measured.systems.values())), marks):
        console.print(words, soft_wrap=True)
    if marks:
        console.print(_ceiling_words(marks), style="dim", soft_wrap=True)
    if console.width < DEFINITIONS_FROM or measured.several:
        left_out = "all other metrics, " if measured.several else ""
        left_out += "" if console.width >= FLOORS_FROM else "floors, "
        left_out += "" if console.width >= INTERVALS_FROM else "intervals, "
        console.print(f"{left_out}units, definitions and parts stand in the table: -o table.csv", style="dim")
    if measured.several:
        _show_pairs(console, measured.pairs)


def _show_pairs(console: Console, pairs: Sequence[Pair]) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("", "first - second", "difference", "low", "high", "songs", "verdict"):
        figures = heading in ("difference", "low", "high", "songs")
        table.add_column(heading, justify="right" if figures else "left", no_wrap=figures or not heading)
    for pair in pairs:
        if pair.name in DISTANCES:
            one = pair.difference
            ends = [figure(value) for value in (one.value, one.interval.low, one.interval.high)]
            table.add_row(pair.name, f"{one.first} - {one.second}", *ends, str(one.seeds), pair.words)
    console.print("\ndifferences of systems: 95 % intervals over songs, of all pairs together", style="bold cyan")
    console.print(table)
    decided = next((pair for pair in pairs if pair.verdict is not None), None)
    if decided is not None:
        margin = f"; same: inside {decided.verdict.margin:g}" if decided.verdict and decided.verdict.margin else ""
        console.print(
            f"verdict: on {decided.name} alone, of the first system (better: nearer to the reference){margin}. The "
            "other differences are descriptions.",
            style="dim",
            soft_wrap=True,
        )


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


def _section(rows: Sequence[tuple[str, MetricResult, str]], marks: Marks, width: int, *, several: bool) -> Table:
    """Rows of system, result and place; the metric stands once."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("", width=37, no_wrap=True)
    if several:
        table.add_column("system", no_wrap=True)
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
    before = ""
    for system, row, where in rows:
        figures = {"value": figure(row.value), "low": figure(row.low), "high": figure(row.high), "n": str(row.n)}
        cells = ["" if row.name == before else row.name, *([system] if several else [])]
        cells += [figures[column] for column in columns]
        for mark, results in beside.items():
            found = results.get(row.name)
            cells.append(
                "-" if found is None else figure(found.value) + (NOT_APART if _blind([found], row.name) else "")
            )
            cells += [where] if mark == CEILING else []
        cells += ["as real" if row.better == "nearest" else row.better] if width >= FLOORS_FROM else []
        table.add_row(*cells, *([row.unit, row.definition] if width >= DEFINITIONS_FROM else []))
        before = row.name
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


def table_rows(measured: Measured) -> list[dict[str, Any]]:
    """The whole table: a row per metric and set, `set` being a system ("generated" for one alone), the ceiling or a
    floor; then, of several systems, a row per metric and pair, `set` less `against`. None: not there, or
    not finite."""
    shared = {"reference": measured.reference, "seed": measured.seed}
    found = []
    for name, results in {**measured.systems, **measured.marks}.items():
        where = places(results, measured.marks) if name in measured.systems else {}
        folder = measured.folders.get(name, ", ".join(measured.folders.values()))
        for row in results:
            own = {"set": name, "against": "", "metric": row.name, "value": row.value, "unit": row.unit}
            own |= {"low": row.low, "high": row.high, "n": row.n, "songs": row.songs, "place": where.get(row.name, "")}
            own |= {"verdict": "", "better": row.better, "definition": row.definition, "reason": row.reason}
            found.append(own | {"parts": dict(row.parts), "generated": folder} | shared)
    for pair in measured.pairs:
        one, interval = pair.difference, pair.difference.interval
        own = {"set": one.first, "against": one.second, "metric": pair.name, "value": one.value}
        own |= {"unit": pair.quantity.unit, "low": interval.low, "high": interval.high, "n": None}
        words = pair.verdict.text if pair.verdict else ""
        own |= {"songs": one.seeds, "place": "", "verdict": words, "better": pair.quantity.better}
        own |= {"definition": "difference, 95 % of all pairs together", "reason": interval.reason}
        parts = {"standard_error": one.standard_error, "freedom": one.freedom, "p": one.p_value}
        found.append(own | {"parts": parts, "generated": ", ".join(measured.folders.values())} | shared)
    return [finite(row) for row in found]


def table_csv(measured: Measured) -> str:
    """`table_rows` as CSV, parts as JSON; pairs have columns of their own where there are several systems."""
    stream = io.StringIO()
    rows = table_rows(measured)
    columns = [name for name in rows[0] if measured.several or name not in ("against", "verdict")]
    writer = csv.DictWriter(stream, columns, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(row | {"parts": to_json(row["parts"])} for row in rows)
    return stream.getvalue()


def table_json(measured: Measured) -> str:
    """`table_rows` as a JSON list."""
    return to_json(table_rows(measured), indent=1) + "\n"


def write_tables(measured: Measured, output: Path) -> list[Path]:
    """Write the table as the ending of `output` says, JSON or CSV, both into a folder; returns the files."""
    texts = {".csv": table_csv, ".json": table_json}
    folder = output.is_dir() or not output.suffix
    paths = [output / f"table{ending}" for ending in texts] if folder else [output]
    for path in paths:
        write_atomically(path, texts.get(path.suffix.lower(), table_csv)(measured))
    return paths
