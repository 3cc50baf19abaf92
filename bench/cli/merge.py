"""`merge`: results of several machines side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.options import RESULTS, ResultsOption, results_folder
from bench.cli.terminal import print_line, print_tables


def merge(
    studies: Annotated[list[str], typer.Argument(help="Two or more studies that were run, or their results folders.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Folder for merged.md and each table as CSV and LaTeX.")
    ] = None,
    results: ResultsOption = RESULTS,
) -> None:
    """Set machines side by side: costs as ratios to the baseline within each, quality pooled over their seeds."""
    from string import ascii_uppercase

    from bench.errors import UserError
    from bench.files import write_atomically
    from bench.report.analysis.machines import Machine
    from bench.report.pages.latex import to_latex
    from bench.report.pages.writer import read_table
    from bench.report.presentation import of_studies
    from bench.report.tables.machines import ONE_SIDE, merged_tables

    folders = [results_folder(study, results) for study in studies]
    if not 2 <= len(folders) <= len(ascii_uppercase):
        raise UserError(f"merge: {len(folders)} given; allowed: 2 to {len(ascii_uppercase)} results folders")
    if len({folder.resolve() for folder in folders}) < len(folders):
        raise UserError("merge: one results folder is given twice; allowed: each once")
    frames = [read_table(one, presentation=of_studies(one)) for one in folders]
    machines = [
        Machine(letter, folder, frame) for letter, folder, frame in zip(ascii_uppercase, folders, frames, strict=False)
    ]
    tables = merged_tables(machines)
    shown = [table for table in tables if not table.name.endswith(ONE_SIDE)]
    print_tables(shown)
    if (left := len(tables) - len(shown)) and output is None:
        print_line(f"{left} tables of arms and lengths that one machine alone has: with -o FOLDER")
    if output is not None:
        for table in tables:
            write_atomically(output / f"{table.name}.csv", table.to_csv())
            write_atomically(output / f"{table.name}.tex", to_latex(table))
        write_atomically(output / "merged.md", "\n".join(table.under_title("##") for table in tables))
        print_line(f"{output / 'merged.md'}: {len(tables)} tables, each as CSV and LaTeX beside it")
