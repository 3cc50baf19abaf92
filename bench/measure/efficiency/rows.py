"""Rows of the result table from the record of a measuring process: a value with its interval, or why there is none."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bench.measure.efficiency.record import Record
from bench.measure.rows import missing, row
from metrics.cost import quantities as cost
from metrics.quantities import quantity_of

if TYPE_CHECKING:
    from bench.measure.efficiency.cell import EfficiencyCell


MS, GIGA = 1e3, 1e9
FITS = {"batch": cost.LARGEST_BATCH_TRAINING, "length": cost.LARGEST_LENGTH_TRAINING}
GIB = 2**30
TRAINING_PASSES = 3
"""Forward passes that a training step costs: the backward pass is worth two."""
SLOW_FALLBACKS = {"scan": ("torch", "reference"), "sdpa": ("math",), "ssd": ("torch",)}
"""Kernels that run where a fused one is not there; rows made with them say so."""
ENERGY = {"step": cost.STEP_ENERGY, "train": cost.TRAIN_STEP_ENERGY, "sample": cost.SAMPLE_ENERGY}
LATENCIES = {
    "step": (cost.STEP_LATENCY, MS),
    "train": (cost.TRAIN_STEP_LATENCY, MS),
    "sample": (cost.SAMPLE_LATENCY, 1.0),
}
"""Kind of call -> metric, and a second in its unit."""
COLD = {"step": cost.STEP_LATENCY_COLD, "train": cost.TRAIN_STEP_LATENCY_COLD}
COMPILED = {
    "step": (cost.COMPILE_TIME, cost.STEP_LATENCY_COMPILED),
    "train": (cost.TRAIN_COMPILE_TIME, cost.TRAIN_STEP_LATENCY_COMPILED),
}
"""Kind of call -> time of the compilation, latency after it."""
PEAKS = {"step": cost.PEAK_MEMORY_INFERENCE, "train": cost.PEAK_MEMORY_TRAINING}
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
    if record.start_s is None:
        return missing(cost.PROCESS_START, record.death[1] if record.death else "the process never said it was ready")
    return row(cost.PROCESS_START, sum(record.start_s), raw=list(record.start_s))


def _ceiling_rows(record: Record) -> list[dict[str, Any]]:
    """The device's own ceilings, measured once a session."""
    if not record.ceilings:
        return []
    rates = {
        cost.DEVICE_PRODUCT_RATE: record.ceilings["flops_per_s"] / GIGA,
        cost.DEVICE_COPY_RATE: record.ceilings["bytes_per_s"] / GIGA,
    }
    note = f"{record.ceilings['dtype']}, {record.ceilings['threads']} threads"
    return [row(name, value, note=note) for name, value in rates.items()]


def _compile_rows(cell: EfficiencyCell, record: Record) -> list[dict[str, Any]]:
    if not cell.compile:
        return [missing(cost.COMPILE_TIME, "not asked for (measure.efficiency.compile)")]
    failed = [reason for (figure, _), (_, reason) in record.failures.items() if figure == "compile"]
    reason = failed[0] if failed else record.death[1] if record.death else "no length could be run"
    found = []
    for kind in (kind for kind in cell.kinds if kind != "sample"):
        compile_time, latency = COMPILED[kind]
        told = {length: times for (one, length), times in record.compiled.items() if one == kind}
        found += [] if told else [missing(compile_time, reason)]
        for length, (compile_s, samples_s) in told.items():
            where = {"length": length, "batch": cell.training_batch if kind == "train" else cell.batch}
            found.append(row(compile_time, compile_s, **where))
            found.append(_compiled_row(latency, samples_s) | where)
    return found


