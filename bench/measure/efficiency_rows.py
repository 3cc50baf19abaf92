"""From what a measuring process said to rows of the result table: a median and its interval, or why there is none."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bench.measure.rows import row

if TYPE_CHECKING:
    from bench.measure.efficiency import EfficiencyCell

GIB = 2**30
MS = 1e3
LATENCIES = {
    "step": ("step_latency", "ms", MS),
    "train": ("train_step_latency", "ms", MS),
    "sample": ("sample_latency", "s", 1.0),
}
"""Kind of call -> metric, unit, what a second is in that unit."""
PEAKS = {"step": "peak_memory_inference", "train": "peak_memory_training"}
COUNTS = {"formula": "forward_gflops", "fvcore": "forward_gflops_fvcore", "dispatch": "forward_gflops_dispatch"}
DEFINITIONS = {
    "step_latency": "one forward pass of the denoiser as the sampler calls it, median of warm calls v1",
    "step_latency_cold": "first forward pass of the process at this length v1",
    "train_step_latency": "forward with loss, backward and AdamW update on one batch, median of warm calls v1",
    "sample_latency": "a whole sample from all-MASK to tokens, every step run, median of calls v1",
    "tokens_per_second": "batch x length / step_latency v1",
    "peak_memory_inference": "peak growth over the process without a model: weights, activations, workspace v1",
    "peak_memory_training": "peak growth over the process without a model, in a step with optimiser state v1",
    "forward_gflops": "own formula, one sequence, forward, multiply-add = 2, scan 9 L D N v1",
    "forward_gflops_fvcore": "fvcore with rules for attention and scan, no norms, one sequence, multiply-add = 2 v1",
    "forward_gflops_dispatch": "FlopCounterMode with rules for attention and scan, one sequence, multiply-add = 2 v1",
    "parameters": "trained values, shared ones once v1",
}
Key = tuple[str, int]


@dataclass
class Record:
    """Everything one measuring process has told, by kind of call and length."""

    rounds_s: dict[Key, list[list[float]]] = field(default_factory=dict)
    phases_s: dict[tuple[str, int], list[list[float]]] = field(default_factory=dict)
    cold_s: dict[Key, float] = field(default_factory=dict)
    warm_s: dict[Key, float] = field(default_factory=dict)
    kernels: dict[int, str] = field(default_factory=dict)
    failures: dict[Key, tuple[str, str]] = field(default_factory=dict)
    peak_bytes: dict[Key, tuple[float, str]] = field(default_factory=dict)
    flops: dict[Key, float] = field(default_factory=dict)
    uncounted: dict[Key, list[str]] = field(default_factory=dict)
    nfe: dict[int, float] = field(default_factory=dict)
    clocks_disagree: set[Key] = field(default_factory=set)
    parameters: int | None = None
    death: tuple[str, str] | None = None
    ended_by: str = ""

    def take(self, message: Mapping[str, Any]) -> None:
        """Book one message of the process."""
        getattr(self, f"_take_{message['event']}")(message)

    def _take_ready(self, message: Mapping[str, Any]) -> None:
        self.parameters = message["parameters"]

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
        if not message["clocks_agree"]:
            self.clocks_disagree.add((kind, length))

    def _take_memory(self, message: Mapping[str, Any]) -> None:
        self.peak_bytes[message["kind"], message["length"]] = (message["peak_bytes"], message["reason"])

    def _take_flops(self, message: Mapping[str, Any]) -> None:
        key = (message["counter"], message["length"])
        self.flops[key] = message["flops"]
        self.uncounted[key] = message.get("uncounted", [])

    def _take_failed(self, message: Mapping[str, Any]) -> None:
        self.failures[message["kind"], message["length"]] = (message["status"], message["reason"])

    def why_missing(self, kind: str, length: int, prune: bool) -> tuple[str, str]:
        """(status, reason) of a missing figure: its own failure, one at a shorter length, or the process's end."""
        kinds = (kind,) if kind in {"step", *COUNTS} else ("step", kind)
        for one in kinds:
            if (one, length) in self.failures:
                return self.failures[one, length]
        shorter = [
            n for (one, n), (status, _) in self.failures.items() if one in kinds and n < length and status == "oom"
        ]
        if shorter and prune:
            return "oom", f"oom (inferred from length {min(shorter)})"
        return self.death or ("failed", "not measured")


def rows_of(cell: EfficiencyCell, record: Record, not_planned: Mapping[int, str]) -> list[dict[str, Any]]:
    """All rows of one arm; `not_planned` says for which lengths no whole sample was drawn, and why."""
    rows = []
    for length in cell.lengths:
        found = [_latency_row(cell, record, kind, length, not_planned) for kind in cell.kinds]
        found += _phase_rows(cell, record, length) + _derived_rows(cell, record, length)
        found += [_peak_row(cell, record, kind, length) for kind in cell.kinds if kind in PEAKS]
        found += [_flops_row(cell, record, counter, length) for counter in COUNTS]
        found.append(_parameters_row(record))
        for one in found:
            one.setdefault("definition", DEFINITIONS.get(one["metric"], f"{one['metric']} v1"))
            one |= {"length": length, "kernel": record.kernels.get(length, "")}
            one.setdefault("batch", cell.batch)
        rows += found
    return rows


