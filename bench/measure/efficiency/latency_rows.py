"""Rows of what is repeated in fresh processes: latencies and their phases, tokens a second, shares of the device's
ceilings, peaks of memory."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from bench.measure.efficiency.record import Record
from bench.measure.efficiency.throttling import gpu_columns, gpu_states, probes_of, slow_notes
from bench.measure.rows import missing, row
from metrics.cost import quantities as cost

if TYPE_CHECKING:
    from bench.measure.efficiency.cell import EfficiencyCell
    from metrics.statistics.intervals import Interval
    from metrics.statistics.replicates import Spread

    Spreads = Mapping[tuple[str, int, str], Spread]
    """(kind of call, length, phase, MEMORY or "") -> spread between replicates, pooled over arms."""


MS, GIB = 1e3, 2**30
MEMORY = "memory"
"""In the place of a phase: peaks of memory and not times."""
LATENCIES = {
    "step": (cost.STEP_LATENCY, MS),
    "graph": (cost.STEP_LATENCY_GRAPH, MS),
    "train": (cost.TRAIN_STEP_LATENCY, MS),
    "sample": (cost.SAMPLE_LATENCY, 1.0),
}
"""Kind of call -> metric, and a second in its unit."""
COLD = {"step": cost.STEP_LATENCY_COLD, "train": cost.TRAIN_STEP_LATENCY_COLD}


def spreads_of(records: Sequence[Record]) -> Spreads:
    """Spread between the replicates of an arm, pooled over the arms of a session, of all times and peaks of memory."""
    from metrics.statistics.replicates import replicate_time, replicates_spread

    keys = {key for record in records for key in record.timed()}
    parts = [(*key, phase) for key in keys for phase in ("", *(cost.TRAIN_PHASES if key[0] == "train" else ()))]
    measured = {part: [record.replicates_s(*part) for record in records] for part in parts}
    measured |= {(*key, MEMORY): [record.replicates_peaks(*key) for record in records] for key in keys}
    return {
        part: replicates_spread([replicate_time(rounds) for rounds in _positive(replicates)] for replicates in found)
        for part, found in measured.items()
    }


def latency_row(
    cell: EfficiencyCell, record: Record, kind: str, length: int, not_planned: Mapping[int, str], spreads: Spreads
) -> dict[str, Any]:
    """The row of one kind of call; `not_planned`: lengths without a whole sample, with the reason."""
    metric, scale = LATENCIES[kind]
    rounds = record.all("samples", kind, length)
    if rounds:
        found = _timing(metric, scale, record.replicates_s(kind, length), spreads.get((kind, length, "")))
        disagree = not all(one["clocks_agree"] for one in rounds)
        notes = [*record.notes, *["the two clocks differ by over 5 %"] * disagree]
        notes += [rounds[-1]["note"]] if rounds[-1]["note"] else []
        notes += slow_notes(record, kind, length)
        notes += [
            f"{one['reason']} (in replicate {one['replicate'] + 1})" for one in record.all("failed", kind, length)
        ]
        found["note"] = "; ".join([*notes, record.death[1]] if record.death else notes)
        found |= gpu_columns(record, kind, length)
        if states := gpu_states(record, kind, length):
            found["gpu"] = states
        if probes := probes_of(record, kind, length):
            found |= {"probes_s": probes, "full_speed_probe_s": record.full_speed_probe_s}
            found["left_out_s"] = [one["samples_s"] for one in record.left_out(kind, length)]
        found["stopped_by"] = record.stopped.get((kind, length), "")
    else:
        why = record.why_missing(kind, length, cell.prune)
        if kind == "sample" and why[:2] == ("failed", "not measured") and length in not_planned:
            why = ("timeout", not_planned[length], math.nan)
        found = unmeasured(metric, *why)
    if kind == "sample":
        nfe = [calls for one in rounds for calls in one["nfe"]]
        found |= {"sample_steps": cell.sample_steps, "sampler": cell.sampler, "nfe": round(nfe[-1]) if nfe else None}
    return found | {"batch": cell.batch_of(kind)}


def phase_rows(cell: EfficiencyCell, record: Record, length: int, spreads: Spreads) -> list[dict[str, Any]]:
    """The three parts of a training step, where it was measured."""
    measured = record.newest("samples", "train", length)
    found = []
    for phase in measured["phases_s"] if measured else ():
        taken_s = record.replicates_s("train", length, phase)
        found.append(_timing(cost.TRAIN_PHASES[phase], MS, taken_s, spreads.get(("train", length, phase))))
    shared = gpu_columns(record, "train", length) | {"batch": cell.training_batch}
    return [one | shared for one in found]


def derived_rows(cell: EfficiencyCell, record: Record, length: int, spreads: Spreads) -> list[dict[str, Any]]:
    """The cold calls, tokens a second and the shares of the device's ceilings, from the calls behind the latency."""
    found = [
        row(metric, warm["cold_s"] * MS)
        for kind, metric in COLD.items()
        if (warm := record.first("warm", kind, length))
    ]

    def rate(kind: str, metric: str, amount: float) -> None:
        replicates_s = _positive(record.replicates_s(kind, length))
        if any(one for rounds in replicates_s for one in rounds):
            taken_s = _taken(replicates_s, spreads.get((kind, length, "")))
            bounds = {"low": amount / taken_s.high, "high": amount / taken_s.low, "n": taken_s.n}
            shared = gpu_columns(record, kind, length) | {"batch": cell.batch_of(kind)}
            found.append(row(metric, amount / taken_s.value, **shared, **bounds))

    if cell.objective != "absorbing":  # a step is a call on one block
        return found
    rate("step", cost.TOKENS_PER_SECOND, cell.batch * length)
    ceilings, traffic = record.newest("ceilings"), record.newest("traffic", length=length)
    if ceilings and traffic:
        flops = traffic["executed_flops"]
        training_flops = cost.TRAINING_PASSES * flops / cell.batch * cell.training_batch
        rate("step", cost.STEP_COMPUTE_SHARE, flops / ceilings["flops_per_s"])
        rate("step", cost.STEP_BANDWIDTH_SHARE, traffic["moved_bytes"] / ceilings["bytes_per_s"])
        rate("train", cost.TRAIN_STEP_COMPUTE_SHARE, training_flops / ceilings["flops_per_s"])
    return found


