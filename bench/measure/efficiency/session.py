"""A timing session: one process per arm in each replicate, all arms in turns, so that drift of the machine affects
every arm alike."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.measure.efficiency.cell import EfficiencyCell, EfficiencyError
from bench.measure.efficiency.group import Arm, Group, OnEvent
from bench.measure.efficiency.kept import KeptReplicates
from bench.measure.efficiency.latency_rows import spreads_of
from bench.measure.efficiency.record import Key
from bench.measure.efficiency.rows import PEAK_MEMORY, rows_of
from bench.measure.efficiency.throttling import Repeats, keep_slowed

SILENCE_S = 900.0
"""Seconds without a message after which a measuring process counts as stuck; one comes after every block of calls."""
FEWEST_ROUNDS = 2
"""Rounds of the first replicate that are run however long they take: where no other follows, one has no interval."""
SAMPLE_S = 1.0
"""Seconds for which whole samples of one length are drawn in a round where one takes less."""
PEAKS = 3
"""Memory peaks measured of each call in the first replicate: where no other follows, one has no interval."""
PATIENCE = 3
"""The first `rounds` rounds and the starts of further replicates may take this many time caps before they are cut."""


def measure_group(
    cells: Sequence[EfficiencyCell],
    *,
    rounds: int = 5,
    replicates: int = 3,
    calls_per_round: int = 4,
    seconds_per_round: float = 0.0,
    sample_rounds: int = 1,
    relative_width: float = 0.02,
    time_cap_s: float = 150.0,
    on_event: OnEvent | None = None,
    log_folder: Path | Mapping[str, Path],
    silence_s: float = SILENCE_S,
    counts: bool = True,
    kept: KeptReplicates | None = None,
) -> dict[str, list[dict[str, Any]]]:
    """Measure all arms, taking turns in rounds (A B C A B C), and return the rows of each by cell id.

    Two processes of one model keep a small difference for life, so everything timed in rounds is timed in `replicates`
    replicates, one after the other: the processes of all arms are started, warmed, timed for their share of `rounds`
    rounds, and ended. Then those lengths go on of which one process's own time is not yet known to `relative_width`,
    until the replicate's share of `time_cap_s` seconds is spent; `stopped_by` says which ended it. Where `PATIENCE`
    caps leave no time for it, a further replicate is not begun, which `stopped_by` says too; one is always whole.
    What is timed is called `calls_per_round` times in a round, or as often as fits into `seconds_per_round` where that
    is more, and again where the device was slowed (see `throttling`). Whole samples are drawn in `sample_rounds` rounds
    of each replicate where there is time (see `samples_planned`), and memory is measured, on a CPU in further processes
    of its own. FLOPs, energy and compilation are of the first; without `counts` FLOPs, launches, energy and computed
    memory are left out.
    Each whole replicate is written to `kept`, and those found there are not timed again, which a note on the rows says.
    A process that dies leaves what it has measured with the reason, and NaN for the rest; the others go on.
    `on_event(cell id, event)` is called at each step (`stage`, `done`, `total`, `left_s`). `log_folder`: a folder (for
    `<cell id>.log`), or log paths by cell id. Raises EfficiencyError for settings that cannot be used; on
    KeyboardInterrupt all processes are ended first.
    """
    for name, value in (
        ("rounds", rounds),
        ("replicates", replicates),
        ("calls_per_round", calls_per_round),
        ("sample_rounds", sample_rounds),
    ):
        if value < 1:
            raise EfficiencyError(f"efficiency: {name} = {value}; allowed: at least 1")
    for name, amount in (("relative_width", relative_width), ("time_cap_s", time_cap_s), ("silence_s", silence_s)):
        if not amount > 0:
            raise EfficiencyError(f"efficiency: {name} = {amount:g}; allowed: a positive number")
    if len({cell.id for cell in cells}) < len(cells):
        raise EfficiencyError("efficiency: two cells have the same id")
    logs = log_folder if isinstance(log_folder, Mapping) else {cell.id: log_folder / f"{cell.id}.log" for cell in cells}
    group = Group(cells, logs, on_event or (lambda cell_id, event: None), silence_s)
    session = Session(
        group, rounds, replicates, calls_per_round, seconds_per_round, relative_width, time_cap_s, counts, sample_rounds
    )
    done = kept.take_over(session) if kept else 0
    if 0 < done < replicates:
        group.warn(f"interrupted after {done} of {replicates} replicates")
    try:
        for replicate in range(done, replicates):
            if replicate and not session.time_for_another():
                break
            session.replicate(replicate)
            group.end()
            if kept:
                kept.keep(session)
    except BaseException:
        group.kill()
        raise
    finally:
        group.end()
    keep_slowed([arm.record for arm in group.arms])
    spreads = spreads_of([arm.record for arm in group.arms])
    return {arm.cell.id: rows_of(arm.cell, arm.record, session.not_planned, spreads) for arm in group.arms}


def samples_planned(cost_s: Mapping[int, float], most: int, time_cap_s: float, left_s: float) -> dict[int, int]:
    """In how many rounds, at most `most`, whole samples are drawn at each length, which costs `cost_s` seconds each
    time: in one at each, shortest first, while those take no more than the time cap, so that a table is full where it
    can be; in further ones only in the `left_s` seconds that other calls leave. The first of each replicate come before
    the second of any."""
    planned, spent_s = dict.fromkeys(sorted(cost_s), 0), 0.0
    for turn in range(most):
        for length in planned:
            budget_s = time_cap_s if turn == 0 else left_s
            if planned[length] == turn and spent_s + cost_s[length] <= budget_s:
                planned[length] += 1
                spent_s += cost_s[length]
    return planned


def _draws(one_s: float) -> int:
    """Whole samples of `one_s` seconds that an arm draws in a round at one length."""
    return max(1, int(SAMPLE_S / one_s))


class Session:
    """The rounds of a group of arms, and what is left of the time for them."""

    def __init__(
        self, group: Group, rounds: int, replicates: int, calls: int, block_s: float, relative_width: float,
        time_cap_s: float, counts: bool = True, sample_rounds: int = 1,
    ) -> None:  # fmt: skip
        self.group, self.rounds, self.replicates, self.counts = group, rounds, replicates, counts
        self.calls, self.block_s, self.sample_rounds = calls, block_s, sample_rounds
        self.relative_width, self.time_cap_s = relative_width, time_cap_s
        self.share = math.ceil(rounds / replicates)
        self.not_planned: dict[int, str] = {}
        self.sample_s: dict[int, float] = {}
        """Seconds that the whole samples of all arms take in a round at each length."""
        self.samples: dict[int, int] = {}
        """Rounds in which each arm draws some."""
        self.repeats = Repeats(group)
        self.spent_s = self.starts_s = self.last_start_s = self.last_round_s = 0.0
        """Seconds of rounds and samples; of the starts after the first, memory included; of the newest, likewise; of
        its last round."""

    def replicate(self, number: int) -> None:
        """One replicate, `number` from 0: fresh processes, and their rounds."""
        began = time.monotonic()
        self.group.begin(number, self.replicates)
        self.last_start_s = time.monotonic() - began
        if number:
            self.starts_s += self.last_start_s
        else:
            self.group.measure_device()
            self.plan_samples()
        self.draw_samples(number)
        self.time_rounds(number)
        timed = self.group.alive
        if not self.group.memory_apart:
            self.measure_memory(number)
        if number == 0:
            if self.counts:
                self.group.everyone("audit", "counting FLOPs")
            self.group.optional()
        if self.group.memory_apart:
            self.measure_memory(number, timed)

    def time_for_another(self) -> bool:
        """Whether a further replicate, of one round at least, fits; where not, what was timed says so."""
        number = self.group.replicate + 1
        need_s = self.last_start_s + self.last_round_s + self.samples_s(number, number + 1)
        timed = [arm for arm in self.group.arms if arm.record.death is None and arm.record.timed()]
        if timed and need_s <= PATIENCE * self.time_cap_s - self.spent_s - self.starts_s:
            return True
        for arm in self.group.arms:
            reason = f"{number} of {self.replicates} replicates: time cap of {self.time_cap_s:g} s"
            arm.record.stopped = {key: f"{words}; {reason}" for key, words in arm.record.stopped.items()}
        return False

    def draw_samples(self, number: int) -> None:
        """The whole samples of a replicate, at the lengths that are planned for it."""
        began = time.monotonic()
        for turn in self.sample_turns(number):
            for arm in self.group.alive:
                work = [
                    {"kind": "sample", "length": n, "calls": _draws(one_s)}
                    for n in arm.cell.lengths
                    if self.samples[n] > turn and (one_s := self.one_sample_s(arm, n))
                ]
                if work:
                    self.repeats.turn(arm, work, "drawing whole samples")
        self.spent_s += time.monotonic() - began

    def measure_memory(self, number: int, apart: list[Arm] | None = None) -> None:
        """The memory peaks of a replicate: several of each call in the first, one in a further one of those.

        `apart`: the arms for which further processes are begun, where those that were timed do not measure it.
        """
        began = time.monotonic()
        if apart is not None:
            self.group.begin_memory(apart)
        for arm in self.group.alive:
            timed = arm.record.timed()
            work = {
                kind: list(arm.record.by_length("memory", kind)) if number else [n for one, n in timed if one == kind]
                for kind in PEAK_MEMORY
                if kind in arm.cell.kinds
            }
            command = {
                "command": "memory",
                "work": work,
                "peaks": 1 if number else PEAKS,
                "computed": self.counts and not number,
            }
            self.group.turn(arm, command, "measuring memory")
        took_s = time.monotonic() - began if number else 0.0  # the first replicate's is beside the caps
        self.starts_s += took_s
        self.last_start_s += took_s

    def one_sample_s(self, arm: Arm, length: int) -> float:
        """Seconds that a whole sample takes by the time of a warm step; 0 where no step was warmed."""
        return arm.record.warm_s.get(("step", length), 0.0) * arm.record.calls(length, arm.cell.sample_steps)

    def sample_turns(self, number: int) -> range:
        """The rounds of whole samples in a replicate, in the order in which they are planned: `samples_planned`."""
        return range(number, self.replicates * self.sample_rounds, self.replicates)

    def samples_s(self, first: int, end: int) -> float:
        """Seconds of the whole samples that are planned for the replicates from `first` to before `end`."""
        turns = [turn for number in range(first, end) for turn in self.sample_turns(number)]
        return sum(self.sample_s[n] * sum(turn < count for turn in turns) for n, count in self.samples.items())

    def time_rounds(self, number: int) -> None:
        """Rounds of timed calls of one replicate until its times are known well enough, or its share of the cap."""
        from metrics.cost.device import BusyWatch

        group, left = self.group, self.replicates - number
        ahead_s = self.samples_s(number + 1, self.replicates)
        gone_s = self.spent_s + ahead_s
        further_s = (self.time_cap_s - gone_s) / left
        most_s = (PATIENCE * self.time_cap_s - gone_s - self.starts_s) / left
        fewest = 1 if number else FEWEST_ROUNDS
        watch = BusyWatch(group.arms[0].cell.device)
        began, last_s, done = time.monotonic(), 0.0, 0
        wide = sorted({key for arm in group.alive for key in group.timed_keys(arm)}, key=lambda key: (key[1], key[0]))
        stopped = dict.fromkeys(wide, f"time cap of {self.time_cap_s:g} s")
        while group.alive and wide:
            cap_s = further_s if done >= self.share else most_s
            if done >= fewest and time.monotonic() - began + last_s > cap_s:
                break
            round_began = time.monotonic()
            ahead = max(0, self.share - done) + (left - 1) * self.share
            progress = {"done": number * self.share + done, "total": max(self.replicates * self.share, done + 1)}
            for arm in group.alive:
                work, left_s = self.work(arm, wide), ahead * last_s + (left - 1) * self.last_start_s + ahead_s
                self.repeats.turn(arm, work, "timing", **progress, left_s=left_s)
            last_s = time.monotonic() - round_began
            done += 1
            if done >= self.share:
                narrow = [key for key in wide if self.width(key) <= self.relative_width]
                stopped |= dict.fromkeys(narrow, f"intervals within {self.relative_width:.1%}")
                wide = [key for key in wide if key not in narrow]
        for arm in group.arms:
            arm.record.stopped |= stopped
        self.spent_s += time.monotonic() - began
        self.last_round_s = last_s
        group.warn(watch.warning())

    def work(self, arm: Arm, wide: Sequence[Key]) -> list[dict[str, Any]]:
        """The blocks of one turn."""
        warm_s, mine = arm.record.warm_s, set(self.group.timed_keys(arm))
        return [
            {"kind": kind, "length": n, "calls": self.calls_of(warm_s.get((kind, n)))}
            for kind, n in wide
            if (kind, n) in mine
        ]

    def width(self, key: Key) -> float:
        """Half width of the interval of one process's own time in this replicate, as a share of it: the largest among
        the living arms, with the spread of rounds within a process pooled over all processes so far. Infinite where
        that is not known; 0 where no living arm is timed here.
        """
        from metrics.statistics.replicates import pooled_spread
        from metrics.statistics.rounds import round_medians

        times: list[list[list[float]]] = [
            [[time for time in round_medians(rounds) if time > 0] for rounds in arm.record.replicates_s(*key)]
            for arm in self.group.arms
        ]
        spread = pooled_spread(medians for processes in times for medians in processes)
        here = [
            len(processes[self.group.replicate])
            for arm, processes in zip(self.group.arms, times, strict=True)
            if arm.process is not None and len(processes) > self.group.replicate
        ]
        share = spread.share(min(here, default=0))
        return 0.0 if not here else math.inf if math.isnan(share) else share

    def calls_of(self, warm_s: float | None) -> int:
        """Timed calls in a round of what took `warm_s` seconds when warm; short ones get more."""
        return max(self.calls, int(self.block_s / warm_s)) if warm_s else self.calls

    def plan_samples(self) -> None:
        """Plan in how many rounds each arm draws samples at each length, from what a warm step took; what is left out
        is noted."""
        alive = self.group.alive
        other_s = sum(
            self.rounds * (self.calls_of(second) + 1) * second for arm in alive for second in arm.record.warm_s.values()
        )
        self.sample_s = {
            n: sum(_draws(one_s) * one_s for arm in alive if (one_s := self.one_sample_s(arm, n)))
            for n in sorted({n for arm in alive for n in arm.cell.lengths})
        }
        left_s, cap = self.time_cap_s - other_s, f"time cap of {self.time_cap_s:g} s"
        most = self.replicates * self.sample_rounds
        self.samples = samples_planned(self.sample_s, most, self.time_cap_s, left_s)
        for n, count in self.samples.items():
            fewer = ""
            if count < self.replicates:
                fewer = f", none in the last {self.replicates - count} replicates: {cap}"
            elif count < most:
                fewer = f", {count} of {most} rounds: {cap}"
            for arm in self.group.arms:
                arm.record.stopped["sample", n] = f"planned samples{fewer}"
            if count == 0:
                self.not_planned[n] = (
                    f"not run: whole samples of each arm would take about {self.sample_s[n]:.0f} s,"
                    f" more than the {cap} leaves"
                )
