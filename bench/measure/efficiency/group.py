"""Arms of a timing session and their processes: started, given their turns, ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench.child import RETURNED_MEMORY
from bench.errors import CellFailure
from bench.measure.efficiency.cell import EfficiencyCell
from bench.measure.efficiency.process import WorkerProcess
from bench.measure.efficiency.record import Key, Record
from metrics.cost.cores import usable_cores

OnEvent = Callable[[str, dict[str, Any]], None]


@dataclass
class Arm:
    """A cell, its process while it lives, and its record."""

    cell: EfficiencyCell
    record: Record = field(default_factory=Record)
    process: WorkerProcess | None = None


class Group:
    """The arms of one session. Their processes are those of one replicate at a time."""

    def __init__(
        self, cells: Sequence[EfficiencyCell], logs: Mapping[str, Path], on_event: OnEvent, silence_s: float
    ) -> None:
        self.arms = [Arm(cell) for cell in cells]
        self.logs, self.on_event, self.silence_s = logs, on_event, silence_s
        self.turns = self.arms
        """The arms in the order of their turns."""
        self.replicate = 0

    @property
    def alive(self) -> list[Arm]:
        """Arms whose process has not ended, in the order of their turns."""
        return [arm for arm in self.turns if arm.process is not None]

    def begin(self, replicate: int, replicates: int) -> None:
        """Start and warm the processes of a replicate.

        The order of turns is rotated from replicate to replicate, so that no arm is always the first. After the first
        replicate an arm whose process has died stays out, and only what has been timed is warmed and timed again.
        """
        self.replicate = replicate
        shift = replicate * max(1, len(self.arms) // replicates) % len(self.arms)
        self.turns = self.arms[shift:] + self.arms[:shift]
        self._start([arm for arm in self.turns if not replicate or (arm.record.death is None and arm.record.timed())])
        for arm in self.alive:
            self._warm(arm, self.timed_keys(arm))

    @property
    def memory_apart(self) -> bool:
        """Whether memory is measured in processes of its own: on a CPU, where an allocator that makes its peaks repeat
        makes calls slow."""
        return self.arms[0].cell.device == "cpu"

    def begin_memory(self, timed: list[Arm]) -> None:
        """Replace the processes of a replicate by those in which the memory of `timed` arms is measured, warm with what
        was timed."""
        self.end()
        self._start(timed, "starting for memory", RETURNED_MEMORY)
        for arm in self.alive:
            self._warm(arm, [key for key in arm.record.timed() if key[0] != "sample"])

    def _warm(self, arm: Arm, keys: Sequence[Key]) -> None:
        """Run each of `keys` in the process of an arm before any of it is measured."""
        work = [(kind, n, arm.record.warm_s.get((kind, n))) for kind, n in sorted(keys)]
        self.turn(arm, {"command": "warm", "work": work}, "warming up")

    def _start(self, wanted: list[Arm], stage: str = "starting", environment: Mapping[str, str] | None = None) -> None:
        """Start processes, as many at a time as there are cores, and wait until each has built its model."""
        together = usable_cores()
        for first in range(0, len(wanted), together):
            some = wanted[first : first + together]
            for arm in some:
                cell = arm.cell
                self.show(arm, stage)
                arm.process = WorkerProcess(asdict(cell), cell.threads, cell.kernels, self.logs[cell.id], environment)
            for arm in some:
                self.turn(arm)

    def show(self, arm: Arm, stage: str, **more: Any) -> None:
        """Report what is done with an arm now."""
        self.on_event(arm.cell.id, {"event": "progress", "stage": stage, **more})

    def turn(self, arm: Arm, command: Mapping[str, Any] | None = None, stage: str = "", **progress: Any) -> None:
        """The turn of one arm: send the command, if any, and record its answers until it is done or has ended."""
        assert arm.process is not None
        if stage:
            self.show(arm, stage, **progress)
        try:
            if command is not None:
                arm.process.send(command)
            for message in arm.process.answers(self.silence_s):
                arm.record.take({**message, "replicate": self.replicate})
                if message["event"] == "progress":
                    self.on_event(arm.cell.id, message)
                elif message["event"] == "warning":
                    self.warn(message["words"])
        except CellFailure as failure:
            where = f" (in replicate {self.replicate + 1})" if self.replicate else ""
            arm.record.death = (failure.state, failure.reason + where)
            self.show(arm, failure.reason + where)
            arm.process.close()
            arm.process = None

    def everyone(self, command: str, stage: str) -> None:
        """One command to each arm in turn."""
        for arm in self.alive:
            self.turn(arm, {"command": command}, stage)

    def measure_device(self) -> None:
        """Measure the device's ceilings once, and note on every arm which other processes compute meanwhile."""
        from metrics.cost.device import bfloat16_warning, busy_warning

        cell = self.arms[0].cell
        self.warn(busy_warning(cell.device))
        self.warn(bfloat16_warning(cell.device) if cell.precision == "bfloat16" else "")
        for arm in self.alive[:1]:
            self.turn(arm, {"command": "ceilings"})
        if found := next(filter(None, (arm.record.newest("ceilings") for arm in self.arms)), None):
            for arm in self.arms:
                arm.record.take(found)

    def warn(self, warning: str) -> None:
        """Add a warning to the rows of every arm, once: it may concern all of a session."""
        for arm in self.arms if warning else []:
            if warning not in arm.record.notes:
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

    def timed_keys(self, arm: Arm) -> list[Key]:
        """(kind, length) of what is timed of an arm in this replicate, whole samples apart; shortest first."""
        if self.replicate:
            keys = arm.record.timed()
        else:
            keys = [(kind, n) for kind in arm.cell.kinds for n in arm.cell.lengths]
        return sorted((key for key in keys if key[0] != "sample"), key=lambda key: (key[1], key[0]))

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
