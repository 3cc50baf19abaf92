"""From what a measuring process said to rows of the result table: a median and its interval, or why there is none."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bench.measure.efficiency.record import Record
from bench.measure.rows import missing, row

if TYPE_CHECKING:
    from bench.measure.efficiency.cell import EfficiencyCell


MS, GIGA = 1e3, 1e9
FIT_UNITS = {"batch": "1", "length": "tokens"}


def session_rows(cell: EfficiencyCell, record: Record) -> list[dict[str, Any]]:
    """Start of the process, ceilings of the device, compilation, what fits a budget, memory as the driver tells it."""
    found = [_start_row(record), *_ceiling_rows(record), *_compile_rows(cell, record), *_fit_rows(cell, record)]
    if cell.device == "cpu":
        reason = "a CPU has no driver that counts memory; see peak_memory"
        found += [missing(f"driver_memory_{kind}", "GiB", reason) for kind in ("inference", "training")]
    return found


def _start_row(record: Record) -> dict[str, Any]:
    if record.start_s is None:
        return missing("process_start", "s", record.death[1] if record.death else "the process never said it was ready")
    return row("process_start", sum(record.start_s), "s", raw=list(record.start_s))


def _ceiling_rows(record: Record) -> list[dict[str, Any]]:
    """The device's own ceilings, measured once a session."""
    if not record.ceilings:
        return []
    rates = {
        "device_product_rate": (record.ceilings["flops_per_s"] / GIGA, "GFLOP/s"),
        "device_copy_rate": (record.ceilings["bytes_per_s"] / GIGA, "GB/s"),
    }
    note = f"{record.ceilings['dtype']}, {record.ceilings['threads']} threads"
    return [row(name, value, unit, note=note) for name, (value, unit) in rates.items()]


def _compile_rows(cell: EfficiencyCell, record: Record) -> list[dict[str, Any]]:
    if not cell.compile:
        return [missing("compile_time", "s", "not asked for (measure.efficiency.compile)")]
    failed = [reason for (figure, _), (_, reason) in record.failures.items() if figure == "compile"]
    reason = failed[0] if failed else record.death[1] if record.death else "no length could be run"
    found = []
    for kind in (kind for kind in cell.kinds if kind != "sample"):
        prefix = "train_" if kind == "train" else ""
        told = {length: times for (one, length), times in record.compiled.items() if one == kind}
        found += [] if told else [missing(f"{prefix}compile_time", "s", reason)]
        for length, (compile_s, samples_s) in told.items():
            where = {"length": length, "batch": cell.training_batch if kind == "train" else cell.batch}
            found.append(row(f"{prefix}compile_time", compile_s, "s", **where))
            found.append(_compiled_row(f"{prefix}step_latency_compiled", samples_s) | where)
    return found


