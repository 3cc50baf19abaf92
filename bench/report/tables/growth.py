"""Tables of cost against length: ratios to the baseline, local slopes, closed form of FLOPs, crossovers."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pandas as pd

from bench.report.analysis.comparable import first_setting, settings_left_out
from bench.report.analysis.growth import cost_exponent, meeting, repeats_of
from bench.report.rows.arms import arm_order
from bench.report.rows.summaries import Summaries, Summary, cost_summaries
from bench.report.tables.numbers import NOTHING
from bench.report.tables.table import Entry, Table
from metrics.cost.quantities import FORWARD_GFLOPS
from metrics.headlines import COSTS, GROWING
from metrics.quantities import quantity_of
from metrics.statistics.scaling import Crossover, length_polynomial, local_slopes

FEWEST_LENGTHS = 3
NEGLIGIBLE = 1e-9
"""Share of the FLOPs below which a term or an error is rounding."""


def growth_tables(frame: pd.DataFrame, folder: Path | None) -> list[Table]:
    """Local slopes a metric, closed forms of FLOPs and crossovers of all pairs, where there are enough lengths."""
    everything = cost_summaries(frame).measured()
    summaries = first_setting(everything)
    if len(summaries.lengths()) < FEWEST_LENGTHS:
        return []
    arms = arm_order(frame)
    tables = [slope_table(summaries.where(metric=metric), metric, arms, folder) for metric in GROWING]
    tables.append(closed_form_table(summaries.where(metric=FORWARD_GFLOPS), arms))
    tables += [crossover_table(summaries.where(metric=metric), metric, arms, folder) for metric in GROWING]
    left_out = settings_left_out(everything)
    notes = (left_out,) if left_out else ()
    return [replace(table, notes=(*table.notes, *notes)) for table in tables if table.rows]


def slope_table(summaries: Summaries, metric: str, arms: list[str], folder: Path | None) -> Table:
    """d log y / d log L between neighbouring lengths; the interval is over replicates (measurements for memory)."""
    lengths = summaries.lengths()
    body = []
    for arm in arms:
        line = {one.length: one for one in summaries.where(arm=arm) if one.length and one.value > 0}
        if len(line) < 2:
            continue
        entries = [_slope(line.get(low), line.get(high), folder) for low, high in pairwise(lengths)]
        body.append((Entry(arm), *entries))
    columns = ("arm", *(f"{low} to {high}" for low, high in pairwise(lengths)))
    notes = ("d log cost / d log length between neighbouring lengths: 1 is linear, 2 quadratic growth.",)
    return Table(f"slopes_{metric}", f"Local slopes: {quantity_of(metric).label}", columns, tuple(body), notes)


def _slope(low: Summary | None, high: Summary | None, folder: Path | None) -> Entry:
    if low is None or high is None or low.length is None or high.length is None:
        return Entry(NOTHING)
    values = repeats_of([low, high], folder)
    if len(values) < 2:
        values = [[low.value, high.value]]
    if not all(value > 0 for turn in values for value in turn):
        return Entry(NOTHING)
    slope = local_slopes([low.length, high.length], values)[0]
    return Entry.interval(slope, cell_ids=Summaries([low, high]).cell_ids())


def closed_form_table(summaries: Summaries, arms: list[str]) -> Table:
    """FLOPs of a forward pass as b L + c L^2, exact for every mixer but those that use FFTs."""
    body = []
    for arm in arms:
        line = sorted((p.length, p.value) for p in summaries.where(arm=arm) if p.length)
        if len(line) < FEWEST_LENGTHS:
            continue
        lengths, gflops = zip(*line, strict=True)
        found = length_polynomial(lengths, gflops)
        square = found.quadratic if found.quadratic * lengths[-1] > NEGLIGIBLE * found.linear else 0.0
        level = found.linear / square if square else math.nan
        error = found.worst_error if found.worst_error > NEGLIGIBLE else 0.0
        figures = (found.linear * 1e3, square * 1e6, level, 100 * error)
        body.append((Entry(arm), *(Entry.figure(one, reason="no term in L^2") for one in figures)))
    terms = ("b [MFLOPs a token]", "c [kFLOPs a token^2]", "L at which both terms are equal")
    notes = (
        "Least squares in relative error, no term negative; an error over rounding says that the form is another.",
    )
    return Table(
        "closed_form", "FLOPs of a forward pass = b L + c L^2", ("arm", *terms, "largest error [%]"), tuple(body), notes
    )


def crossover_table(summaries: Summaries, metric: str, arms: list[str], folder: Path | None) -> Table:
    """Where the arm of the row is cheaper or costlier than the arm of the column: at all lengths, or beyond one."""
    shown = [arm for arm in arms if len(summaries.where(arm=arm).lengths()) > 1]
    if len(shown) < 2:
        return Table(f"crossovers_{metric}", "", (), ())
    lengths = summaries.lengths()
    cells = {
        (row, column): meeting(summaries, row, column, folder)
        for place, row in enumerate(shown)
        for column in shown[place + 1 :]
    }
    body = []
    for place, row in enumerate(shown):
        entries = [crossing(cells.get((row, column)), row) for column in shown[place + 1 :]]
        body.append((Entry(row), *[Entry("")] * (place + 1), *entries))
    notes = (
        f"Row against column, at {lengths[0]} to {lengths[-1]} tokens. `cheaper` or `costlier`: no crossover is "
        "reached there; with a question mark where the interval of the ratio holds 1 at some length. `cheaper beyond N "
        "[low, high]`: the length at which both cost the same, with its 95 % interval over replicates, `?` for an end "
        "past the measured lengths; `undecided`: that interval holds them all.",
    )
    title = f"Crossovers: {quantity_of(metric).label}"
    return Table(f"crossovers_{metric}", title, ("arm", *shown), tuple(body), notes)


def crossing(found: Crossover | None, row: str) -> Entry:
    """A crossover in a few words, as seen from the arm `row`."""
    if found is None:
        return Entry("not compared")
    if math.isnan(found.length):
        if found.words.startswith("equal"):
            return Entry("equal")
        word = "cheaper" if f": {row} is cheaper" in found.words else "costlier"
        return Entry(word + ("?" if "not significantly" in found.words else ""))
    if found.low == 0 and found.high == math.inf:
        return Entry("undecided")
    word = "cheaper" if found.words.startswith(f"{row} is") else "costlier"
    text = f"{word} beyond {found.length:.0f}"
    if not math.isnan(found.low):
        ends = [f"{end:.0f}" if 0 < end < math.inf else "?" for end in (found.low, found.high)]
        text += f" [{', '.join(ends)}]"
    return Entry(text)


def scaling_table(frame: pd.DataFrame, folder: Path | None, baseline: str) -> list[Table]:
    """For each metric and arm: the exponent of its growth with length, and where it costs the same as the baseline."""
    everything = cost_summaries(frame).measured()
    summaries = first_setting(everything)
    body = []
    for metric in COSTS:
        rows = summaries.where(metric=metric)
        for arm in arm_order(frame):
            line = rows.where(arm=arm)
            if len(line.lengths()) < 2:
                continue
            interval, note = cost_exponent(line, folder)
            exponent = Entry.interval(interval, cell_ids=line.cell_ids())
            met = None if arm == baseline else meeting(rows, arm, baseline, folder)
            answer = "" if arm == baseline else met.words if met else "not compared"
            body.append((Entry(f"{arm}: {quantity_of(metric).label}"), exponent, Entry(note), Entry(answer)))
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
