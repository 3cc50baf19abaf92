"""Rows of the result table from the record of a measuring process: a value with its interval, or why there is none."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bench.measure.efficiency.latency_rows import (
    GIB,
    MEMORY,
    MS,
    derived_rows,
    latency_row,
    peak_row,
    phase_rows,
    unmeasured,
)
from bench.measure.efficiency.record import Record
from bench.measure.rows import missing, row
from metrics.cost import quantities as cost
from metrics.quantities import quantity_of

if TYPE_CHECKING:
    from bench.measure.efficiency.cell import EfficiencyCell
    from bench.measure.efficiency.latency_rows import Spreads

GIGA = 1e9
COUNTED = "counted, no formula of its own"
"""Note on the FLOPs of a denoiser that states none."""
FITS = {
    "batch": cost.LARGEST_BATCH_TRAINING,
    "length": cost.LARGEST_LENGTH_TRAINING,
    "pieces": cost.LARGEST_BATCH_SAMPLING,
}
MIB = 2**20
SLOW_FALLBACKS = {"scan": ("torch", "reference"), "sdpa": ("math",), "ssd": ("torch",), "gla": ("torch",)}
"""Kernels that run where a fused one is not there; rows made with them say so."""
ENERGY = {"step": cost.STEP_ENERGY, "train": cost.TRAIN_STEP_ENERGY, "sample": cost.SAMPLE_ENERGY}
ENERGY_COLUMNS = ("value", "low", "high", "n", "raw", "reason", "note")
COMPILED = {
    "step": (cost.COMPILE_TIME, cost.STEP_LATENCY_COMPILED),
    "train": (cost.TRAIN_COMPILE_TIME, cost.TRAIN_STEP_LATENCY_COMPILED),
}
"""Kind of call -> time of the compilation, latency after it."""
PEAK_MEMORY = {"step": cost.PEAK_MEMORY_INFERENCE, "train": cost.PEAK_MEMORY_TRAINING}
HELD = {
    "step": {"reserved_bytes": cost.RESERVED_MEMORY_INFERENCE, "device_bytes": cost.DRIVER_MEMORY_INFERENCE},
    "train": {"reserved_bytes": cost.RESERVED_MEMORY_TRAINING, "device_bytes": cost.DRIVER_MEMORY_TRAINING},
}
"""Kind of call -> key of a peak message -> memory that the allocator or the driver held, CUDA only."""
COUNTS = {
    "formula": cost.FORWARD_GFLOPS,
    "fvcore": cost.FORWARD_GFLOPS_FVCORE,
    "dispatch": cost.FORWARD_GFLOPS_DISPATCH,
}


def session_rows(cell: EfficiencyCell, record: Record) -> list[dict[str, Any]]:
    """Start of the process, ceilings of the device, compilation, what fits a budget, memory by the driver."""
    found = [_start_row(record), *_ceiling_rows(record), *_compile_rows(cell, record), *_fit_rows(cell, record)]
    if cell.device == "cpu":
        reason = "a CPU has no driver that counts memory; see peak_memory"
        found += [missing(held["device_bytes"], reason) for held in HELD.values()]
    return found


def _start_row(record: Record) -> dict[str, Any]:
    ready = record.first("ready")
    if ready is None:
        return missing(cost.PROCESS_START, record.death[1] if record.death else "the process never said it was ready")
    start_s = [ready["import_s"], ready["build_s"]]
    return row(cost.PROCESS_START, sum(start_s), raw=start_s)


def _ceiling_rows(record: Record) -> list[dict[str, Any]]:
    """The device's own ceilings, measured once a session."""
    ceilings = record.newest("ceilings")
    if ceilings is None:
        return []
    rates = {
        cost.DEVICE_PRODUCT_RATE: ceilings["flops_per_s"] / GIGA,
        cost.DEVICE_COPY_RATE: ceilings["bytes_per_s"] / GIGA,
    }
    note = f"{ceilings['dtype']}, {ceilings['threads']} threads"
    return [row(name, value, note=note) for name, value in rates.items()]