def _compiled_row(metric: str, samples_s: list[float]) -> dict[str, Any]:
    from metrics.statistics import interquartile_range

    times_ms = sorted(sample * MS for sample in samples_s)
    more = {"raw": times_ms, "n": len(times_ms), "iqr": interquartile_range(times_ms)}
    return row(metric, times_ms[len(times_ms) // 2], "ms", **more)


def _fit_rows(cell: EfficiencyCell, record: Record) -> list[dict[str, Any]]:
    """Largest batch and length by real steps, beside what computed memory says."""
    if not cell.memory_budget_gib:
        return []
    found = []
    for figure, unit in FIT_UNITS.items():
        metric, note = f"largest_{figure}_training", f"budget {cell.memory_budget_gib:g} GiB"
        if figure in record.fits:
            length, value = record.fits[figure]
            reason = "" if value else f"not one step fits {cell.memory_budget_gib:g} GiB"
            found.append(row(metric, value or math.nan, unit, length=length, note=note, reason=reason))
        else:
            failed = [reason for (name, _), (_, reason) in record.failures.items() if name == f"fit {figure}"]
            reason = failed[0] if failed else record.death[1] if record.death else "not searched"
            found.append(missing(metric, unit, reason))
    return found


GIB = 2**30
TRAINING_PASSES = 3
"""Forward passes that a training step costs: the backward pass is worth two."""
SLOW_FALLBACKS = {"scan": ("torch", "reference"), "sdpa": ("math",), "ssd": ("torch",)}
"""Kernels that run where a fused one is not there; rows made with them say so."""
ENERGY = {"step": "step_energy", "train": "train_step_energy", "sample": "sample_energy"}
LATENCIES = {
    "step": ("step_latency", "ms", MS),
    "train": ("train_step_latency", "ms", MS),
    "sample": ("sample_latency", "s", 1.0),
}
"""Kind of call -> metric, unit, what a second is in that unit."""
PEAKS = {"step": "peak_memory_inference", "train": "peak_memory_training"}
COUNTS = {
    "formula": "forward_gflops",
    "fvcore": "forward_gflops_fvcore",
    "dispatch": "forward_gflops_dispatch",
}
DEFINITIONS = {
    "step_latency": "one forward pass of the denoiser as the sampler calls it, median of warm calls v1",
    "step_latency_cold": "first forward pass of the process at this length v1",
    "train_step_latency_cold": "first training step of the process at this length v1",
    "compile_time": "first call of the step under torch.compile, less a later one v1",
    "step_latency_compiled": "step_latency under torch.compile, in one block and not in turns v1",
    "train_compile_time": "first training step under torch.compile, less a later one v1",
    "train_step_latency_compiled": "train_step_latency under torch.compile, in one block and not in turns v1",
    "process_start": "imports and model build of a fresh process v1",
    "train_step_latency": "forward with loss, backward and AdamW update on one batch, median of warm calls v1",
    "sample_latency": "a whole sample from all-MASK to tokens, every step run, median of calls v1",
    "tokens_per_second": "batch x length / step_latency v1",
    "peak_memory_inference": "peak growth over the process without a model: weights, activations, workspace v2",
    "peak_memory_training": "peak growth over the process without a model, in a step with optimiser state v2",
    "workspace_memory_training": "peak_memory_training less computed_memory_training; below 0 where gradients come "
    "as activations go v1",
    "driver_memory_inference": "memory in use on the whole GPU as the driver tells, after a step v1",
    "driver_memory_training": "memory in use on the whole GPU as the driver tells, after a training step v1",
    "computed_batch_at_21_gb": "training batch whose computed memory is the 21 GB of arXiv 2603.00576 v1",
    "largest_batch_training": "largest training batch within the memory budget, by real steps v1",
    "largest_length_training": "longest sequence that trains within the memory budget, by real steps v1",
    "computed_memory_training": "weights, gradients, AdamW state, saved activations; computed, not measured v1",
    "forward_gflops": "own formula, one sequence, forward, multiply-add = 2, scan 9 L D N v1",
    "forward_gflops_fvcore": "fvcore with rules for attention and scan, no norms, one sequence, multiply-add = 2 v1",
    "forward_gflops_dispatch": "FlopCounterMode with rules for attention and scan, one sequence, multiply-add = 2 v1",
    "step_compute_share": "executed FLOPs / step_latency / rate of a large product on this device (MFU) v1",
    "train_step_compute_share": "3 x executed forward FLOPs / train_step_latency / rate of a large product (MFU) v1",
    "step_bandwidth_share": "bytes read and written by operators / step_latency / rate of a large copy v1",
    "sample_energy": "energy counter of the device over whole samples, idle power included v1",
    "step_energy": "energy counter of the device over repeated steps, idle power included v1",
    "train_step_energy": "energy counter of the device over repeated training steps, idle power included v1",
    "parameters": "trained values, shared ones once v1",
}


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
    definition = DEFINITIONS.get(found["metric"], f"{found['metric']} v1")
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


def _timing(metric: str, unit: str, scale: float, rounds_s: list[list[float]]) -> dict[str, Any]:
    """A row of timed calls; `raw` in the row's unit, `round_sizes` says how it falls into rounds.

    A time that is not positive is the clock's fault and no measurement: it is left out, and named when none is left.
    """
    from metrics.statistics import interquartile_range, rounds_interval

    rounds = [[sample * scale for sample in one if sample > 0] for one in rounds_s]
    raw = [sample for one in rounds for sample in one]
    if not raw:
        return missing(metric, unit, "the clock did not move during any call, or went backward")
    interval = rounds_interval(rounds)
    bounds = {"low": interval.low, "high": interval.high, "n": interval.n, "iqr": interquartile_range(raw)}
    return row(metric, interval.value, unit, raw=raw, round_sizes=[len(one) for one in rounds], **bounds)


def _missing(metric: str, unit: str, why: tuple[str, str], asked_bytes: float = math.nan) -> dict[str, Any]:
    status, reason = why
    return missing(metric, unit, reason, status) | {"asked_bytes": asked_bytes}


def _latency_row(
    cell: EfficiencyCell, record: Record, kind: str, length: int, not_planned: Mapping[int, str]
) -> dict[str, Any]:
    metric, unit, scale = LATENCIES[kind]
    rounds_s = record.rounds_s.get((kind, length), [])
    if rounds_s:
        found = _timing(metric, unit, scale, rounds_s)
        disagree = (kind, length) in record.clocks_disagree
        notes = [*record.notes, *["the two clocks differ by over 5 %"] * disagree]
        notes += [record.sample_notes[length]] if kind == "sample" and length in record.sample_notes else []
        found["note"] = "; ".join([*notes, record.death[1]] if record.death else notes)
        found["stopped_by"] = record.stopped.get((kind, length), "" if kind != "sample" else "planned samples")
    else:
        why = record.why_missing(kind, length, cell.prune)
        if kind == "sample" and why == ("failed", "not measured") and length in not_planned:
            why = ("timeout", not_planned[length])
        found = _missing(metric, unit, why, record.asked(kind, length))
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
    """The cold calls, tokens a second and the shares of the device's ceilings, from the calls behind the latency."""
    from metrics.statistics import rounds_interval

    found = [
        row(f"{LATENCIES[kind][0]}_cold", record.cold_s[kind, length] * MS, "ms")
        for kind in ("step", "train")
        if (kind, length) in record.cold_s
    ]

    def rate(kind: str, metric: str, amount: float, unit: str) -> None:
        rounds_s = [[sample for sample in one if sample > 0] for one in record.rounds_s.get((kind, length), [])]
        if any(rounds_s):
            taken_s = rounds_interval(rounds_s)
            bounds = {"low": amount / taken_s.high, "high": amount / taken_s.low, "n": taken_s.n}
            batch = cell.training_batch if kind == "train" else cell.batch
            found.append(row(metric, amount / taken_s.value, unit, batch=batch, **bounds))

    rate("step", "tokens_per_second", cell.batch * length, "tokens/s")
    if record.ceilings and length in record.traffic:
        flops, moved_bytes = record.traffic[length]
        training_flops = TRAINING_PASSES * flops / cell.batch * cell.training_batch
        rate("step", "step_compute_share", flops / record.ceilings["flops_per_s"], "1")
        rate("step", "step_bandwidth_share", moved_bytes / record.ceilings["bytes_per_s"], "1")
        rate("train", "train_step_compute_share", training_flops / record.ceilings["flops_per_s"], "1")
    return found


def _memory_rows(cell: EfficiencyCell, record: Record, kind: str, length: int) -> list[dict[str, Any]]:
    """The measured peak over several calls; on CUDA what allocator and driver held; for training what is computed."""
    from metrics.statistics import rounds_interval

    metric = PEAKS[kind]
    batch = {"batch": cell.training_batch if kind == "train" else cell.batch}
    told = record.peaks.get((kind, length))
    if told is None:
        why, asked = record.why_missing(f"{kind} memory", length, cell.prune), record.asked(f"{kind} memory", length)
        return [_missing(metric, "GiB", why, asked) | batch]
    peaks = [peak / GIB for peak in told["peaks_bytes"]]
    peak = rounds_interval([[one] for one in peaks])
    if math.isnan(peak.value):
        found = [_missing(metric, "GiB", ("done", told["reason"]))]
    else:
        bounds = {"low": peak.low, "high": peak.high, "n": peak.n, "round_sizes": [1] * len(peaks)}
        found = [row(metric, peak.value, "GiB", raw=peaks, **bounds)]
    for prefix, name in (("reserved", "reserved_bytes"), ("driver", "device_bytes")):
        if not math.isnan(told[name]):
            found.append(row(metric.replace("peak", prefix), told[name] / GIB, "GiB"))
    if parts := told["computed"]:
        found += [
            row(f"computed_{name.removesuffix('_bytes')}_memory", size / GIB, "GiB") for name, size in parts.items()
        ]
        total = sum(parts.values()) / GIB
        found.append(row("computed_memory_training", total, "GiB"))
        found += [row("workspace_memory_training", peak.value - total, "GiB")] if peak.value == peak.value else []
        found.append(row("computed_batch_at_21_gb", told["published_batch"], "1", reason=_no_batch(told)))
    return [one | batch for one in found]


def _no_batch(told: Mapping[str, Any]) -> str:
    return "" if told["published_batch"] == told["published_batch"] else "one sequence needs more, or no backbone"


def _flops_row(cell: EfficiencyCell, record: Record, counter: str, length: int) -> dict[str, Any]:
    key = (counter, length)
    if key not in record.flops:
        why = record.why_missing(counter, length, cell.prune)
        return _missing(COUNTS[counter], "GFLOPs", why, record.asked(counter, length)) | {"batch": 1}
    value = record.flops[key] / 1e9
    note = "not counted: " + ", ".join(record.uncounted[key]) if record.uncounted[key] else ""
    if counter == "formula":
        own = record.flops[key]
        others = [
            (name, record.flops[name, length]) for name in COUNTS if (name, length) in record.flops and name != counter
        ]
        note = ", ".join(f"{name} {100 * (flops / own - 1):+.2f} %" for name, flops in others)
    return row(COUNTS[counter], value, "GFLOPs", raw=[value], note=note, batch=1)


def _energy_rows(cell: EfficiencyCell, record: Record, length: int | None) -> list[dict[str, Any]]:
    """Joules of a call; one row without a length where the device tells nothing."""
    found = []
    for (kind, at), (joules, calls, reason) in record.energy.items():
        if at == length:
            batch = cell.training_batch if kind == "train" else cell.batch
            found.append(row(ENERGY[kind], joules, "J", n=calls, reason=reason, batch=batch))
    return found


def _parameters_row(record: Record) -> dict[str, Any]:
    if record.parameters is None:
        return _missing("parameters", "1", record.death or ("failed", "not measured"))
    return row("parameters", record.parameters, "1", raw=[float(record.parameters)])
