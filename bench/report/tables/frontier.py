"""Table of what a piece costs at equal bits, a row for each arm and process."""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd

from bench.report.analysis.frontier import EQUAL_BITS, EXACT, Curve, Ways, cost_at, ways_of
from bench.report.tables.numbers import NOTHING, number
from bench.report.tables.table import Entry, Table
from metrics.cost.quantities import PIECE_CALLS
from metrics.headlines import PIECE
from metrics.quantities import quantity_of

ESTIMATED = "†"


def frontier_tables(frame: pd.DataFrame, folder: Path, baseline: str) -> list[Table]:
    """Bits of the sampler at its best and at its cheapest, and each cost of a piece at equal bits; none where no
    sampler's bits were measured."""
    ways = ways_of(frame)
    if ways is None or not ways.curves:
        return []
    bits = ways.equal_bits(baseline)
    costs = [cost for cost in PIECE if any(cost in way.costs for curve in ways.curves for way in curve.ways)]
    body = [_row(curve, costs, bits) for curve in ways.curves]
    body += [(Entry(name), Entry("bound alone"), *[Entry(NOTHING)] * (2 + len(costs))) for name in ways.bounds]
    headings = [quantity_of(cost).heading for cost in costs]
    columns = ("arm and process", "bits are", "bits/token, best", "bits/token, fewest calls", *headings)
    where = f"corpus {ways.corpus}, L = {ways.length}"
    level = f"{number(bits)} bits/token" if math.isfinite(bits) else "equal bits"
    return [Table("equal_quality", f"A piece at {level} ({where})", columns, tuple(body), _notes(ways, bits))]


def _row(curve: Curve, costs: list[str], bits: float) -> tuple[Entry, ...]:
    cheapest = min(curve.ways, key=lambda way: way.costs[PIECE_CALLS].value if PIECE_CALLS in way.costs else math.inf)
    best = min(curve.ways, key=lambda way: way.bits.value)
    shown = [
        Entry.figure(way.bits.value, way.bits.low, way.bits.high, cell_ids=way.bits.cell_ids)
        for way in (best, cheapest)
    ]
    mark = "" if curve.kind == EXACT else ESTIMATED
    return (Entry(curve.name), Entry(curve.kind), *shown, *(_at(curve, cost, bits, mark) for cost in costs))


def _at(curve: Curve, cost: str, bits: float, mark: str) -> Entry:
    value = cost_at(curve.places(cost), bits)
    if not math.isfinite(value):
        return Entry(NOTHING, reason="never reached")
    ids = tuple(dict.fromkeys(cell for way in curve.ways for cell in way.bits.cell_ids))
    return Entry(f"{number(value)}{mark}", value, cell_ids=ids)


def _notes(ways: Ways, bits: float) -> tuple[str, ...]:
    reached = (
        f"Costs are those at {number(bits)} bits/token: the exact figure of autoregression with the baseline, and "
        f"{EQUAL_BITS:g} more, as fixed before the run. Between neighbouring numbers of tokens a call log cost is "
        "taken as linear in bits; where the fewest calls are good enough the cost is theirs; n/a: never reached."
    )
    notes = [
        reached if math.isfinite(bits) else "No autoregression was measured, so no level of bits is fixed.",
        "Bits of the best and of the fewest calls: mean over seeds with the 95 % Student-t interval, each of the "
        "sampler as it ran. Seconds were taken in the cells of training, beside which another cell may have run.",
    ]
    if any(curve.kind != EXACT for curve in ways.curves):
        words = "from an estimate of the bits, which lies above the exact figure on average; not ranked"
        notes.append(f"{ESTIMATED} {words}.")
    if ways.bounds:
        notes.append(f"Bits known as a bound alone, which is compared with no exact figure: {', '.join(ways.bounds)}.")
    return tuple(notes)
