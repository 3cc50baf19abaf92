"""Rounds during which the device was slow, a GPU throttled or a CPU slowed by its neighbours: timed again after a
pause; where that did not help, flagged on a GPU, and on a CPU left out or, where few rounds were not slow, flagged."""

from __future__ import annotations

import time
from bisect import insort
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from bench.measure.efficiency.group import Arm, Group
from bench.measure.efficiency.record import SLOWED, Key, Message, Record

REPEATS = 3
"""Times that a round is timed again."""
PAUSE_S = 5.0
"""Wait before that, for the device to cool."""
CPU_PAUSE_S = 1.0
"""Wait before that on a CPU, for a neighbour to finish."""
FEWEST_REPLICATES = 2
"""Replicates with a round at full speed that each arm has where slowed rounds are left out; fewer decide nothing."""
FULL_SPEED = 0.05
"""A CPU is at full speed where a probe takes as long as this quantile of those of the session: the fastest of thousands
is 5 % faster than what the same machine keeps up."""


class Repeats:
    """The turns of timed calls in one session, with repeats of the slow blocks.

    A GPU that is still throttled after `REPEATS` repeats is so by its own load: later rounds are flagged and not
    repeated. A CPU may be free again in a later round. Its repeats take no longer than the first tries so far, of the
    tries of a round the one with the fastest probes is kept, not the last, and what is slowed still is left out of the
    times of all arms, or of none (see `keep_slowed`).
    """

    def __init__(self, group: Group) -> None:
        self.group = group
        self.given_up: set[tuple[str, Key]] = set()
        self.probes_s: dict[int, list[float]] = {}
        """Number of threads -> seconds of the probes so far, sorted."""
        self.first_s = self.repeats_s = 0.0
        """Seconds of first tries; of repeats on a CPU, pauses included."""

    def turn(self, arm: Arm, work: Sequence[Mapping[str, Any]], stage: str, **progress: Any) -> None:
        """One turn of timed calls. Its slow blocks are timed again; the better of round and repeat is kept."""
        began, before = time.monotonic(), self._counts(arm, work)
        self._round(arm, work, stage, **progress)
        self.first_s += time.monotonic() - began
        after = self._counts(arm, work)
        work = [block for block in work if after[_key(block)] > before[_key(block)]]
        for _ in range(REPEATS):
            work = [block for block in work if self._to_repeat(arm, block)]
            if not work or arm.process is None:
                return
            on_cpu = any(_probes(_newest(arm, block)) for block in work)
            if on_cpu and not self._time_for(arm, work):
                return
            began, before = time.monotonic(), self._counts(arm, work)
            time.sleep(CPU_PAUSE_S if on_cpu else PAUSE_S)
            self._round(arm, work, f"timing {'slowed' if on_cpu else 'throttled'} rounds again")
            for key, count in before.items():
                arm.record.replace("samples", key, count, _is_better)
            self.repeats_s += time.monotonic() - began if on_cpu else 0.0
        self.given_up |= {(arm.cell.id, _key(block)) for block in work if self._to_repeat(arm, block)}

    def _round(self, arm: Arm, work: Sequence[Mapping[str, Any]], stage: str, **progress: Any) -> None:
        """A turn, and what a probe takes at full speed by those so far."""
        before = self._counts(arm, work)
        self.group.turn(arm, {"command": "round", "work": work}, stage, **progress)
        after = self._counts(arm, work)
        probes_s = self.probes_s.setdefault(arm.cell.threads, [])
        for block in (one for one in work if after[_key(one)] > before[_key(one)]):
            for probe_s in _probes(_newest(arm, block)):
                insort(probes_s, probe_s)
        for other in self.group.arms:
            if probes_s and other.cell.threads == arm.cell.threads:
                other.record.full_speed_probe_s = probes_s[int(FULL_SPEED * len(probes_s))]

    def _counts(self, arm: Arm, work: Sequence[Mapping[str, Any]]) -> dict[Key, int]:
        """The rounds of each block so far."""
        return {_key(block): len(arm.record.all("samples", *_key(block))) for block in work}

    def _to_repeat(self, arm: Arm, block: Mapping[str, Any]) -> bool:
        newest, key = _newest(arm, block), _key(block)
        if _probes(newest):
            return arm.record.is_slowed(newest)
        is_left = key[0] == "sample" or (arm.cell.id, key) in self.given_up  # samples of a throttled GPU are flagged
        return not is_left and bool(_state(newest).get("throttled"))

    def _time_for(self, arm: Arm, work: Sequence[Mapping[str, Any]]) -> bool:
        """Whether repeats on a CPU stay within the time of the first tries with one more of these blocks."""
        calls_s = sum(sum(_newest(arm, block)["samples_s"]) for block in work)
        return self.repeats_s + CPU_PAUSE_S + calls_s <= self.first_s


