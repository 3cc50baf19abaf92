"""Rows of one arm that belong to the whole session, not to one length in turns."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from bench.measure.efficiency_record import Record
from bench.measure.rows import missing, row

if TYPE_CHECKING:
    from bench.measure.efficiency import EfficiencyCell

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
