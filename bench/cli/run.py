"""`run` and `retry`: measure a study; measure what failed again."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.options import (
    RESULTS,
    ExecutorOption,
    FailFastOption,
    FinishedStudy,
    JobsOption,
    KernelOption,
    NoReportOption,
    OptionOption,
    ResultsOption,
    SetOption,
    StudyArgument,
    YesOption,
    kernels_of,
    pairs,
)
from bench.cli.planning import planned
from bench.cli.terminal import print_line, terminal
from bench.launcher import unused

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from bench.report.presentation import Presentation
    from bench.run.executors import Executor
    from bench.store.table import ResultTable
    from bench.study.grid import Study


def run(
    study: StudyArgument,
    results: ResultsOption = RESULTS,
    overrides: SetOption = None,
    kernel: KernelOption = None,
    jobs: JobsOption = None,
    long: Annotated[bool, typer.Option("--long", help="Time lengths up to 16384 tokens too.")] = False,
    no_prune: Annotated[
        bool, typer.Option("--no-prune", help="Time longer lengths even where a shorter one ran out of memory.")
    ] = False,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Run cells that failed earlier again.")] = False,
    fail_fast: FailFastOption = False,
    executor: ExecutorOption = "local",
    option: OptionOption = None,
    yes: YesOption = False,
    no_report: NoReportOption = False,
) -> None:
    """Run a study: train, sample, measure, time; then write the table, the figures and the report.

    Finished cells are kept, so the same command goes on after an interruption. Everything is written under
    RESULTS/<study name>/: one folder a cell, table.csv, table.parquet, figures/ and report.md.
    """
    from bench.run.executors import make_executor
    from bench.study.grid import load_study

    overrides = [*(overrides or []), *(f"kernels.{one}={name}" for one, name in kernels_of(kernel).items())]
    loaded = load_study(study, overrides, many=yes)
    if long or no_prune:
        loaded = loaded.timing_more(long=long, prune=not no_prune)
    how = make_executor(executor, jobs, pairs(option, "--option"))
    _go(loaded, results, how, retry="failed" if retry_failed else "", fail_fast=fail_fast, reported=not no_report)


def retry(
    study: FinishedStudy,
    failed: Annotated[bool, typer.Option("--failed", help="Run all cells that failed again.")] = False,
    cell: Annotated[
        list[str] | None, typer.Option("--cell", help="Run the cells whose id begins so again; may be given again.")
    ] = None,
    results: ResultsOption = RESULTS,
    jobs: JobsOption = None,
    fail_fast: FailFastOption = False,
    executor: ExecutorOption = "local",
    option: OptionOption = None,
    no_report: NoReportOption = False,
) -> None:
    """Run cells of a study again, as they were planned when it was run; finished ones are kept."""
    from bench.cli.options import results_folder
    from bench.errors import UserError
    from bench.run.executors import make_executor
    from bench.store.cells import Store
    from bench.study.content import StudyFile
    from bench.study.grid import Study
    from bench.study.yaml import Place, validate

    if not failed and not cell:
        raise UserError("retry: say which cells: --failed, or --cell ID")
    folder = results_folder(study, results)
    place = Place(folder / "study.json")
    recorded = Study(validate(StudyFile, Store(folder.parent, folder.name).plan()["study"], place), place)
    how = make_executor(executor, jobs, pairs(option, "--option"))
    _go(
        recorded,
        folder.parent,
        how,
        retry="failed" if failed else "",
        cells=cell or [],
        fail_fast=fail_fast,
        reported=not no_report,
    )


def _go(
    study: Study,
    results: Path,
    executor: Executor,
    *,
    retry: str,
    fail_fast: bool,
    reported: bool,
    cells: Sequence[str] = (),
) -> None:

    from rich.text import Text

    from bench.report.claims.paper import shipped_claims
    from bench.run.display import Display
    from bench.run.estimate import Estimator
    from bench.run.runner import forget, forget_failed, run_plan

    if note := unused(os.environ, "a study starts its processes itself (train.processes)"):
        print_line(note, error=True)
    console = terminal()
    console.print(Text(study.name, style="bold") + Text(f": {study.content.question}"))
    plan = planned(study, console, results)
    if retry:
        forget_failed(plan, results)
    anew = [cell_id for word in cells for cell_id in forget(plan, results, word)]
    if study.content.tune and (retry or cells):
        plan = planned(study, console, results)  # a sweep may have lost what decides
    earlier = Estimator(results)
    with _resumable(), Display(console, lambda cell: earlier.estimate(cell).time_s) as display:
        summary = run_plan(
            plan, results, display, executor=executor, fail_fast=fail_fast, claims=shipped_claims(), anew=anew
        )
    for sentence in summary.table.mixed_versions():
        console.print(sentence, style="yellow")
    if reported:
        finish(summary.table, console)
    if summary.failed:
        where = "" if results == RESULTS else f" --results {results}"
        console.print(
            f"{len(summary.failed)} cells failed; `smdim-bench status {study.name}{where}` gives their reasons, "
            f"`smdim-bench retry {study.name} --failed{where}` runs them again",
            style="yellow",
            soft_wrap=True,
        )
        raise typer.Exit(1)


@contextmanager
def _resumable() -> Iterator[None]:
    """Where the block is interrupted, a line on stderr says what is kept."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        print_line("finished cells are kept; the same command goes on from there", error=True)
        raise


def finish(results: ResultTable, console: Console) -> None:
    """Write the report of a study's results, print the summary table and the path of the report."""
    from bench.report import write_report
    from bench.report.pages.cost_summary import cost_summary
    from bench.report.presentation import presentation_of
    from bench.report.rows.frame import as_frame, summaries_kept

    with summaries_kept():
        frame = as_frame(results)
        report = write_report(results.folder, table=frame)
        print_summary(frame, results.folder, console, presentation=presentation_of(results.folder))
        tables = cost_summary(frame, results.folder)
    for table in tables:
        console.print(table)
    console.print(f"report: {report}", soft_wrap=True)


def print_summary(
    frame: pd.DataFrame,
    folder: Path,
    console: Console,
    *,
    force: bool = False,
    presentation: Presentation | None = None,
) -> None:
    """Print the question of a study with its answers, the summary table of its rows, and the verdicts under it; `force`
    and `presentation` as in `write_report`."""
    from bench.report import answer_lines, summary_table, verdict_lines

    for line in answer_lines(folder, frame, force=force):
        console.print(line)
    console.print(summary_table(frame, folder, force=force, presentation=presentation))
    for line in verdict_lines(folder, frame):
        console.print(line)
