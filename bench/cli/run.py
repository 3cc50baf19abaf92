"""`run` and `status`: measure a study, and see where one stands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

RESULTS = Path("results")
StudyArgument = Annotated[
    str, typer.Argument(help="Name of a shipped study (see `list studies`) or path of a YAML file.")
]
ResultsOption = Annotated[Path, typer.Option("--results", help="Folder that holds one folder a study.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(run)
    app.command()(status)


def run(
    study: StudyArgument,
    results: ResultsOption = RESULTS,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Quality cells at once; default: cores divided by threads a cell.")
    ] = None,
    long: Annotated[bool, typer.Option("--long", help="Time lengths up to 16384 tokens too.")] = False,
    no_prune: Annotated[
        bool, typer.Option("--no-prune", help="Time longer lengths even where a shorter one ran out of memory.")
    ] = False,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Run cells that failed earlier again.")] = False,
    fail_fast: Annotated[
        bool, typer.Option("--fail-fast/--keep-going", help="End the run at the first cell that fails.")
    ] = False,
    executor: Annotated[str, typer.Option(help="Where cells run: local, slurm or ray.")] = "local",
    option: Annotated[
        list[str] | None, typer.Option("--option", help="Setting of the executor, KEY=VALUE; may be given again.")
    ] = None,
) -> None:
    """Run a study: train, sample, measure, time; then write the table, the figures and the report.

    Finished cells are kept, so the same command goes on after an interruption. Everything is written under
    RESULTS/<study name>/: one folder a cell, table.csv, table.parquet, figures/ and report.md.
    """
    from rich.console import Console

    from bench.report.claims import shipped_claims
    from bench.run.display import Display
    from bench.run.executors import make_executor
    from bench.run.plan import make_plan
    from bench.run.runner import forget_failed, run_plan
    from bench.study import load_study

    console = Console()
    loaded = load_study(study)
    if long or no_prune:
        loaded = loaded.timing_more(long=long, prune=not no_prune)
    console.print(f"[bold]{loaded.name}[/bold]: {loaded.content.question}", highlight=False)
    plan = make_plan(loaded, lambda line: console.print(line, style="dim", highlight=False))
    for note in plan.notes:
        console.print(f"  {note}", style="dim", highlight=False)
    if retry_failed:
        forget_failed(plan, results)
    with Display(console) as display:
        summary = run_plan(
            plan,
            results,
            display,
            executor=make_executor(executor, jobs, pairs(option or [], "--option")),
            fail_fast=fail_fast,
            claims=shipped_claims(),
        )
    finish(summary.table.folder, console)
    if summary.failed:
        console.print(f"{len(summary.failed)} cells failed; their reasons stand in the report", style="yellow")
        raise typer.Exit(1)


def pairs(words: list[str], option: str) -> dict[str, str]:
    """`KEY=VALUE` words as a mapping. Raises UserError for a word without `=`."""
    from bench.errors import UserError

    found = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise UserError(f"{option} {word}: write KEY=VALUE")
        found[key] = value
    return found


def finish(folder: Path, console: object) -> None:
    """Write the report of the results in `folder`, print the summary table and where the report lies."""
    from rich.console import Console

    from bench.report import summary_table, write_report
    from bench.report.cost_summary import cost_summary
    from bench.results import load_results

    assert isinstance(console, Console)
    report = write_report(folder)
    console.print(summary_table(load_results(folder).frame))
    for table in cost_summary(load_results(folder).frame, folder):
        console.print(table)
    console.print(f"report: {report}", highlight=False, soft_wrap=True)


def status(study: StudyArgument, results: ResultsOption = RESULTS) -> None:
    """Show which cells of a study are done, failed, cut off or still to run."""
    from rich.console import Console
    from rich.table import Table

    from bench.cli.report import results_folder
    from bench.run.display import clock
    from bench.run.store import Store

    folder = results_folder(study, results)
    store = Store(folder.parent, folder.name)
    table = Table("cell", "state", "time", "reason")
    counts: dict[str, int] = {}
    for entry in store.plan()["cells"]:
        found = store.cell(entry["id"]).status()
        state = "cut off or running" if found.state == "running" else found.state
        counts[state] = counts.get(state, 0) + 1
        seconds = found.elapsed_s
        table.add_row(entry["id"], state, "" if seconds != seconds else clock(seconds), found.reason)
    console = Console()
    console.print(table)
    console.print(", ".join(f"{number} {state}" for state, number in sorted(counts.items())))
