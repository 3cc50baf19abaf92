"""Growth of cost with length: exponents, ratios to the baseline, and lengths at which two arms cost the same."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from bench.report.aggregate import EXACT, first_setting, kernel_conflict, settings_left_out
from bench.report.arms import arm_order
from bench.report.claims.measured import cost_exponent
from bench.report.metric_words import COST_METRICS
from bench.report.points import Point, Points, cost_points
from bench.report.rounds import round_medians, rounds_of
from bench.report.table import Entry, Table
from metrics.statistics import Crossover, Interval, crossover, rounds_ratio


def cost_ratio(
    point: Point, points: Points, baseline: str, folder: Path | None, *, together: bool = False
) -> Interval | None:
    """The point as a multiple of the baseline arm's in the same setting; None where that was not measured, or ran on
    another kernel for the same operation (unless `together`).

    The interval is over rounds where both were timed in turns; a count is exact; anything else has none.
    """
    setting = {"length": point.length, "device": point.device, "threads": point.threads, "batch": point.batch}
    base = points.first(metric=point.metric, arm=baseline, **setting)
    if base is None or not base.measured:
        return None
    if not together and kernel_conflict([*point.kernels, *base.kernels]):
        return None
    if folder is not None:
        first, second = rounds_of(folder, point), rounds_of(folder, base)
        if first and second and set(point.sessions) == set(base.sessions) != {""}:
            return rounds_ratio(first, second)
    value = point.value / base.value
    exact = value if point.metric in EXACT else float("nan")
    return Interval(value, exact, exact, 1)


def round_ratios(point: Point, points: Points, baseline: str, folder: Path | None) -> list[float]:
    """The ratio of round medians in each round that `cost_ratio` rests on; [] where it rests on none."""
    setting = {"length": point.length, "device": point.device, "threads": point.threads, "batch": point.batch}
    base = points.first(metric=point.metric, arm=baseline, **setting)
    if base is None or folder is None or not set(point.sessions) == set(base.sessions) != {""}:
        return []
    both = zip(round_medians(folder, point), round_medians(folder, base), strict=False)
    return [mine / theirs for mine, theirs in both if theirs]


def meeting_length(points: Points, arm: str, baseline: str, folder: Path | None) -> Crossover | None:
    """Where arm and baseline cost the same on the metric of `points`; None where they share fewer than two lengths."""
    first, second = points.where(arm=arm), points.where(arm=baseline)
    lengths = sorted(set(first.lengths()) & set(second.lengths()))
    if len(lengths) < 2 or kernel_conflict([*first.kernels(), *second.kernels()]):
        return None
    tables = [_rounds_by_length(side, lengths, folder) for side in (first, second)]
    count = min(len(table) for table in tables)
    return crossover(lengths, tables[0][:count], tables[1][:count], names=(arm, baseline))


def _rounds_by_length(points: Points, lengths: list[int], folder: Path | None) -> list[list[float]]:
    """Round medians (rounds, lengths); the figures themselves, as one round, where no raw samples are kept."""
    chosen = [next(point for point in points if point.length == length) for length in lengths]
    rounds = [round_medians(folder, point) for point in chosen] if folder else []
    count = min(map(len, rounds), default=0)
    if count:
        return [[values[turn] for values in rounds] for turn in range(count)]
    return [[point.value for point in chosen]]


def scaling_table(frame: pd.DataFrame, folder: Path | None, baseline: str) -> list[Table]:
    """For each metric and arm: the exponent of its growth with length, and where it costs the same as the baseline."""
    everything = cost_points(frame).measured()
    points = first_setting(everything)
    body = []
    for metric, words in COST_METRICS.items():
        rows = points.where(metric=metric)
        for arm in arm_order(frame):
            line = rows.where(arm=arm)
            if len(line.lengths()) < 2:
                continue
            interval, note = cost_exponent(line, folder)
            cells = tuple(dict.fromkeys(cell for point in line for cell in point.cell_ids))
            exponent = Entry.figure(interval.value, interval.low, interval.high, cell_ids=cells)
            meeting = None if arm == baseline else meeting_length(rows, arm, baseline, folder)
            answer = "" if arm == baseline else meeting.words if meeting else "not compared"
            body.append((Entry(f"{arm}: {words.label}"), exponent, Entry(note), Entry(answer)))
    if not body:
        return []
    left_out = settings_left_out(everything)
    notes = (
        "Exponent k of cost = a L^k over all measured lengths: 1 is linear, 2 quadratic. At short lengths fixed "
        "costs hide the growth, so k is a summary of this range, not a law.",
        *([left_out] if left_out else []),
    )
    columns = ("arm and cost", "exponent", "interval from", f"tokens at which it costs as much as {baseline}")
    return [Table("scaling", "Growth with length", columns, tuple(body), notes)]
