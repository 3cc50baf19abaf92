"""`plan` and `schema`: cells and cost of a study before it runs, and the JSON schema of study files."""

from __future__ import annotations

import gc
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.cli.options import RESULTS, JobsOption, ResultsOption, SetOption, StudyArgument, YesOption
from bench.cli.terminal import print_document, print_line, terminal
from metrics.cost.cores import usable_cores

if TYPE_CHECKING:
    from rich.console import Console

    from bench.report.analysis.prospects import Prospect
    from bench.run.estimate import Estimate, Estimator
    from bench.run.plan import Plan
    from bench.store.cells import Store
    from bench.study.grid import Cell, Study

GIB = 2**30
MIB = 2**20
MOST_PROSPECTS = 8


@contextmanager
def _without_collection() -> Iterator[None]:
    """Garbage collection off: over all that is imported it would take a tenth of a short command."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()  # keeps what was imported out of the collection at exit as well
        gc.enable()


@_without_collection()
def plan(
    study: StudyArgument,
    overrides: SetOption = None,
    results: ResultsOption = RESULTS,
    jobs: JobsOption = None,
    cells: Annotated[bool, typer.Option("--cells", help="Name every cell.")] = False,
    yes: YesOption = False,
) -> None:
    """List the cells of a study, with time, memory and disk estimated from done cells; nothing is run.

    It also says which differences the study's seeds can show, and warns where they can decide nothing.
    """

    from bench.run.estimate import Estimator, training_of
    from bench.run.machine import threads_of
    from bench.store.cells import FINISHED, Store
    from bench.store.reuse import taken_over
    from bench.study.grid import load_study

    console = terminal()
    loaded = _timed_here(load_study(study, overrides or [], many=yes), console)
    made = planned(loaded, console, results)
    store, estimator = Store(results, loaded.name), Estimator(results)
    begun = {path.name for path in store.folder.iterdir()} if store.folder.is_dir() else set[str]()
    done = {cell.id for cell in made.cells if cell.id in begun and store.cell(cell.id).status().state in FINISHED}
    done |= taken_over(store, [cell for cell in made.cells if cell.id not in done], made.arms)
    estimates = {cell.id: estimator.estimate(cell) for cell in made.cells}
    if cells:
        for cell in made.cells:
            console.print(f"{cell.id}{'  done' if cell.id in done else ''}", soft_wrap=True)
    _groups(made, done, estimates, console)
    _trainings(made, console)
    _pieces(made, console)
    threads = max((threads_of(cell) for cell in made.cells), default=1)
    at_once = jobs or max(1, usable_cores() // threads)
    left = [cell for cell in made.cells if cell.id not in done]
    trained = {training_of(cell) for cell in made.cells if cell.id in done}
    _total(left, estimates, at_once, len(estimator.done), trained, console)
    _session(loaded, left, console)
    _later(made, estimator, at_once, console)
    _prospects(loaded, made, store, console)


def planned(study: Study, console: Console, results: Path) -> Plan:
    """The plan of a study, as far as results decide it; prints what it is doing and the notes."""
    from bench.run.plan import make_plan

    made = make_plan(study, lambda line: console.print(line, style="dim"), results)
    for note in made.notes:
        console.print(f"  {note}", style="dim")
    return made


def _timed_here(study: Study, console: Console) -> Study:
    """The study, timed on a device of this machine where the one it names is missing: planning needs none."""
    from metrics.cost.device import resolve_device

    efficiency = study.content.measure.efficiency
    try:
        resolve_device(efficiency.device if efficiency else "auto")
    except ValueError as error:
        words = f"measure.efficiency: {error}; planned as if timed here, to be run where that device is"
        console.print(words, style="yellow", soft_wrap=True)
        return study.timed(device="auto", other_machine=True)
    return study


def _groups(made: Plan, done: set[str], estimates: dict[str, Estimate], console: Console) -> None:
    """Print a table with one row per group of cells that differ in their seed alone."""
    from rich.table import Table

    from bench.run.display import clock

    groups: dict[tuple[Any, ...], list[Cell]] = {}
    for cell in made.cells:
        labels = cell.labels
        key = (cell.kind, labels["arm"], str(labels.get("corpus", "")), str(labels.get("length", "")))
        groups.setdefault(key, []).append(cell)
    table = Table("cells", "corpus", "length", "done", "each", "memory", "disk")
    for key, members in groups.items():
        one = estimates[members[0].id]
        finished = sum(cell.id in done for cell in members)
        table.add_row(
            f"{key[0]} {key[1]}",
            *key[2:],
            f"{finished} of {len(members)}",
            "?" if math.isnan(one.time_s) else clock(one.time_s),
            "?" if math.isnan(one.memory_bytes) else f"{one.memory_bytes / GIB:.2f} GiB",
            "?" if math.isnan(one.disk_bytes) else f"{one.disk_bytes / MIB:.1f} MiB",
        )
    console.print(table)


def _trainings(made: Plan, console: Console) -> None:
    """Print the predicted cost of the training of each arm, where a study has more processes than absorbing
    diffusion: equal steps are neither equal targets nor equal FLOPs there."""
    from rich.table import Table
    from rich.text import Text

    from bench.run.trainings import training_costs

    if not _several_processes(made):
        return
    table = Table("training of", "process", "steps", "tokens", "targets", "TFLOPs")
    for one in training_costs(made.cells):
        counts = (one.steps, one.tokens, one.supervised)
        figures = ("?" if math.isnan(count) else f"{count:,.0f}" for count in counts)
        tflops = "?" if math.isnan(one.flops) else f"{one.flops / 1e12:,.4g}"
        table.add_row(Text(one.arm), one.process, *figures, tflops)
    console.print(table)


def _several_processes(made: Plan) -> bool:
    return any("objective" in cell.settings.get("diffusion", {}) for cell in made.cells)


def _pieces(made: Plan, console: Console) -> None:
    """Print the predicted cost of one piece of each arm, where a study has more processes than absorbing diffusion."""
    from rich.table import Table
    from rich.text import Text

    from bench.run.pieces import piece_costs

    if not _several_processes(made):
        return
    table = Table("one piece of", "process, sampler", "corpus", "length", "calls", "GFLOPs", "cached state")
    for one in piece_costs(made.cells):
        most, state = "<= " if one.most else "", one.state_bytes
        table.add_row(
            Text(one.arm),
            one.process,
            Text(one.corpus),
            str(one.length),
            f"{most}{one.calls:,}",
            "?" if math.isnan(one.flops) else f"{most}{one.flops / 1e9:,.4g}",
            "-" if math.isnan(state) else f"{state / MIB:.2f} MiB",
        )
    console.print(table)


def _total(
    left: list[Cell], estimates: dict[str, Estimate], jobs: int, known: int, trained: set[str], console: Console
) -> None:
    from bench.run.display import clock
    from bench.run.estimate import wall_time_s

    if not left:
        console.print("every cell is done")
        return
    pairs = [(cell, estimates[cell.id]) for cell in left]
    unknown = sum(math.isnan(estimate.time_s) for _, estimate in pairs)
    seconds = wall_time_s([pair for pair in pairs if not math.isnan(pair[1].time_s)], jobs, trained)
    disk = sum(estimate.disk_bytes for _, estimate in pairs if not math.isnan(estimate.disk_bytes))
    memory = sum(sorted((e.memory_bytes for _, e in pairs if not math.isnan(e.memory_bytes)), reverse=True)[:jobs])
    words = f"{len(left)} cells to run, {jobs} at once"
    if unknown == len(left):
        words += "; nothing like them was done before, so no estimate"
    else:
        held = f"up to {memory / GIB:.1f} GiB of memory at once, " if memory else ""  # unknown of timing cells
        words += f": about {clock(seconds)}, {held}{disk / MIB:.0f} MiB of disk"
        words += f" (from {known} cells done before, wherever they ran)"
        words += f"; {unknown} cells not counted, nothing like them was done before" if unknown else ""
    console.print(words)


def _session(study: Study, left: list[Cell], console: Console) -> None:
    """Print how long the timing session of the cells that are left takes, by its own settings."""
    from bench.run.display import clock
    from bench.run.estimate import session_s

    wanted, arms = study.content.measure.efficiency, sum(cell.kind == "efficiency" for cell in left)
    if wanted is None or not arms:
        return
    lengths, cores = len(wanted.lengths), usable_cores()
    least_s, most_s = session_s(arms, lengths, wanted.replicates, wanted.time_cap_s, cores)
    words = f"timing session of {arms} arms, {lengths} lengths and {wanted.replicates} replicates on {cores} cores"
    more = "; longer where one call takes seconds" + (", or where joules are counted" if wanted.energy else "")
    console.print(f"{words}: {clock(least_s)} to {clock(most_s)}{more}", soft_wrap=True)


def _later(made: Plan, estimator: Estimator, jobs: int, console: Console) -> None:
    """Print how many cells may follow from a sweep, and their time; their values are not known yet."""
    from bench.run.display import clock
    from bench.run.estimate import wall_time_s

    if not made.later:
        return
    known = {cell.id: estimator.estimate(cell) for cell in made.later}
    seconds = wall_time_s([(cell, known[cell.id]) for cell in made.later], jobs)
    time = "; nothing like them was done before, so no estimate" if math.isnan(seconds) else f": about {clock(seconds)}"
    console.print(f"then at most {len(made.later)} more at the values that the sweep chooses{time}")


def _prospects(study: Study, made: Plan, store: Store, console: Console) -> None:
    """Print which differences the seeds can show, what the finished ones show so far, and a warning where none can."""
    from bench.report.analysis.prospects import arms_compared, done_in, done_so_far, prospects, warnings
    from bench.report.rows.study import read_margins

    if study.content.measure.quality is None:
        return
    arms, seeds = arms_compared((*made.cells, *made.later), study.content.baseline.arm), len(study.content.seeds)
    done = done_in(store.folder)
    found = prospects(arms, seeds, read_margins(study.content.matters), done)
    for one in found[:MOST_PROSPECTS]:
        console.print(f"{_prospect_words(one)}.")
    if found:
        more = f"{len(found) - MOST_PROSPECTS} further settings alike. " if len(found) > MOST_PROSPECTS else ""
        rule = "Differences from one baseline, called with chance 0.8, corrected for all arms and primary scores."
        console.print(more + rule)
    for words in warnings(arms, seeds):
        console.print(words, style="yellow")
    if rows := done_so_far(done):
        from rich.table import Table
        from rich.text import Text

        table = Table("score", "arm", "seeds done", "difference", "verdict so far")
        for row in rows:
            table.add_row(*map(Text, row))
        console.print(table)


def _prospect_words(one: Prospect) -> str:
    """A prospect as a sentence: what these seeds show, what would show the margin, and where the spread comes from."""
    from bench.report.tables.numbers import number

    at = f"{one.quantity.heading}, {one.setting[0]}, L = {one.setting[1]}, {one.arms} arms"
    if one.source is None:
        return f"{at}: no spread between seeds is known, since nothing like it was done"
    least = "nothing" if math.isinf(one.shown_from) else f"differences from {number(one.shown_from, 2)} on"
    shows = f"{one.seeds} seed{'s show' if one.seeds != 1 else ' shows'} {least}"
    more = f"; {number(one.margin, 2)}, which matters, takes {one.needed.text}" if one.margin and one.needed else ""
    return f"{at}: {shows}{more} (spread of one arm at one seed {number(one.source.spread, 2)}: {one.source.words})"


def schema(
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="File to write; default: standard output.")
    ] = None,
) -> None:
    """Print the JSON schema of study files, for editors that complete and check YAML as it is typed."""
    import json

    from bench.files import write_atomically
    from bench.study.content import StudyFile

    dialect = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    text = json.dumps(dialect | StudyFile.model_json_schema(), indent=1) + "\n"
    if output is None:
        print_document(text)
    else:
        write_atomically(output, text)
        print_line(f"schema: {output}")
