"""`status`, `logs` and `diff`: progress of a study, log of a cell, settings in which two cells differ."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.cli.options import RESULTS, FinishedStudy, ResultsOption
from bench.cli.terminal import print_line, terminal

if TYPE_CHECKING:
    from rich.console import Group

    from bench.run.overview import CellState, Overview
    from bench.store.cells import Store

CellArgument = Annotated[str, typer.Argument(help="Id of a cell, or enough of its beginning; STUDY/ID where needed.")]
LISTED = 60
"""Up to so many cells are listed one by one; of a larger study those that run or failed."""
FAILED_LISTED = 15
INTERVAL_S = 2.0
NOT_A_SETTING = ("environment.load_1_min",)  # of the moment: it never is the same


def status(
    study: FinishedStudy,
    results: ResultsOption = RESULTS,
    watch: Annotated[bool, typer.Option("--watch", help="Go on showing it until all cells have ended.")] = False,
) -> None:
    """Show what is done, running, failed and left, what each worker does, and the time left."""
    from rich.live import Live

    from bench.cli.options import results_folder
    from bench.run.overview import overview
    from bench.store.cells import Store

    folder = results_folder(study, results)
    store, console = Store(folder.parent, folder.name), terminal()
    found = overview(store)
    if not watch:
        console.print(_panel(found, store))
        return
    with Live(_panel(found, store), console=console, auto_refresh=False) as live:
        while found.left():
            time.sleep(INTERVAL_S)
            found = overview(store)
            live.update(_panel(found, store), refresh=True)


def _panel(found: Overview, store: Store) -> Group:
    from rich.console import Group
    from rich.table import Column, Table
    from rich.text import Text

    from bench.run.display import clock

    table = Table(Column("cell", overflow="fold"), "state", "time", "where", "now")  # an id is for copying
    everything = len(found.cells) <= LISTED
    failed = [cell for cell in found.cells if cell.state not in ("done", "running", "to run", "cut off")]
    shown = found.cells if everything else found.of("running") + failed[:FAILED_LISTED]
    for cell in shown:
        table.add_row(cell.id, cell.state, _time(cell), _where(cell), Text(_now(cell)))
    counts = ", ".join(f"{number} {word}" for word, number in found.counts().items())
    left_s = found.left_s() if found.left() else 0.0
    left = "; time left not known yet" if math.isnan(left_s) else f"; about {clock(left_s)} left" if left_s >= 1 else ""
    lines: list[Any] = [table] if shown else []
    if len(failed) > FAILED_LISTED and not everything:
        lines.append(Text(f"and {len(failed) - FAILED_LISTED} more that failed"))
    reused = sum(bool(cell.status.reused_from) for cell in found.cells)
    more = f"; at most {found.later} more follow from the sweep" if found.later else ""
    words = f"{len(found.cells)} cells: {counts}{left}{more}"
    return Group(
        *lines, Text(words + (f"; {reused} taken over from other studies" if reused else "")), *_old(store, found)
    )


def _old(store: Store, found: Overview) -> list[Any]:
    """A line on cells in the folder that the present plan does not have: other settings, or another code version."""
    from rich.text import Text

    from bench.versions import conflict

    known = {cell.id for cell in found.cells}
    old = [path for path in store.folder.glob("*-*") if path.name.count("-") >= 2 and path.name not in known]
    old = [path for path in old if (path / "cell.json").is_file()]
    lines = []
    for kind in sorted({cell.kind for cell in found.cells}):
        versions = {str(cell.labels.get("version")) for cell in found.cells if cell.kind == kind}
        if conflict(versions):
            lines.append(Text(f"{kind} cells are of {len(versions)} code versions: do not compare them"))
    if old:
        lines.append(
            Text(f"{len(old)} folders hold cells of other settings or code versions; the table leaves them out")
        )
    return lines


def _time(cell: CellState) -> str:
    from bench.run.display import clock

    if cell.state == "running" and cell.status.started:
        return clock(time.time() - cell.status.started)
    seconds = cell.status.elapsed_s
    return "" if math.isnan(seconds) else clock(seconds)


def _where(cell: CellState) -> str:
    if cell.holder:
        return f"{cell.holder.host} {cell.progress.get('pid', cell.holder.pid)}"
    return f"from {cell.status.reused_from.split('/')[0]}" if cell.status.reused_from else ""


def _now(cell: CellState) -> str:
    from bench.run.display import describe

    if cell.state != "running":
        return cell.status.reason
    count = f" {cell.progress['done']}/{cell.progress['total']}" if cell.progress.get("total") else ""
    return f"{describe(cell.progress)}{count}" if cell.progress else "starting"


def logs(
    cell: CellArgument,
    results: ResultsOption = RESULTS,
    lines: Annotated[int, typer.Option(min=1, help="Lines from the end of the log.")] = 40,
) -> None:
    """Show how a cell went: its attempts, its state and reason, the end of its log."""
    from bench.run.overview import find_cell

    folder = find_cell(results, cell)
    found = folder.status()
    print_line(f"{folder.path}")
    print_line(f"state: {found.state}")
    if found.reason:
        print_line(f"reason: {found.reason}")
    for line in folder.attempts():
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(line.get("at", 0.0)))
        print_line(f"begun {when} on {line.get('host')} by process {line.get('pid')}")
    try:
        text = (folder.path / "log.txt").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        text = []
    print_line(f"log.txt, last {min(lines, len(text))} of {len(text)} lines:" if text else "log.txt: empty")
    for one in text[-lines:]:
        print_line(f"  {one}")


def diff(one: CellArgument, other: CellArgument, results: ResultsOption = RESULTS) -> None:
    """Show which settings differ between two cells, and between the machines and libraries that ran them."""
    from rich.table import Column, Table
    from rich.text import Text

    from bench.errors import UserError
    from bench.files import differences
    from bench.run.overview import find_cell

    folders = [find_cell(results, word) for word in (one, other)]
    contents = []
    for folder in folders:
        configuration = folder.configuration()
        if configuration is None:
            raise UserError(f"{folder.path}: cell.json cannot be read")
        contents.append({**configuration.get("settings", {}), "environment": folder.environment()})
    table = Table("setting", *(Column(folder.path.name, overflow="fold") for folder in folders))
    for key, left, right in differences(*contents):
        if key in NOT_A_SETTING:
            continue
        table.add_row(key, Text(str(left)), Text(str(right)))
    console = terminal()
    if table.row_count:
        console.print(table)
    else:
        console.print("the same settings, the same environment")
