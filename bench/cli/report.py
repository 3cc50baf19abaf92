"""`report` and `figure`: what a finished or half-finished study shows, drawn again without running anything."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

RESULTS = Path("results")
StudyArgument = Annotated[str, typer.Argument(help="Name of a study that was run, or path of its results folder.")]
ResultsOption = Annotated[Path, typer.Option("--results", help="Folder that holds one folder a study.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(report)
    app.command()(figure)


def results_folder(study: str, results: Path) -> Path:
    """The results folder of a study given by name, by the path of its YAML file or by the folder itself.

    Raises UserError that names what has been run where there is none.
    """
    from bench.errors import UserError

    for folder in (results / study, Path(study), results / Path(study).stem):
        if (folder / "study.json").is_file():
            return folder
    found = sorted(path.parent.name for path in results.glob("*/study.json"))
    known = f"there are results of {', '.join(found)}" if found else f"{results} holds no study; run one first"
    raise UserError(f"no results of {study!r}: {known}")


def report(study: StudyArgument, results: ResultsOption = RESULTS) -> None:
    """Write the tables, figures and report.md of a study again, and print its summary."""
    from rich.console import Console

    from bench.report import summary_table, write_report
    from bench.results import load_results

    folder = results_folder(study, results)
    console = Console()
    path = write_report(folder)
    console.print(summary_table(load_results(folder)))
    console.print(f"report: {path}", highlight=False, soft_wrap=True)


def figure(
    name: Annotated[str, typer.Argument(help="Name of the figure; an unknown one lists those there are.")],
    study: StudyArgument,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="File to write: .png, .pdf or .svg; default NAME.pdf.")
    ] = None,
    width: Annotated[float, typer.Option(help="Width in inches: 3.3 fits one column, 7 fits two.")] = 7.0,
    results: ResultsOption = RESULTS,
) -> None:
    """Draw one figure of a study for a paper."""
    from bench.report.figures import draw, save_figure
    from bench.results import load_results

    folder = results_folder(study, results)
    drawn = draw(name, load_results(folder), folder, width=width)
    typer.echo(save_figure(drawn, output or Path(f"{name}.pdf")))
