"""What a person watching `generate` sees: pieces, calls, time left."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from bench.run.display import clock

PLAIN_INTERVAL_S = 20.0


@contextmanager
def progress(console: Console, number: int) -> Iterator[Callable[[range, int, int], None]]:
    """A live bar on a terminal, a plain line now and then elsewhere.

    Yields `show(pieces being drawn, calls done, calls of their window)`.
    """
    bar = Progress(
        BarColumn(bar_width=24), TextColumn("{task.description}"), console=console,
        disable=not console.is_terminal, transient=True,
    )  # fmt: skip
    task = bar.add_task("starting", total=number)
    begun_s = last_s = time.monotonic()

    def show(pieces: range, done: int, total: int) -> None:
        nonlocal last_s
        now_s = time.monotonic()
        drawn = pieces.start + len(pieces) * done / total
        left_s = (now_s - begun_s) * (number - drawn) / drawn if drawn else 0.0
        words = f"pieces {pieces.start + 1} to {pieces.stop} of {number}, {done}/{total} calls, {clock(left_s)} left"
        bar.update(task, completed=drawn, description=words)
        if not console.is_terminal and now_s - last_s > PLAIN_INTERVAL_S:
            last_s = now_s
            console.print(words, highlight=False)

    with bar:
        yield show