def _taken(replicates: list[list[list[float]]], spread: Spread | None) -> Interval:
    """Time of one arm; `n` counts calls. The geometric mean of its replicates, with the spread that all arms show
    between theirs; where no arm has two, the median of all calls with an interval over rounds."""
    from metrics.statistics.replicates import replicate_time, replicates_interval
    from metrics.statistics.rounds import rounds_interval

    rounds = [one for rounds in replicates for one in rounds]
    if spread is None or not spread.freedom:
        return rounds_interval(rounds)
    return replace(replicates_interval([replicate_time(one) for one in replicates], spread), n=sum(map(len, rounds)))


def _positive(replicates_s: list[list[list[float]]], scale: float = 1.0) -> list[list[list[float]]]:
    """The calls whose time is positive: any other is the clock's fault and no measurement."""
    return [[[sample * scale for sample in one if sample > 0] for one in rounds] for rounds in replicates_s]


def _timing(metric: str, scale: float, replicates_s: list[list[list[float]]], spread: Spread | None) -> dict[str, Any]:
    """A row of timed calls; `raw` in the row's unit, `round_sizes` says how it falls into rounds, `replicate_sizes` how
    these fall into replicates. Where no time is positive the reason says so."""
    from metrics.statistics.rounds import interquartile_range

    replicates = _positive(replicates_s, scale)
    if not any(one for rounds in replicates for one in rounds):
        return missing(metric, "the clock did not move during any call, or went backward")
    found = _repeated(metric, replicates, spread)
    return found | {"iqr": interquartile_range(found["raw"])}


def _repeated(metric: str, replicates: list[list[list[float]]], spread: Spread | None) -> dict[str, Any]:
    """A row with its interval and its raw figures."""
    interval, rounds = _taken(replicates, spread), [one for rounds in replicates for one in rounds]
    return row(
        metric,
        interval.value,
        raw=[sample for one in rounds for sample in one],
        round_sizes=[len(one) for one in rounds],
        replicate_sizes=[len(one) for one in replicates],
        low=interval.low,
        high=interval.high,
        n=interval.n,
    )


def peak_row(
    metric: str, replicates_bytes: list[list[list[float]]], spread: Spread | None, reason: str
) -> dict[str, Any]:
    """A row of memory peaks, in GiB; where no figure is known, with the reason."""
    replicates = _positive(replicates_bytes, 1 / GIB)
    if not any(one for rounds in replicates for one in rounds):
        return unmeasured(metric, "done", reason or "no more than the process held without the model")
    return _repeated(metric, replicates, spread)


def unmeasured(metric: str, status: str, reason: str, asked_bytes: float = math.nan) -> dict[str, Any]:
    """The row of a missing figure: how it failed, why, and the bytes asked for where memory ran out."""
    return missing(metric, reason, status) | {"asked_bytes": asked_bytes}
