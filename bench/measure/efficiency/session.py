"""A timing session: one process per arm, all arms in turns, so that drift of the machine affects every arm alike."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench.errors import CellFailure
from bench.measure.efficiency.cell import EfficiencyCell, EfficiencyError
from bench.measure.efficiency.process import WorkerProcess
from bench.measure.efficiency.record import Record
from bench.measure.efficiency.rows import rows_of

OnEvent = Callable[[str, dict[str, Any]], None]
SILENCE_S = 900.0
"""Seconds without a message after which a measuring process counts as stuck; one comes after every block of calls."""
FEWEST_ROUNDS = 2
"""Rounds that are run however long they take: below two there is no interval."""
PATIENCE = 3
"""The first `rounds` rounds may take this many time caps before they are cut short."""


def measure_group(
    cells: Sequence[EfficiencyCell],
    *,
    rounds: int = 5,
    calls_per_round: int = 4,
    seconds_per_round: float = 0.0,
    relative_width: float = 0.02,
    time_cap_s: float = 150.0,
    on_event: OnEvent | None = None,
    log_folder: Path | Mapping[str, Path],
    silence_s: float = SILENCE_S,
) -> dict[str, list[dict[str, Any]]]:
    """Measure all arms, taking turns in rounds (A B C A B C), and return the rows of each by cell id.

    Every process warms all its shapes before anything is timed. After `rounds` rounds, those lengths go on of which
    some arm's interval is wider than `relative_width` of its median, until `time_cap_s` seconds of rounds have passed;
    `stopped_by` says which ended it; at three times the cap the session ends after any round but the first. What is
    timed is called `calls_per_round` times in a round, or as often as fits into `seconds_per_round` where that is more.
    Whole samples are drawn at most once a round, see `samples_planned`; memory, FLOPs, energy, compilation come last.
    A process that dies leaves rows with NaN and the reason; the others go on. `on_event(cell id, event)` is called at
    each step (`stage`, `done`, `total`, `left_s`). `log_folder`: a folder (for `<cell id>.log`), or log paths by cell
    id. Raises EfficiencyError for settings that cannot be used; on KeyboardInterrupt all processes are ended first.
    """
    for name, value in (("rounds", rounds), ("calls_per_round", calls_per_round)):
        if value < 1:
            raise EfficiencyError(f"efficiency: {name} = {value}; allowed: at least 1")
    for name, amount in (("relative_width", relative_width), ("time_cap_s", time_cap_s), ("silence_s", silence_s)):
        if not amount > 0:
            raise EfficiencyError(f"efficiency: {name} = {amount:g}; allowed: a positive number")
    if len({cell.id for cell in cells}) < len(cells):
        raise EfficiencyError("efficiency: two cells have the same id")
    logs = log_folder if isinstance(log_folder, Mapping) else {cell.id: log_folder / f"{cell.id}.log" for cell in cells}
    group = _Group(
        cells, logs, on_event or (lambda cell_id, event: None), silence_s, calls_per_round, seconds_per_round
    )
    try:
        group.start()
        group.everyone("warm", "warming up")
        group.measure_device()
        group.time_rounds(rounds, relative_width, time_cap_s)
        group.everyone("memory", "measuring memory")
        group.everyone("audit", "counting FLOPs")
        group.optional()
    except BaseException:
        group.kill()
        raise
    finally:
        group.end()
    return {arm.cell.id: rows_of(arm.cell, arm.record, group.not_planned) for arm in group.arms}


def samples_planned(cost_s: Mapping[int, float], rounds: int, time_cap_s: float, left_s: float) -> dict[int, int]:
    """Whole samples at each length, at most `rounds`: one each, shortest first, while those take no more than the time
    cap, so that a table is full where it can be; further ones only in the `left_s` seconds that other calls leave."""
    planned, spent_s = dict.fromkeys(sorted(cost_s), 0), 0.0
    for turn in range(rounds):
        for length in planned:
            budget_s = time_cap_s if turn == 0 else left_s
            if planned[length] == turn and spent_s + cost_s[length] <= budget_s:
                planned[length] += 1
                spent_s += cost_s[length]
    return planned


@dataclass
class _Arm:
    """A cell, its process while it lives, and its record."""

    cell: EfficiencyCell
    record: Record = field(default_factory=Record)
    process: WorkerProcess | None = None


class _Group:
    """The arms of one session."""

    def __init__(
        self, cells: Sequence[EfficiencyCell], logs: Mapping[str, Path], on_event: OnEvent, silence_s: float,
        calls: int, block_s: float,
    ) -> None:  # fmt: skip
        self.arms = [_Arm(cell) for cell in cells]
        self.logs, self.on_event, self.silence_s = logs, on_event, silence_s
        self.calls, self.block_s = calls, block_s
        self.not_planned: dict[int, str] = {}

    @property
    def alive(self) -> list[_Arm]:
        """Arms whose process has not ended."""
        return [arm for arm in self.arms if arm.process is not None]

    def start(self) -> None:
        """Start the processes, as many at a time as there are cores, and wait until each has built its model."""
        together = os.cpu_count() or 1
        for first in range(0, len(self.arms), together):
            some = self.arms[first : first + together]
            for arm in some:
                cell = arm.cell
                self.show(arm, "starting")
                arm.process = WorkerProcess(asdict(cell), cell.threads, cell.kernels, self.logs[cell.id])
            for arm in some:
                self.turn(arm)

    def show(self, arm: _Arm, stage: str, **more: Any) -> None:
        """Report what is done with an arm now."""
        self.on_event(arm.cell.id, {"event": "progress", "stage": stage, **more})

    def turn(self, arm: _Arm, command: Mapping[str, Any] | None = None, stage: str = "", **progress: Any) -> None:
        """The turn of one arm: send the command, if any, and record its answers until it is done or has ended."""
        assert arm.process is not None
        if stage:
            self.show(arm, stage, **progress)
        try:
            if command is not None:
                arm.process.send(command)
            for message in arm.process.answers(self.silence_s):
                arm.record.take(message)
                if message["event"] == "progress":
                    self.on_event(arm.cell.id, message)
        except CellFailure as failure:
            arm.record.death = (failure.state, failure.reason)
            self.show(arm, failure.reason)
            arm.process.close()
            arm.process = None

    def measure_device(self) -> None:
        """Measure the device's ceilings once, and note on every arm which other processes compute meanwhile."""
        from metrics.cost.device import busy_warning

        self.warn(busy_warning(self.arms[0].cell.device))
        for arm in self.alive[:1]:
            self.turn(arm, {"command": "ceilings"})
        if found := next(filter(None, (arm.record.newest("ceilings") for arm in self.arms)), None):
            for arm in self.arms:
                arm.record.take(found)

    def warn(self, warning: str) -> None:
        """Add a warning to the rows of every arm: it may concern all of a session."""
        for arm in self.arms if warning else []:
            arm.record.notes.append(warning)
            self.show(arm, warning, warning=warning)

    def optional(self) -> None:
        """Compilation, and the search for what fits a memory budget, of the cells with those settings."""
        for arm in self.alive:
            if arm.cell.compile:
                self.turn(arm, {"command": "compile"}, "compiling")
        for arm in self.alive:
            if arm.cell.memory_budget_gib:
                budget_bytes = arm.cell.memory_budget_gib * 2**30
                self.turn(arm, {"command": "fit", "budget_bytes": budget_bytes}, "searching what fits")

    def everyone(self, command: str, stage: str) -> None:
        """One command to each arm in turn."""
        for arm in self.alive:
            self.turn(arm, {"command": command}, stage)

    def time_rounds(self, rounds: int, relative_width: float, time_cap_s: float) -> None:
        """Rounds of timed calls until every interval is narrow enough, or the cap."""
        from metrics.cost.device import BusyWatch

        samples = self.plan_samples(rounds, time_cap_s)
        watch = BusyWatch(self.arms[0].cell.device)
        began, last_s, wide = time.monotonic(), 0.0, self.timed_keys()
        stopped = dict.fromkeys(wide, f"time cap of {time_cap_s:g} s")
        done = 0
        while self.alive and wide:
            cap_s = time_cap_s if done >= rounds else PATIENCE * time_cap_s
            if done >= FEWEST_ROUNDS and time.monotonic() - began + last_s > cap_s:
                break
            round_began = time.monotonic()
            progress = {"done": done, "total": max(rounds, done + 1), "left_s": max(0, rounds - done) * last_s}
            for arm in self.alive:
                command = {"command": "round", "work": self.work(arm, wide, samples, done)}
                self.turn(arm, command, "timing", **progress)
            last_s = time.monotonic() - round_began
            done += 1
            if done >= rounds:
                narrow = [key for key in wide if self.widest(key) <= relative_width]
                stopped |= dict.fromkeys(narrow, f"intervals within {relative_width:.1%}")
                wide = [key for key in wide if key not in narrow]
        for arm in self.arms:
            arm.record.stopped = stopped
        self.warn(watch.warning())

    def timed_keys(self) -> list[tuple[str, int]]:
        """(kind, length) of everything but whole samples, shortest first."""
        keys = {
            (kind, n) for arm in self.alive for kind in arm.cell.kinds if kind != "sample" for n in arm.cell.lengths
        }
        return sorted(keys, key=lambda key: (key[1], key[0]))

    def work(
        self, arm: _Arm, wide: list[tuple[str, int]], samples: Mapping[int, int], done: int
    ) -> list[dict[str, Any]]:
        """The blocks of one turn."""
        warm_s = arm.record.warm_s
        mine = [(kind, n) for kind, n in wide if kind in arm.cell.kinds and n in arm.cell.lengths]
        blocks = [{"kind": kind, "length": n, "calls": self.calls_of(warm_s.get((kind, n)))} for kind, n in mine]
        return blocks + [
            {"kind": "sample", "length": n, "calls": 1}
            for n in arm.cell.lengths
            if samples.get(n, 0) > done and ("step", n) in warm_s
        ]

    def widest(self, key: tuple[str, int]) -> float:
        """Largest relative half width that an arm still has for one figure; 0 when no living arm measures it."""
        from metrics.statistics.rounds import rounds_interval

        rounds_s = [arm.record.rounds_s(*key) for arm in self.alive if arm.record.all("samples", *key)]
        found = [rounds_interval(one).relative_width for one in rounds_s]
        return max((math.inf if math.isnan(width) else width for width in found), default=0.0)

    def calls_of(self, warm_s: float | None) -> int:
        """Timed calls in a round of what took `warm_s` seconds when warm; short ones get more."""
        return max(self.calls, int(self.block_s / warm_s)) if warm_s else self.calls

    def plan_samples(self, rounds: int, time_cap_s: float) -> dict[int, int]:
        """How many whole samples each arm draws at each length, from what a warm step took; notes what is left out."""
        other_s = sum(
            rounds * (self.calls_of(second) + 1) * second for arm in self.alive for second in arm.record.warm_s.values()
        )
        lengths = sorted({n for arm in self.alive for n in arm.cell.lengths})
        cost_s = {
            n: sum(
                arm.record.warm_s.get(("step", n), 0.0) * arm.cell.sample_steps
                for arm in self.alive
                if n in arm.cell.lengths
            )
            for n in lengths
        }
        planned = samples_planned(cost_s, rounds, time_cap_s, time_cap_s - other_s)
        for n in lengths:
            if planned[n] == 0:
                self.not_planned[n] = (
                    f"not run: one whole sample of each arm would take about {cost_s[n]:.0f} s,"
                    f" more than the time cap of {time_cap_s:g} s leaves"
                )
        return planned

    def kill(self) -> None:
        """End every process at once, whatever it is doing."""
        for arm in self.alive:
            assert arm.process is not None
            arm.process.end(0)

    def end(self) -> None:
        """End every process that is left."""
        for arm in self.alive:
            assert arm.process is not None
            arm.process.close()
            arm.process = None
