"""What a person watching `generate` sees: pieces, calls, time left."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

PLAIN_INTERVAL_S = 20.0


@contextmanager
def progress(console: Console, number: int) -> Iterator[Callable[[int, int, int], None]]:
    """A live bar on a terminal, a plain line now and then elsewhere.

    Yields `show(first piece of the batch, calls done, calls of the batch)`.
    """
    bar = Progress(
        TextColumn("{task.description}"), BarColumn(bar_width=24), TextColumn("{task.completed}/{task.total} calls"),
        TimeRemainingColumn(), console=console, disable=not console.is_terminal, transient=True,
    )  # fmt: skip
    task = bar.add_task("drawing", total=None)
    begun_s = last_s = time.monotonic()

    def show(first: int, done: int, total: int) -> None:
        nonlocal last_s
        words = f"pieces from {first + 1} of {number}"
        bar.update(task, completed=done, total=total, description=words)
        now_s = time.monotonic()
        if not console.is_terminal and now_s - last_s > PLAIN_INTERVAL_S:
            last_s = now_s
            console.print(f"{words}: {done}/{total} calls, {now_s - begun_s:.0f} s", highlight=False)

    with bar:
        yield show