def _missing(metric: str, unit: str, why: tuple[str, str]) -> dict[str, Any]:
    status, reason = why
    return row(metric, math.nan, unit, low=math.nan, high=math.nan, n=0, reason=reason, status=status, raw=[])


def _timing(metric: str, unit: str, scale: float, rounds_s: list[list[float]]) -> dict[str, Any]:
    """A row of timed calls; `raw` in the row's unit, `round_sizes` says how it falls into rounds."""
    from metrics.statistics import rounds_interval

    rounds = [[sample * scale for sample in one] for one in rounds_s]
    interval = rounds_interval(rounds)
    raw = [sample for one in rounds for sample in one]
    sizes = [len(one) for one in rounds]
    bounds = {"low": interval.low, "high": interval.high, "n": interval.n}
    return row(metric, interval.value, unit, reason="", status="done", raw=raw, round_sizes=sizes, **bounds)


def _latency_row(
    cell: EfficiencyCell, record: Record, kind: str, length: int, not_planned: Mapping[int, str]
) -> dict[str, Any]:
    metric, unit, scale = LATENCIES[kind]
    rounds_s = record.rounds_s.get((kind, length), [])
    if rounds_s:
        found = _timing(metric, unit, scale, rounds_s)
        notes = [record.ended_by] + ["clocks disagree"] * ((kind, length) in record.clocks_disagree)
        found["note"] = "; ".join(note for note in [*notes, record.death[1] if record.death else ""] if note)
    else:
        why = record.why_missing(kind, length, cell.prune)
        if kind == "sample" and why == ("failed", "not measured") and length in not_planned:
            why = ("timeout", not_planned[length])
        found = _missing(metric, unit, why)
    if kind == "sample":
        nfe = record.nfe.get(length)
        found |= {"sample_steps": cell.sample_steps, "sampler": cell.sampler, "nfe": round(nfe) if nfe else None}
    return found | {"batch": cell.training_batch if kind == "train" else cell.batch}


def _phase_rows(cell: EfficiencyCell, record: Record, length: int) -> list[dict[str, Any]]:
    """The three parts of a training step, where it was measured."""
    return [
        _timing(f"train_{phase}_latency", "ms", MS, rounds_s) | {"batch": cell.training_batch}
        for (phase, at), rounds_s in record.phases_s.items()
        if at == length
    ]


def _derived_rows(cell: EfficiencyCell, record: Record, length: int) -> list[dict[str, Any]]:
    """The cold call, and tokens a second from the same calls as the latency."""
    from metrics.statistics import rounds_interval

    rounds_s = record.rounds_s.get(("step", length), [])
    if not rounds_s:
        return []
    step, tokens = rounds_interval(rounds_s), cell.batch * length
    slowest = tokens / step.high if step.high else math.nan
    fastest = tokens / step.low if step.low > 0 else math.nan
    return [
        row("step_latency_cold", record.cold_s["step", length] * MS, "ms", n=1, reason="", status="done", raw=[]),
        row("tokens_per_second", tokens / step.value, "tokens/s", low=slowest, high=fastest, n=step.n, reason="",
            status="done", raw=[]),
    ]  # fmt: skip


def _peak_row(cell: EfficiencyCell, record: Record, kind: str, length: int) -> dict[str, Any]:
    metric = PEAKS[kind]
    peak_bytes, reason = record.peak_bytes.get((kind, length), (math.nan, ""))
    batch = {"batch": cell.training_batch if kind == "train" else cell.batch}
    if math.isnan(peak_bytes):
        return (
            _missing(metric, "GiB", ("failed", reason) if reason else record.why_missing(kind, length, cell.prune))
            | batch
        )
    return row(metric, peak_bytes / GIB, "GiB", n=1, reason="", status="done", raw=[peak_bytes / GIB]) | batch


def _flops_row(cell: EfficiencyCell, record: Record, counter: str, length: int) -> dict[str, Any]:
    key = (counter, length)
    if key not in record.flops:
        return _missing(COUNTS[counter], "GFLOPs", record.why_missing(counter, length, cell.prune)) | {"batch": 1}
    uncounted = record.uncounted[key]
    note = "not counted: " + ", ".join(uncounted) if uncounted else ""
    value = record.flops[key] / 1e9
    return row(COUNTS[counter], value, "GFLOPs", n=1, reason="", status="done", raw=[value], note=note, batch=1)


def _parameters_row(record: Record) -> dict[str, Any]:
    if record.parameters is None:
        return _missing("parameters", "1", record.death or ("failed", "not measured"))
    return row("parameters", record.parameters, "1", n=1, reason="", status="done", raw=[float(record.parameters)])
