"""Live displays of `train` and `generate`: progress on a terminal, plain lines elsewhere."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from bench.run.display import clock

if TYPE_CHECKING:
    from bench.training import progress as training


PLAIN_INTERVAL_S = 20.0
LIVE_INTERVAL_S = 0.25
PARTS = 1000


class TrainDisplay:
    """A live bar on a terminal, a plain line now and then elsewhere. Use as a context manager."""

    def __init__(self, console: Console) -> None:
        self.console, self.live = console, console.is_terminal and not console.quiet
        self.bar = Progress(
            BarColumn(bar_width=24), TaskProgressColumn(), TextColumn("{task.description}", markup=False),
            console=console, disable=not self.live,
        )  # fmt: skip
        self.task = self.bar.add_task("starting", total=PARTS)
        self.last_s = -math.inf

    def __enter__(self) -> TrainDisplay:
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    def show(self, progress: training.Progress) -> None:
        """Show the state of the run; called after every few steps."""
        now_s = time.monotonic()
        if now_s - self.last_s < (LIVE_INTERVAL_S if self.live else PLAIN_INTERVAL_S) and (
            progress.fraction < 1 or progress.stage
        ):
            return
        self.last_s = now_s
        words = progress.stage or describe(progress)
        if self.live:
            self.bar.update(self.task, completed=round(PARTS * progress.fraction), description=words)
        else:
            self.console.print(f"{100 * progress.fraction:3.0f} % {words}", highlight=False, soft_wrap=True)


def describe(progress: training.Progress) -> str:
    """Step, loss, bits/token, tokens/s, memory and time left, as far as they are known."""
    words = [f"step {progress.step:,}" + (f"/{progress.steps:,}" if progress.steps else "")]
    words.append(f"loss {progress.loss:.3f}")
    if math.isfinite(progress.validation_bits_per_token):
        words.append(f"{progress.validation_bits_per_token:.3f} bits/token")
    words.append(f"{progress.tokens_per_s:,.0f} tokens/s")
    words.append(f"{progress.peak_bytes / 2**30:.2f} GiB")
    if math.isfinite(progress.remaining_s):
        words.append(f"{clock(progress.remaining_s)} left")
    return ", ".join(words)


@dataclass
class Stop:
    """Whether a signal has asked the run to end: its number, 0 where none has."""

    signal: int = 0

    def __call__(self) -> bool:
        return self.signal != 0

    @property
    def exit_code(self) -> int:
        """Exit code of a program that ended at this signal, as shells state it."""
        return 128 + (self.signal or signal.SIGINT)  # none here: another process of the run was asked


@contextmanager
def interruptible() -> Iterator[Stop]:
    """Ctrl-C and SIGTERM ask the run to end after its step and save; a second Ctrl-C ends it at once."""
    stop = Stop()

    def ask(number: int, frame: FrameType | None) -> None:
        if stop() and number == signal.SIGINT:
            raise KeyboardInterrupt
        stop.signal = stop.signal or number

    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before: dict[int, Any] = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def progress(console: Console, number: int) -> Iterator[Callable[[range, int, int], None]]:
    """A live bar on a terminal, a plain line now and then elsewhere.

    Yields `show(pieces being drawn, calls done, calls of their window)`.
    """
    bar = Progress(
        BarColumn(bar_width=24), TextColumn("{task.description}", markup=False), console=console,
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
