"""Display of a run in the terminal: running cells, their progress, the loss, the time left."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from bench.run.estimate import Unfinished, time_left_s
from bench.study.grid import Cell

PLAIN_INTERVAL_S = 20.0
ESTIMATED = 50
"""Number of cells of a kind whose time is estimated from earlier studies before the first has ended."""


class Display:
    """A live panel on a terminal, plain lines elsewhere. Use as a context manager."""

    def __init__(self, console: Console, expect_s: Callable[[Cell], float] = lambda _: math.nan) -> None:
        """`expect_s`: seconds that a cell will take, estimated from earlier ones; NaN where there is none like it."""
        self.console = console
        self.expect_s = expect_s
        self.live = console.is_terminal
        self.progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[detail]}", markup=False),
            TimeElapsedColumn(),
            console=console,
            disable=not self.live,
        )
        self.overall: TaskID | None = None
        self.tasks: dict[str, TaskID] = {}
        self.started: dict[str, float] = {}
        self.last_line: dict[str, float] = {}
        self.left_s: dict[str, float] = {}  # of the cells that run, by their events
        self.at_once = 1  # cells that ran beside each other, at most
        self.took_s: dict[str, list[float]] = {}  # by kind, of cells that ended well
        self.like_s: dict[str, float] = {}
        self.left: Counter[str] = Counter()
        self.total = 0
        self.done = 0
        self.began = time.monotonic()

    def __enter__(self) -> Display:
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()

    def say(self, line: str) -> None:
        """One line of text, above the bars."""
        self.console.print(line, highlight=False, soft_wrap=True)

    def begin(self, todo: list[Cell], reused: int) -> None:
        """Announce the run."""
        self.total = self.done + len(todo)
        self.left = Counter(cell.kind for cell in todo)
        for kind in self.left:
            expected = [self.expect_s(cell) for cell in [cell for cell in todo if cell.kind == kind][:ESTIMATED]]
            self.like_s[kind] = sum(expected) / len(expected)
        self.began = time.monotonic() if not self.done else self.began
        kept = f"; {reused} finished cells are kept" if reused else ""
        self.say(f"{len(todo)} cells to run{kept}")
        if todo and self.overall is None:
            self.overall = self.progress.add_task("all cells", total=self.total, detail="")
        elif self.overall is not None:
            self.progress.update(self.overall, total=self.total)

    def event(self, cell: Cell, event: dict[str, Any]) -> None:
        """Show one event of a cell."""
        kind = event.get("event", "progress")
        if kind == "start":
            self.started[cell.id] = time.monotonic()
            self.last_line[cell.id] = time.monotonic()
            self.left_s[cell.id] = math.nan
            if cell.kind != "efficiency":  # those wait for each other
                self.at_once = max(self.at_once, len(self.left_s))
            self.tasks[cell.id] = self.progress.add_task(_title(cell), total=None, detail="starting")
            if not self.live:
                self.say(f"start  {_title(cell)}")
        elif kind == "released":
            self.left_s.pop(cell.id, None)
            if cell.id in self.tasks:
                self.progress.remove_task(self.tasks.pop(cell.id))
        elif kind == "end":
            self._end(cell, event)
        else:
            self._progress(cell, event)

    def _end(self, cell: Cell, event: dict[str, Any]) -> None:
        self.done += 1
        self.left[cell.kind] -= 1
        self.left_s.pop(cell.id, None)
        if event["state"] == "done" and cell.id in self.started:
            self.took_s.setdefault(cell.kind, []).append(time.monotonic() - self.started[cell.id])
        if cell.id in self.tasks:
            self.progress.remove_task(self.tasks.pop(cell.id))
        now, text = f"{event['state']:6} {_title(cell)}", self._left()
        if "by" in event:
            self.say(f"{now} by {event['by']} ({self.done}/{self.total})")
        else:
            elapsed_s = time.monotonic() - self.started.get(cell.id, self.began)
            reason = f": {event['reason']}" if event.get("reason") else ""
            left = f", {text}" if text else ""
            self.say(f"{now} in {clock(elapsed_s)}{reason} ({self.done}/{self.total}{left})")
        if self.overall is not None:
            self.progress.update(self.overall, completed=self.done, detail=text)

    def _progress(self, cell: Cell, event: dict[str, Any]) -> None:
        detail = describe(event)
        self.left_s[cell.id] = math.nan if event.get("left_s") is None else float(event["left_s"])
        total = event.get("total")
        task = self.tasks.get(cell.id)
        if task is not None:
            self.progress.update(task, completed=event.get("done", 0), total=total, detail=detail)
        now = time.monotonic()
        if not self.live and now - self.last_line.get(cell.id, 0.0) >= PLAIN_INTERVAL_S:
            self.last_line[cell.id] = now
            count = f" {event.get('done', 0)}/{total}" if total else ""
            self.say(f"       {_title(cell)}{count} {detail}")

    def _left(self) -> str:
        """The time left, as text; empty while it is unknown."""
        now = time.monotonic()
        running: dict[str, list[tuple[float, float]]] = {}
        for cell_id, left_s in self.left_s.items():
            spent_s = now - self.started.get(cell_id, now)
            running.setdefault(cell_id.partition("-")[0], []).append((spent_s, left_s))
        total_s = time_left_s(
            (
                Unfinished(
                    self.left[kind],
                    self.took_s.get(kind, ()),
                    running.get(kind, ()),
                    self.like_s.get(kind, math.nan),
                    kind == "efficiency",
                )
                for kind in +self.left
            ),
            self.at_once,
        )
        known = total_s >= 1 and self.done < self.total  # cells over their estimate and NaN give no time left
        return f"about {clock(total_s)} left" if known else ""


def describe(event: dict[str, Any]) -> str:
    """Text behind a progress bar: stage, loss, bits/token, time left, as far as the event has them."""
    parts = [str(event.get("stage", ""))]
    if event.get("loss") is not None:
        parts.append(f"loss {event['loss']:.3f}")
    if event.get("validation_bits") is not None:
        parts.append(f"{event['validation_bits']:.3f} bits/token")
    if event.get("tokens_per_s") is not None:
        parts.append(f"{event['tokens_per_s']:,.0f} tokens/s")
    if event.get("left_s") is not None:
        parts.append(f"{clock(event['left_s'])} left")
    return " ".join(parts)


def clock(seconds: float) -> str:
    """`42 s`, `3:05 min` or `2:10 h`."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02d} min"
    return f"{whole // 3600}:{whole % 3600 // 60:02d} h"


def _title(cell: Cell) -> str:
    seed = f" seed {cell.labels['seed']}" if "seed" in cell.labels else ""
    length = f" L={cell.labels['length']}" if "length" in cell.labels else ""
    return f"{cell.kind} {cell.labels['arm']}{length}{seed}"
