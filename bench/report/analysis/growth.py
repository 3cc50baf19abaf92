"""Growth of cost with length: ratios per round, exponents, and the length at which two arms cost the same."""

from __future__ import annotations

from pathlib import Path

from bench.report.analysis.aggregate import (
    EXACT,
    kernel_conflict,
)
from bench.report.rows.points import Point, Points
from bench.report.rows.rounds import round_medians, rounds_of
from metrics.statistics import (
    Crossover,
    Interval,
    crossover,
    growth_exponent,
    rounds_ratio,
)


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


def cost_exponent(line: Points, folder: Path | None) -> tuple[Interval, str]:
    """Exponent of the cost in length over one arm's points, with words on where its interval comes from.

    Timings have one exponent a round, so a t interval over rounds; counts are exact; else there is no interval.
    """
    ordered = sorted((p for p in line if p.length and p.value > 0), key=lambda point: point.length or 0)
    lengths = [float(point.length or 0) for point in ordered]
    rounds = [round_medians(folder, point) for point in ordered] if folder else []
    count = min(map(len, rounds), default=0)
    if count > 1 and all(value > 0 for values in rounds for value in values):
        table = [[values[turn] for values in rounds] for turn in range(count)]
        return growth_exponent(lengths, table), f"{count} rounds"
    exponent = growth_exponent(lengths, [[point.value for point in ordered]])
    if all(point.metric in EXACT for point in ordered):
        return Interval(exponent.value, exponent.value, exponent.value, 1), "counted, so exact"
    return exponent, "no raw rounds, so no interval"


def meeting(points: Points, row: str, column: str, folder: Path | None) -> Crossover | None:
    """Where two arms cost the same on the metric of `points`; None where that cannot be told."""
    try:
        return meeting_length(points, row, column, folder)
    except ValueError:  # a figure that is not positive has no logarithm
        return None
