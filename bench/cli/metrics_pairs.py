"""`metrics --pairs A B`: files of two folders compared one by one, matched by name."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from bench.cli.metrics_table import figure
from bench.cli.terminal import terminal, warn
from bench.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console

    from metrics import MetricResult, Notes

FILES_SHOWN = 40
NAMED = 3
SILENT = ("no notes", "drums only")  # beginnings of the reason why a file without notes is no piece of a corpus


def measure_pairs(infilled: Path, hidden: Path, output: Path | None = None) -> None:
    """Compare each file in `infilled` with the file of its name in `hidden`: prints every pair, the means and their
    intervals over files, and writes them to `output` as CSV.

    Raises UserError for a folder that is missing, empty or without a file that can be read, and where no names match.
    """

    from metrics.music.infilling import infilling_results

    sides = [_files(folder) for folder in (infilled, hidden)]
    names = sorted(sides[0].keys() & sides[1].keys())
    if not names:
        examples = [next(iter(side)) for side in sides]
        raise UserError(
            f"--pairs: no file of {infilled} has the name of a file of {hidden} ({examples[0]}, {examples[1]}); "
            "allowed: equal names, endings apart"
        )
    for folder, own, other in ((infilled, sides[0], sides[1]), (hidden, sides[1], sides[0])):
        if alone := sorted(own.keys() - other.keys()):
            more = f" and {len(alone) - NAMED} more" if len(alone) > NAMED else ""
            words = f"{len(alone)} files of {folder} have no counterpart: {', '.join(alone[:NAMED])}{more}"
            warn(words)
    truth = [replace(sides[1][name], song=name) for name in names]
    results = infilling_results([sides[0][name] for name in names], truth)
    _show(terminal(), names, results, f"{infilled} against {hidden}, {len(names)} pairs")
    if output is not None:
        from bench.files import write_atomically

        write_atomically(output, pairs_csv(names, results))
        terminal().print(f"table: {output}")


def pairs_csv(names: Sequence[str], results: Sequence[MetricResult]) -> str:
    """One line for each file and metric, then one a metric for the mean, whose `file` is empty."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["file", "metric", "value", "low", "high", "n", "songs", "definition", "reason"])
    for result in results:
        for name, value in zip(names, result.values or [math.nan] * len(names), strict=True):
            writer.writerow([name, result.name, _number(value), "", "", "", "", result.definition, ""])
    for result in results:
        bounds = [_number(value) for value in (result.value, result.low, result.high)]
        writer.writerow(["", result.name, *bounds, result.n, result.songs, result.definition, result.reason])
    return stream.getvalue()


def _files(folder: Path) -> dict[str, Notes]:
    """Notes of the files of a folder by name without ending; a file without notes, drums apart, is silent music. Warns
    of each that cannot be read."""
    from bench.data.music import folder_notes
    from metrics import Notes

    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder")
    pieces, skipped = folder_notes(folder)
    broken = [item for item in skipped if not item.reason.startswith(SILENT)]
    pieces += [Notes.from_arrays([], [], [], name=item.id) for item in skipped if item not in broken]
    if not pieces:
        words = f"none of its {len(broken)} files can be read: {broken[0].reason}" if broken else "no MIDI or ABC file"
        raise UserError(f"{folder}: {words}")
    for item in broken:
        warn(f"{folder}: {item.id} cannot be read, so its pair is left out: {item.reason}")
    found: dict[str, Notes] = {}
    for piece in pieces:
        name = PurePosixPath(piece.name).with_suffix("").as_posix()
        if name in found:
            raise UserError(f"{folder}: two files are called {name}; allowed: one file for each name, endings apart")
        found[name] = piece
    return found


def _show(console: Console, names: Sequence[str], results: Sequence[MetricResult], title: str) -> None:
    from rich.table import Table

    from metrics.quantities import quantity_of

    table = Table(title=title, box=None, pad_edge=False, header_style="dim", title_justify="left")
    table.add_column("file", no_wrap=True)
    for result in results:
        table.add_column(quantity_of(result.name).label, justify="right")
    for index, name in enumerate(names[:FILES_SHOWN]):
        table.add_row(name, *(figure(one.values[index]) if one.values else "-" for one in results))
    if len(names) > FILES_SHOWN:
        table.add_row(f"{len(names) - FILES_SHOWN} more: -o table.csv")
    table.add_section()
    table.add_row("mean", *(figure(one.value) for one in results), style="bold")
    table.add_row("95 % interval over files", *(_interval(one) for one in results))
    console.print(table)
    for result in results:
        if result.reason:
            console.print(f"{result.name}: {result.reason}", style="dim")


def _interval(result: MetricResult) -> str:
    return f"{figure(result.low)} to {figure(result.high)}" if math.isfinite(result.low) else "-"


def _number(value: float) -> float | str:
    return value if math.isfinite(value) else ""
