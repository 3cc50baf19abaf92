"""`report`, `figure`, `cite`, `compare`: reports of a finished or half-finished study, without running anything."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.options import RESULTS, FinishedStudy, ResultsOption, results_folder
from bench.cli.terminal import print_line, print_tables, terminal

if TYPE_CHECKING:
    from bench.report.presentation import Presentation

PresentationOption = Annotated[
    Path | None, typer.Option("--presentation", help="YAML file: arms, order, labels, colours, panels, ...")
]
ShownOption = Annotated[
    list[str] | None,
    typer.Option("--set", help="An entry of the presentation: labels.smdim=SMDIM, numbers=1.234,5; may be repeated."),
]


def report(
    study: FinishedStudy,
    force: Annotated[
        bool, typer.Option("--force", help="Rank costs of different devices or kernels, marked *.")
    ] = False,
    presentation: PresentationOption = None,
    overrides: ShownOption = None,
    results: ResultsOption = RESULTS,
) -> None:
    """Write the tables, figures and report.md of a study again, and print its summary."""

    from bench.cli.run import print_summary
    from bench.report import write_report
    from bench.report.rows.frame import as_frame, summaries_kept
    from bench.store.table import load_results

    folder = results_folder(study, results)
    console = terminal()
    with summaries_kept():
        how = _presentation(study, folder, presentation, overrides)
        frame = as_frame(load_results(folder), how)
        path = write_report(folder, table=frame, force=force, presentation=how)
        print_summary(frame, folder, console, force=force, presentation=how)
    console.print(f"report: {path}", soft_wrap=True)


def _presentation(study: str, folder: Path, file: Path | None, overrides: list[str] | None) -> Presentation:
    """The presentation of a study: that of a file, else of the study's file where its path is given, else the one that
    was recorded when it ran. Entries that cannot be applied are named on stderr, and left out."""
    from bench.report.presentation import read_presentation

    if file is None and Path(study).is_file():
        file = Path(study)
    how, refused = read_presentation(folder, file, overrides or ())
    for line in refused:
        print_line(line, error=True)
    return how


def figure(
    name: Annotated[str, typer.Argument(help="Name of the figure; an unknown one lists those there are.")],
    study: FinishedStudy,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="File to write: .png, .pdf or .svg; default NAME.pdf.")
    ] = None,
    width: Annotated[float, typer.Option(help="Width in inches: 3.3 fits one column, 7 fits two.")] = 7.0,
    presentation: PresentationOption = None,
    overrides: ShownOption = None,
    results: ResultsOption = RESULTS,
) -> None:
    """Draw one figure of a study for a paper, and write its data as CSV beside it."""
    from bench.report.figures import FIGURES, draw
    from bench.report.figures.style import save_figure
    from bench.store.table import load_results

    folder = results_folder(study, results)
    how = _presentation(study, folder, presentation, overrides)
    drawn = draw(name, load_results(folder), folder, width=width, presentation=how)
    print_line(save_figure(drawn, output or Path(f"{name}.pdf")))
    print_line(how.caption or FIGURES[name].caption)


def cite(
    table: Annotated[str, typer.Argument(help="Name of a table: its file's name under tables/, for instance quality.")],
    row: Annotated[str, typer.Argument(help="First column of the row, for instance the arm.")],
    column: Annotated[str, typer.Argument(help="Heading of the column.")],
    study: Annotated[str, typer.Option(help="Name of a study, or path of its results folder.")] = "quickstart",
    results: ResultsOption = RESULTS,
) -> None:
    """Say which cells and measurements a figure in a table comes from."""
    from bench.report.pages.citing import citation, find_table
    from bench.report.pages.content import all_tables
    from bench.report.rows.frame import as_frame
    from bench.store.table import load_results

    folder = results_folder(study, results)
    frame = as_frame(load_results(folder))
    for line in citation(frame, find_table(all_tables(frame, folder), table), row, column):
        print_line(line)


def compare(
    first: Annotated[str, typer.Argument(help="A study, or its results folder (another commit's or machine's).")],
    second: Annotated[str, typer.Argument(help="The one to set against it.")],
    force: Annotated[
        bool, typer.Option("--force", help="Compare costs of different devices, kernels or definitions, marked *.")
    ] = False,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Markdown file to write as well.")] = None,
    results: ResultsOption = RESULTS,
) -> None:
    """Set two studies side by side: what differs in how they ran, and which figures differ."""

    from bench.report.presentation import of_studies
    from bench.report.rows.frame import as_frame
    from bench.report.tables.changes import change_tables
    from bench.store.table import load_results

    folders = results_folder(first, results), results_folder(second, results)
    names = ("A", "B") if folders[0].name == folders[1].name else (folders[0].name, folders[1].name)
    how = of_studies(folders[0])
    frames = [as_frame(load_results(folder), how) for folder in folders]
    print_tables(change_tables(frames[0], frames[1], names, folders, force=force), output)
