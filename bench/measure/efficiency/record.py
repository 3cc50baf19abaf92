"""Record of the measuring processes of one arm: their messages by event, kind of call and length."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

COUNTERS = ("formula", "fvcore", "dispatch", "traffic")
Key = tuple[str, int]
"""(kind of call or counter, length)."""
Message = Mapping[str, Any]
SLOWED = 0.1
"""A CPU is slowed where a probe takes longer than one at full speed by more than this share of it."""


@dataclass
class Record:
    """What the processes of one arm reported, one process a replicate, in seconds, bytes, FLOPs and joules; failures
    with their reasons."""

    messages: dict[str, dict[tuple[str, Any], list[Message]]] = field(default_factory=dict)
    """Event -> (kind, length) -> its messages, oldest first; kind "" and length None where a message has none."""
    stopped: dict[Key, str] = field(default_factory=dict)
    """What ended the timing of a kind at a length."""
    death: tuple[str, str] | None = None
    notes: list[str] = field(default_factory=list)
    repeated: Counter[Key] = field(default_factory=Counter)
    """Repeats of rounds; each has left one of two."""
    slowed_kept: set[Key] = field(default_factory=set)
    """What is timed with the rounds in which the CPU was slowed (see `throttling.keep_slowed`)."""
    full_speed_probe_s: float = math.inf
    """A probe of the CPU at full speed with as many threads as this arm (see `throttling`); infinite before one."""

    def take(self, message: Message) -> None:
        """Add one message of a process; "replicate" is 0 where it has none."""
        key = (message.get("kind", ""), message.get("length"))
        self.messages.setdefault(message["event"], {}).setdefault(key, []).append({"replicate": 0, **message})

    def replace(self, event: str, key: Key, count: int, better: Callable[[Message, Message], bool]) -> None:
        """Where a message came after the first `count`, it repeats the last of them: one of the two is taken out, the
        older where the newer is `better(newer, older)`."""
        messages = self.messages.get(event, {}).get(key, [])
        if len(messages) > count > 0:
            del messages[count - 1 if better(messages[count], messages[count - 1]) else count]
            self.repeated[key] += 1

    def all(self, event: str, kind: str = "", length: int | None = None) -> list[Message]:
        """The messages of an event about a kind of call at a length."""
        return self.messages.get(event, {}).get((kind, length), [])

    def newest(self, event: str, kind: str = "", length: int | None = None) -> Message | None:
        """The last one of `all`, None where there is none."""
        return next(reversed(self.all(event, kind, length)), None)

    def by_length(self, event: str, kind: str) -> dict[Any, Message]:
        """The newest message about a kind of call at each length."""
        found = self.messages.get(event, {}).items()
        return {length: messages[-1] for (one, length), messages in found if one == kind}

    def first(self, event: str, kind: str = "", length: int | None = None) -> Message | None:
        """The first one of `all`, of the first replicate where that has one; None where there is none."""
        return next(iter(self.all(event, kind, length)), None)

    @property
    def warm_s(self) -> dict[Key, float]:
        """Seconds of a warm call of each kind and length."""
        return {key: messages[-1]["warm_s"] for key, messages in self.messages.get("warm", {}).items()}

    def calls(self, length: int, otherwise: int) -> int:
        """Network calls of a piece of this length, as the process predicted them."""
        warm = self.newest("warm", "step", length)
        return int(warm.get("calls", otherwise)) if warm else otherwise

    def timed(self) -> list[Key]:
        """What has been timed, whole samples included."""
        return list(self.messages.get("samples", {}))

    def replicates_s(self, kind: str, length: int, phase: str = "") -> list[list[list[float]]]:
        """Seconds of the timed calls, or of one of their phases: a list a replicate of lists a round.

        A replicate in which this could not be timed has no round. A round that is `left_out` is empty.
        """
        messages = self.all("samples", kind, length)
        left_out = {id(one) for one in self.left_out(kind, length)}

        def round_s(one: Message) -> list[float]:
            if id(one) in left_out:
                return []
            found: list[float] = one["phases_s"].get(phase, []) if phase else one["samples_s"]
            return found

        return _by_replicate(messages, lambda one: [round_s(one)])

    def left_out(self, kind: str, length: int) -> list[Message]:
        """The rounds in which the CPU was slowed; none where it was in all, or where they are kept."""
        messages = [] if (kind, length) in self.slowed_kept else self.all("samples", kind, length)
        slowed = [one for one in messages if self.is_slowed(one)]
        return slowed if len(slowed) < len(messages) else []

    def is_slowed(self, message: Message) -> bool:
        """Whether the CPU was slowed before or after the calls of a message, by the probes so far."""
        return max(message.get("probes_s", []), default=0.0) > (1 + SLOWED) * self.full_speed_probe_s

    def replicates_peaks(self, kind: str, length: int) -> list[list[list[float]]]:
        """Bytes of the memory peaks of a kind of call: a list a replicate of lists of one peak, as of a round."""
        return _by_replicate(self.all("memory", kind, length), lambda one: [[peak] for peak in one["peaks_bytes"]])

    def why_missing(self, figure: str, length: int, prune: bool) -> tuple[str, str, float]:
        """(status, reason, bytes held and requested when memory ran out) of a missing figure: its own failure, one at
        a shorter length, or the process's end. The bytes are NaN where it failed otherwise.

        A figure needs the calls that it is made of: a sample needs steps, "train memory" needs "train" and "step".
        """
        kinds = [figure] if figure in (*COUNTERS, "piece") else ["step", figure.removesuffix(" memory"), figure]
        for kind in kinds:
            if failed := self.newest("failed", kind, length):
                return failed["status"], failed["reason"], failed["asked_bytes"]
        ran_out = [
            n
            for kind in kinds
            for n, failed in self.by_length("failed", kind).items()
            if n < length and failed["status"] == "oom"
        ]
        if ran_out and prune:
            return "oom", f"oom (inferred from length {min(ran_out)})", math.nan
        return (*(self.death or ("failed", "not measured")), math.nan)

    def reason(self, figure: str, otherwise: str) -> str:
        """Why a figure of the whole process is missing: its own failure, the process's end, or `otherwise`."""
        failed = next(iter(self.by_length("failed", figure).values()), None)
        return failed["reason"] if failed else self.death[1] if self.death else otherwise


def _by_replicate(
    messages: Sequence[Message], rounds_of: Callable[[Message], list[list[float]]]
) -> list[list[list[float]]]:
    """The rounds in the messages of each replicate up to the last that has one."""
    found: list[list[list[float]]] = [[] for _ in range(1 + max((one["replicate"] for one in messages), default=-1))]
    for one in messages:
        found[one["replicate"]] += rounds_of(one)
    return found