def _compiled_row(metric: str, samples_s: list[float]) -> dict[str, Any]:
    from metrics.statistics.rounds import interquartile_range

    times_ms = sorted(sample * MS for sample in samples_s)
    more = {"raw": times_ms, "n": len(times_ms), "iqr": interquartile_range(times_ms)}
    return row(metric, times_ms[len(times_ms) // 2], **more)


def _fit_rows(cell: EfficiencyCell, record: Record) -> list[dict[str, Any]]:
    """Largest batch and length by real steps, beside what computed memory says."""
    if not cell.memory_budget_gib:
        return []
    found = []
    for figure, metric in FITS.items():
        note = f"budget {cell.memory_budget_gib:g} GiB"
        if figure in record.fits:
            length, value = record.fits[figure]
            reason = "" if value else f"not one step fits {cell.memory_budget_gib:g} GiB"
            found.append(row(metric, value or math.nan, length=length, note=note, reason=reason))
        else:
            failed = [reason for (name, _), (_, reason) in record.failures.items() if name == f"fit {figure}"]
            reason = failed[0] if failed else record.death[1] if record.death else "not searched"
            found.append(missing(metric, reason))
    return found


def rows_of(cell: EfficiencyCell, record: Record, not_planned: Mapping[int, str]) -> list[dict[str, Any]]:
    """All rows of one arm; `not_planned` says for which lengths no whole sample was drawn, and why."""
    rows = []
    for length in cell.lengths:
        found = [_latency_row(cell, record, kind, length, not_planned) for kind in cell.kinds]
        found += _phase_rows(cell, record, length) + _derived_rows(cell, record, length)
        for kind in cell.kinds:
            found += _memory_rows(cell, record, kind, length) if kind in PEAKS else []
        found += [_flops_row(cell, record, counter, length) for counter in COUNTS]
        found += _energy_rows(cell, record, length)
        found.append(_parameters_row(record))
        rows += [_complete(one, length, cell.batch, record.kernels.get(length, "")) for one in found]
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


def _timing(metric: str, scale: float, rounds_s: list[list[float]]) -> dict[str, Any]:
    """A row of timed calls; `raw` in the row's unit, `round_sizes` says how it falls into rounds.

    A time that is not positive is the clock's fault and no measurement: it is left out, and named when none is left.
    """
    from metrics.statistics.rounds import interquartile_range, rounds_interval

    rounds = [[sample * scale for sample in one if sample > 0] for one in rounds_s]
    raw = [sample for one in rounds for sample in one]
    if not raw:
        return missing(metric, "the clock did not move during any call, or went backward")
    interval = rounds_interval(rounds)
    bounds = {"low": interval.low, "high": interval.high, "n": interval.n, "iqr": interquartile_range(raw)}
    return row(metric, interval.value, raw=raw, round_sizes=[len(one) for one in rounds], **bounds)


def _missing(metric: str, why: tuple[str, str], asked_bytes: float = math.nan) -> dict[str, Any]:
    status, reason = why
    return missing(metric, reason, status) | {"asked_bytes": asked_bytes}


def _latency_row(
    cell: EfficiencyCell, record: Record, kind: str, length: int, not_planned: Mapping[int, str]
) -> dict[str, Any]:
    metric, scale = LATENCIES[kind]
    rounds_s = record.rounds_s.get((kind, length), [])
    if rounds_s:
        found = _timing(metric, scale, rounds_s)
        disagree = (kind, length) in record.clocks_disagree
        notes = [*record.notes, *["the two clocks differ by over 5 %"] * disagree]
        notes += [record.sample_notes[length]] if kind == "sample" and length in record.sample_notes else []
        found["note"] = "; ".join([*notes, record.death[1]] if record.death else notes)
        found["stopped_by"] = record.stopped.get((kind, length), "" if kind != "sample" else "planned samples")
    else:
        why = record.why_missing(kind, length, cell.prune)
        if kind == "sample" and why == ("failed", "not measured") and length in not_planned:
            why = ("timeout", not_planned[length])
        found = _missing(metric, why, record.asked(kind, length))
    if kind == "sample":
        nfe = record.nfe.get(length)
        found |= {"sample_steps": cell.sample_steps, "sampler": cell.sampler, "nfe": round(nfe) if nfe else None}
    return found | {"batch": cell.training_batch if kind == "train" else cell.batch}


def _phase_rows(cell: EfficiencyCell, record: Record, length: int) -> list[dict[str, Any]]:
    """The three parts of a training step, where it was measured."""
    return [
        _timing(cost.TRAIN_PHASES[phase], MS, rounds_s) | {"batch": cell.training_batch}
        for (phase, at), rounds_s in record.phases_s.items()
        if at == length
    ]


def _derived_rows(cell: EfficiencyCell, record: Record, length: int) -> list[dict[str, Any]]:
    """The cold calls, tokens a second and the shares of the device's ceilings, from the calls behind the latency."""
    from metrics.statistics.rounds import rounds_interval

    found = [
        row(metric, record.cold_s[kind, length] * MS)
        for kind, metric in COLD.items()
        if (kind, length) in record.cold_s
    ]

    def rate(kind: str, metric: str, amount: float) -> None:
        rounds_s = [[sample for sample in one if sample > 0] for one in record.rounds_s.get((kind, length), [])]
        if any(rounds_s):
            taken_s = rounds_interval(rounds_s)
            bounds = {"low": amount / taken_s.high, "high": amount / taken_s.low, "n": taken_s.n}
            batch = cell.training_batch if kind == "train" else cell.batch
            found.append(row(metric, amount / taken_s.value, batch=batch, **bounds))

    rate("step", cost.TOKENS_PER_SECOND, cell.batch * length)
    if record.ceilings and length in record.traffic:
        flops, moved_bytes = record.traffic[length]
        training_flops = TRAINING_PASSES * flops / cell.batch * cell.training_batch
        rate("step", cost.STEP_COMPUTE_SHARE, flops / record.ceilings["flops_per_s"])
        rate("step", cost.STEP_BANDWIDTH_SHARE, moved_bytes / record.ceilings["bytes_per_s"])
        rate("train", cost.TRAIN_STEP_COMPUTE_SHARE, training_flops / record.ceilings["flops_per_s"])
    return found


def _memory_rows(cell: EfficiencyCell, record: Record, kind: str, length: int) -> list[dict[str, Any]]:
    """The measured peak over several calls; on CUDA what allocator and driver held; for training what is computed."""
    from metrics.statistics.rounds import rounds_interval

    metric = PEAKS[kind]
    batch = {"batch": cell.training_batch if kind == "train" else cell.batch}
    told = record.peaks.get((kind, length))
    if told is None:
        why, asked = record.why_missing(f"{kind} memory", length, cell.prune), record.asked(f"{kind} memory", length)
        return [_missing(metric, why, asked) | batch]
    peaks = [peak / GIB for peak in told["peaks_bytes"]]
    peak = rounds_interval([[one] for one in peaks])
    if math.isnan(peak.value):
        found = [_missing(metric, ("done", told["reason"]))]
    else:
        bounds = {"low": peak.low, "high": peak.high, "n": peak.n, "round_sizes": [1] * len(peaks)}
        found = [row(metric, peak.value, raw=peaks, **bounds)]
    found += [row(held, told[key] / GIB) for key, held in HELD[kind].items() if not math.isnan(told[key])]
    if parts := told["computed"]:
        found += [row(cost.COMPUTED_MEMORY[name.removesuffix("_bytes")], size / GIB) for name, size in parts.items()]
        total = sum(parts.values()) / GIB
        found.append(row(cost.COMPUTED_MEMORY_TRAINING, total))
        found += [row(cost.WORKSPACE_MEMORY_TRAINING, peak.value - total)] if peak.value == peak.value else []
        found.append(row(cost.COMPUTED_BATCH_AT_21_GB, told["published_batch"], reason=_no_batch(told)))
    return [one | batch for one in found]


def _no_batch(told: Mapping[str, Any]) -> str:
    return "" if told["published_batch"] == told["published_batch"] else "one sequence needs more, or no backbone"


def _flops_row(cell: EfficiencyCell, record: Record, counter: str, length: int) -> dict[str, Any]:
    key = (counter, length)
    if key not in record.flops:
        why = record.why_missing(counter, length, cell.prune)
        return _missing(COUNTS[counter], why, record.asked(counter, length)) | {"batch": 1}
    value = record.flops[key] / 1e9
    note = "not counted: " + ", ".join(record.uncounted[key]) if record.uncounted[key] else ""
    if counter == "formula":
        own = record.flops[key]
        others = [
            (name, record.flops[name, length]) for name in COUNTS if (name, length) in record.flops and name != counter
        ]
        note = ", ".join(f"{name} {100 * (flops / own - 1):+.2f} %" for name, flops in others)
    return row(COUNTS[counter], value, raw=[value], note=note, batch=1)


def _energy_rows(cell: EfficiencyCell, record: Record, length: int | None) -> list[dict[str, Any]]:
    """Joules of a call; one row without a length where the device has no counter."""
    found = []
    for (kind, at), (joules, calls, reason) in record.energy.items():
        if at == length:
            batch = cell.training_batch if kind == "train" else cell.batch
            found.append(row(ENERGY[kind], joules, n=calls, reason=reason, batch=batch))
    return found


def _parameters_row(record: Record) -> dict[str, Any]:
    if record.parameters is None:
        return _missing(cost.PARAMETERS, record.death or ("failed", "not measured"))
    return row(cost.PARAMETERS, record.parameters, raw=[float(record.parameters)])