def _compile_rows(cell: EfficiencyCell, record: Record) -> list[dict[str, Any]]:
    if not cell.compile:
        return [missing(cost.COMPILE_TIME, "not asked for (measure.efficiency.compile)")]
    from metrics.statistics.rounds import interquartile_range

    reason = record.reason("compile", "no length could be run")
    found = []
    for kind in (kind for kind in cell.kinds if kind in COMPILED):
        compile_time, latency = COMPILED[kind]
        compiled = record.by_length("compiled", kind)
        found += [] if compiled else [missing(compile_time, reason)]
        for length, times in compiled.items():
            where = {"length": length, "batch": cell.batch_of(kind)}
            times_ms = sorted(sample * MS for sample in times["samples_s"])
            more = {"raw": times_ms, "n": len(times_ms), "iqr": interquartile_range(times_ms)}
            found.append(row(compile_time, times["compile_s"], **where))
            found.append(row(latency, times_ms[len(times_ms) // 2], **more, **where))
    return found


def _fit_rows(cell: EfficiencyCell, record: Record) -> list[dict[str, Any]]:
    """Largest batch and length by real steps, beside what computed memory says."""
    if not cell.memory_budget_gib:
        return []
    found = []
    for figure, metric in FITS.items():
        note = f"budget {cell.memory_budget_gib:g} GiB"
        fits = record.by_length("fit", figure)
        for length, fit in fits.items():
            reason = "" if fit["value"] else f"not one step fits {cell.memory_budget_gib:g} GiB"
            found.append(row(metric, fit["value"] or math.nan, length=length, note=note, reason=reason))
            if figure == "pieces":
                drawn = {"length": length, "batch": fit["value"], "reason": fit["reason"], "sampler": cell.sampler}
                found.append(row(cost.SAMPLE_TIME_TOGETHER, fit["piece_s"], **drawn))
        found += [] if fits else [missing(metric, record.reason(f"fit {figure}", "not searched"))]
    return found


def rows_of(
    cell: EfficiencyCell, record: Record, not_planned: Mapping[int, str], spreads: Spreads
) -> list[dict[str, Any]]:
    """All rows of one arm; `not_planned` says for which lengths no whole sample was drawn, and why."""
    rows = []
    for length in cell.lengths:
        found = [latency_row(cell, record, kind, length, not_planned, spreads) for kind in cell.kinds]
        found += phase_rows(cell, record, length, spreads) + derived_rows(cell, record, length, spreads)
        for kind in cell.kinds:
            found += _memory_rows(cell, record, kind, length, spreads) if kind in PEAK_MEMORY else []
        if cell.graphs and "graph" not in cell.kinds:
            found.append(missing(cost.STEP_LATENCY_GRAPH, f"no CUDA graphs on {cell.device}"))
        found += [_flops_row(cell, record, counter, length) for counter in COUNTS]
        found += [*_launch_rows(cell, record, length), *_piece_rows(cell, record, length)]
        found += _energy_rows(cell, record, length)
        found.append(_parameters_row(record))
        warm = record.first("warm", "step", length)
        rows += [_complete(one, length, cell.batch, warm["kernel"] if warm else "") for one in found]
    whole = _energy_rows(cell, record, None) + session_rows(cell, record)
    return rows + [_complete(one, one.get("length"), cell.batch, "") for one in whole]


def _complete(found: dict[str, Any], length: int | None, batch: int, kernel: str) -> dict[str, Any]:
    """The row with what every row has."""
    definition = quantity_of(found["metric"]).definition
    usual = {"low": math.nan, "high": math.nan, "n": 1, "reason": "", "status": "done", "raw": [], "batch": batch}
    if "latency" in found["metric"] and (slow := slow_fallbacks(kernel)):
        found = found | {"note": "; ".join(filter(None, [f"slow fallback: {slow}", found.get("note", "")]))}
    return usual | {"definition": definition, "length": length, "kernel": kernel} | found


def slow_fallbacks(kernel: str) -> str:
    """The parts of a kernel column ("scan=torch sdpa=flash") that are slow stand-ins for a fused kernel."""
    parts = [part.partition("=") for part in kernel.split()]
    return " ".join(
        f"{name}={used}" for name, _, used in parts if any(slow in used for slow in SLOW_FALLBACKS.get(name, ()))
    )


def _memory_rows(
    cell: EfficiencyCell, record: Record, kind: str, length: int, spreads: Spreads
) -> list[dict[str, Any]]:
    """The measured peak, over processes; on CUDA what allocator and driver held; for training what is computed."""
    metric, batch = PEAK_MEMORY[kind], {"batch": cell.batch_of(kind)}
    message = record.first("memory", kind, length)
    if message is None:
        return [unmeasured(metric, *record.why_missing(f"{kind} memory", length, cell.prune)) | batch]
    peak = peak_row(
        metric, record.replicates_peaks(kind, length), spreads.get((kind, length, MEMORY)), message["reason"]
    )
    found = [peak]
    found += [row(held, message[key] / GIB) for key, held in HELD[kind].items() if not math.isnan(message[key])]
    if parts := message["computed"]:
        found += [row(cost.COMPUTED_MEMORY[name.removesuffix("_bytes")], size / GIB) for name, size in parts.items()]
        total = sum(parts.values()) / GIB
        found.append(row(cost.COMPUTED_MEMORY_TRAINING, total))
        known = not math.isnan(peak["value"])
        found += [row(cost.WORKSPACE_MEMORY_TRAINING, peak["value"] - total)] if known else []
        reason = "one sequence needs more, or no backbone" if math.isnan(message["published_batch"]) else ""
        found.append(row(cost.COMPUTED_BATCH_AT_21_GB, message["published_batch"], reason=reason))
    return [one | batch for one in found]


def _flops_row(cell: EfficiencyCell, record: Record, counter: str, length: int) -> dict[str, Any]:
    counts = {name: found for name in COUNTS if (found := record.newest("flops", name, length))}
    if counter not in counts:
        return unmeasured(COUNTS[counter], *record.why_missing(counter, length, cell.prune)) | {"batch": 1}
    own = counts.pop(counter)
    value = own["flops"] / 1e9
    note = "not counted: " + ", ".join(own["uncounted"]) if own["uncounted"] else ""
    if counter == "formula":
        counted = counts.items() if own["flops"] else ()
        others = [f"{name} {100 * (one['flops'] / own['flops'] - 1):+.2f} %" for name, one in counted]
        note = ", ".join([*[COUNTED] * (own.get("source") == "counted"), *others])
    return row(COUNTS[counter], value, raw=[value], note=note, batch=1)


def _launch_rows(cell: EfficiencyCell, record: Record, length: int) -> list[dict[str, Any]]:
    """Kernels and operators of a denoising step; the most frequent operators in the note."""
    found = record.newest("launches", "launches", length)
    if found is None:
        why = record.why_missing("launches", length, cell.prune)
        return [unmeasured(metric, *why) for metric in (cost.STEP_LAUNCHES, cost.STEP_OPERATORS)]
    operators = row(cost.STEP_OPERATORS, found["operators"], note=found["most"])
    if found["reason"]:
        return [missing(cost.STEP_LAUNCHES, found["reason"]), operators]
    note = f"beside {found['transfers']} copies and fills; the host waits {found['waits']} times"
    return [row(cost.STEP_LAUNCHES, found["kernels"], note=note), operators]


def _piece_rows(cell: EfficiencyCell, record: Record, length: int) -> list[dict[str, Any]]:
    """Calls, FLOPs and state of one piece, as its sampler's plan and the formulas predict them."""
    common: dict[str, Any] = {"sampler": cell.sampler, "sample_steps": cell.sample_steps, "batch": 1}
    found = record.newest("piece", "piece", length)
    if found is None:
        why = record.why_missing("piece", length, cell.prune)
        return [
            unmeasured(metric, *why) | common for metric in (cost.SAMPLE_CALLS, cost.SAMPLE_GFLOPS, cost.SAMPLE_STATE)
        ]
    note = "at most: calls in which nothing is revealed are left out" if found["most"] else ""
    kept = "" if found["state_bytes"] == found["state_bytes"] else "whole rows in each call: nothing is kept"
    rows = [
        row(cost.SAMPLE_CALLS, found["calls"], note=note),
        row(cost.SAMPLE_GFLOPS, found["flops"] / GIGA, note=note, reason=found["reason"]),
        row(cost.SAMPLE_STATE, found["state_bytes"] / MIB, reason=kept),
    ]
    return [one | common for one in rows]


def _energy_rows(cell: EfficiencyCell, record: Record, length: int | None) -> list[dict[str, Any]]:
    """Joules of a call; one row without a length where the device has no counter."""
    found = {kind: record.newest("energy", kind, length) for kind in ENERGY}
    return [
        row(ENERGY[kind], batch=cell.batch_of(kind), **{name: use[name] for name in ENERGY_COLUMNS})
        for kind, use in found.items()
        if use
    ]


def _parameters_row(record: Record) -> dict[str, Any]:
    ready = record.newest("ready")
    if ready is None:
        return unmeasured(cost.PARAMETERS, *(record.death or ("failed", "not measured")))
    return row(cost.PARAMETERS, ready["parameters"], raw=[float(ready["parameters"])])
