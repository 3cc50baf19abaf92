"""Rounds during which the GPU was throttled: timed again after a pause, flagged in the rows where that did not help."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from bench.measure.efficiency.group import Arm, Group
from bench.measure.efficiency.record import Key, Record

REPEATS = 3
"""Times that a round is timed again."""
PAUSE_S = 5.0
"""Wait before that, for the device to cool."""


class Repeats:
    """Repeats of throttled rounds in one session.

    What is still throttled after `REPEATS` repeats is so by its own load: later rounds are flagged and not repeated.
    """

    def __init__(self, group: Group) -> None:
        self.group = group
        self.given_up: set[tuple[str, Key]] = set()

    def after(self, arm: Arm, work: Sequence[Mapping[str, Any]]) -> None:
        """Time the throttled blocks of the turn that has just ended again; a repeat takes the place of its round."""
        for _ in range(REPEATS):
            work = [block for block in work if self._to_repeat(arm, _key(block))]
            if not work or arm.process is None:
                return
            time.sleep(PAUSE_S)
            before = {_key(block): len(arm.record.all("samples", *_key(block))) for block in work}
            self.group.turn(arm, {"command": "round", "work": work}, "timing throttled rounds again")
            for key, count in before.items():
                arm.record.replace("samples", key, count)
        self.given_up |= {(arm.cell.id, _key(block)) for block in work if self._to_repeat(arm, _key(block))}

    def _to_repeat(self, arm: Arm, key: Key) -> bool:
        newest = arm.record.newest("samples", *key)
        return (arm.cell.id, key) not in self.given_up and newest is not None and bool(_state(newest).get("throttled"))


def _key(block: Mapping[str, Any]) -> Key:
    return block["kind"], block["length"]


def _state(message: Mapping[str, Any]) -> dict[str, Any]:
    """What NVML showed after the calls of a message; {} on a CPU."""
    return message.get("gpu", {})


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