def keep_slowed(records: Sequence[Record]) -> None:
    """Keep the slowed rounds of what was timed, of all arms, where one arm would be left with too few replicates.

    A time at full speed beside one with slowed rounds compares no arms: where each arm was rid of its slowed rounds as
    far as it had others, some of 22 equal arms was called different in 77 % of simulated sessions with a fifth of their
    rounds at full speed; by this rule in 3 % (`tools/simulate_timings.py`).
    """
    for key in {key for record in records for key in record.timed()}:
        if any(_has_few(record, key) for record in records):
            for record in records:
                record.slowed_kept.add(key)


def _has_few(record: Record, key: Key) -> bool:
    """Whether an arm has fewer replicates at full speed than FEWEST_REPLICATES, and than it has in all."""
    messages = record.all("samples", *key)
    timed = {one["replicate"] for one in messages}
    at_full_speed = {one["replicate"] for one in messages if not record.is_slowed(one)}
    return len(at_full_speed) < min(FEWEST_REPLICATES, len(timed))


def _is_better(newer: Message, older: Message) -> bool:
    """Whether a repeat takes the place of its round: always on a GPU, on a CPU where its slower probe was faster."""
    return not _probes(newer) or not _probes(older) or max(_probes(newer)) < max(_probes(older))


def _newest(arm: Arm, block: Mapping[str, Any]) -> Message:
    """The last round of a block; {} where there is none."""
    return arm.record.newest("samples", *_key(block)) or {}


def _probes(message: Message) -> list[float]:
    """Seconds of the probes before and after the calls of a message; [] on a GPU."""
    return message.get("probes_s", [])


def _key(block: Mapping[str, Any]) -> Key:
    return block["kind"], block["length"]


def _state(message: Mapping[str, Any]) -> dict[str, Any]:
    """What NVML showed after the calls of a message; {} on a CPU."""
    return message.get("gpu", {})


def probes_of(record: Record, kind: str, length: int) -> list[list[float]]:
    """Seconds of the probes before and after each round of timed calls; [] on a GPU."""
    probes_s = [_probes(message) for message in record.all("samples", kind, length)]
    return probes_s if any(probes_s) else []


def slow_notes(record: Record, kind: str, length: int) -> list[str]:
    """Notes of a row of timed calls: how many rounds were timed again, and which stayed slow on a CPU."""
    repeated, rounds = record.repeated[kind, length], len(probes_of(record, kind, length))
    what = "slowed" if rounds else "throttled"
    notes = [f"{repeated} {what} round{'s' * (repeated > 1)} timed again"] if repeated else []
    slower = f"machine slower by over {100 * SLOWED:.0f} %"
    if left_out := record.left_out(kind, length):
        notes.append(f"{len(left_out)} of {rounds} rounds left out: {slower}")
    elif slowed := sum(map(record.is_slowed, record.all("samples", kind, length))):
        notes.append(f"{slower} in {slowed} of {rounds} rounds")
    return notes


def gpu_states(record: Record, kind: str, length: int) -> list[dict[str, Any]]:
    """What NVML showed after each round of timed calls; [] on a CPU."""
    states = [_state(message) for message in record.all("samples", kind, length)]
    return states if any(states) else []


def gpu_columns(record: Record, kind: str, length: int) -> dict[str, Any]:
    """Columns of a row of timed calls: clock, temperature and power over its rounds, and whether some were throttled;
    {} where nothing was read."""
    states = gpu_states(record, kind, length)

    def known(name: str) -> list[float]:
        return [state[name] for state in states if name in state]

    read = [state["throttled"] for state in states if "throttled" in state]
    causes = dict.fromkeys(cause for causes in read for cause in causes)
    found: dict[str, Any] = {}
    for name, column in (("sm_clock_mhz", median), ("temperature_c", max), ("power_w", median)):
        found |= {name: column(known(name))} if known(name) else {}
    if causes:
        found["throttled"] = f"{' and '.join(causes)} in {sum(map(bool, read))} of {len(read)} rounds"
    return found
