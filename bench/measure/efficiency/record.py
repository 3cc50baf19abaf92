"""Record of one measuring process: its figures by kind of call and length."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

COUNTERS = ("formula", "fvcore", "dispatch", "traffic")
Key = tuple[str, int]
"""(kind of call or counter, length)."""


@dataclass
class Record:
    """Figures of one arm in seconds, bytes, FLOPs and joules; failures with their reasons."""

    rounds_s: dict[Key, list[list[float]]] = field(default_factory=dict)
    phases_s: dict[Key, list[list[float]]] = field(default_factory=dict)
    cold_s: dict[Key, float] = field(default_factory=dict)
    warm_s: dict[Key, float] = field(default_factory=dict)
    kernels: dict[int, str] = field(default_factory=dict)
    failures: dict[Key, tuple[str, str]] = field(default_factory=dict)
    asked_bytes: dict[Key, float] = field(default_factory=dict)
    """Of calls that ran out of memory: bytes held and requested."""
    peaks: dict[Key, Mapping[str, Any]] = field(default_factory=dict)
    flops: dict[Key, float] = field(default_factory=dict)
    uncounted: dict[Key, list[str]] = field(default_factory=dict)
    traffic: dict[int, tuple[float, float]] = field(default_factory=dict)
    """Length -> (executed FLOPs, bytes moved) of one step."""
    energy: dict[tuple[str, int | None], tuple[float, int, str]] = field(default_factory=dict)
    """(kind, length) -> (joules, calls, reason); length None where the device has no counter."""
    compiled: dict[Key, tuple[float, list[float]]] = field(default_factory=dict)
    """(kind, length) -> (seconds torch.compile took, seconds of the calls after it)."""
    fits: dict[str, tuple[int | None, int]] = field(default_factory=dict)
    """"batch" or "length" -> (length it was searched at, largest that fits)."""
    stopped: dict[Key, str] = field(default_factory=dict)
    """What ended the timing of a kind at a length."""
    nfe: dict[int, float] = field(default_factory=dict)
    sample_notes: dict[int, str] = field(default_factory=dict)
    """Length -> whether the steps of whole samples were replayed as a CUDA graph, or why not."""
    clocks_disagree: set[Key] = field(default_factory=set)
    ceilings: Mapping[str, Any] | None = None
    parameters: int | None = None
    start_s: tuple[float, float] | None = None
    """Seconds of imports and of building the model."""
    death: tuple[str, str] | None = None
    notes: list[str] = field(default_factory=list)

    def take(self, message: Mapping[str, Any]) -> None:
        """Add one message of the process."""
        getattr(self, f"_take_{message['event']}")(message)

    def _take_ready(self, message: Mapping[str, Any]) -> None:
        self.parameters = message["parameters"]
        self.start_s = (message["import_s"], message["build_s"])

    def _take_warm(self, message: Mapping[str, Any]) -> None:
        key = (message["kind"], message["length"])
        self.cold_s[key], self.warm_s[key] = message["cold_s"], message["warm_s"]
        if message["kernel"]:
            self.kernels[message["length"]] = " ".join(f"{name}={kernel}" for name, kernel in message["kernel"].items())

    def _take_samples(self, message: Mapping[str, Any]) -> None:
        kind, length = message["kind"], message["length"]
        self.rounds_s.setdefault((kind, length), []).append(message["samples_s"])
        for phase, samples_s in message["phases_s"].items():
            self.phases_s.setdefault((phase, length), []).append(samples_s)
        if message["nfe"]:
            self.nfe[length] = message["nfe"][-1]
        if message.get("note"):
            self.sample_notes[length] = message["note"]
        if not message["clocks_agree"]:
            self.clocks_disagree.add((kind, length))

    def _take_memory(self, message: Mapping[str, Any]) -> None:
        self.peaks[message["kind"], message["length"]] = message

    def _take_flops(self, message: Mapping[str, Any]) -> None:
        key = (message["counter"], message["length"])
        self.flops[key] = message["flops"]
        self.uncounted[key] = message.get("uncounted", [])

    def _take_traffic(self, message: Mapping[str, Any]) -> None:
        self.traffic[message["length"]] = (message["executed_flops"], message["moved_bytes"])

    def _take_energy(self, message: Mapping[str, Any]) -> None:
        use = (message["joules"], message.get("calls", 0), message["reason"])
        self.energy[message["kind"], message["length"]] = use

    def _take_compiled(self, message: Mapping[str, Any]) -> None:
        self.compiled[message["kind"], message["length"]] = (message["compile_s"], message["samples_s"])

    def _take_fit(self, message: Mapping[str, Any]) -> None:
        self.fits[message["figure"]] = (message["length"], message["value"])

    def _take_progress(self, message: Mapping[str, Any]) -> None:
        """For the display alone."""

    def _take_ceilings(self, message: Mapping[str, Any]) -> None:
        self.ceilings = {name: value for name, value in message.items() if name != "event"}

    def _take_failed(self, message: Mapping[str, Any]) -> None:
        key = (message["figure"], message["length"])
        self.failures[key] = (message["status"], message["reason"])
        self.asked_bytes[key] = message.get("asked_bytes", math.nan)

    def why_missing(self, figure: str, length: int, prune: bool) -> tuple[str, str]:
        """(status, reason) of a missing figure: its own failure, one at a shorter length, or the process's end.

        A figure needs the calls that it is made of: a sample needs steps, "train memory" needs "train" and "step".
        """
        kinds = _needed(figure)
        key = self._failed(kinds, length)
        if key is not None:
            return self.failures[key]
        ran_out = [
            n for (one, n), (status, _) in self.failures.items() if one in kinds and n < length and status == "oom"
        ]
        if ran_out and prune:
            return "oom", f"oom (inferred from length {min(ran_out)})"
        return self.death or ("failed", "not measured")

    def asked(self, figure: str, length: int) -> float:
        """Bytes held and requested by a missing figure when memory ran out; NaN where it failed otherwise."""
        key = self._failed(_needed(figure), length)
        return math.nan if key is None else self.asked_bytes.get(key, math.nan)

    def _failed(self, kinds: list[str], length: int) -> Key | None:
        return next(((kind, length) for kind in kinds if (kind, length) in self.failures), None)


def _needed(figure: str) -> list[str]:
    """The calls that a figure is made of, and itself."""
    return [figure] if figure in COUNTERS else ["step", figure.removesuffix(" memory"), figure]
