"""The quantity of a claim as a study measured it: its interval, the cells behind it, or why there is none."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from bench.report.analysis.aggregate import EXACT, grammar_marks, kernel_conflict, reference_point
from bench.report.analysis.comparisons import by_seed, losses
from bench.report.analysis.growth import cost_exponent
from bench.report.analysis.patterns import same_mixers
from bench.report.claims.paper import Quantity
from bench.report.rows.points import Point, Points, group_words, quality_group
from bench.report.rows.rounds import rounds_of
from metrics.cost.quantities import BITS
from metrics.statistics import mean_interval, rounds_ratio


@dataclass(frozen=True)
class Measured:
    """A quantity with its 95 % interval. `values` are the figures a seed each, where seeds stand behind it.

    `reason` says why there is no figure; then the claim cannot be compared.
    """

    value: float = math.nan
    low: float = math.nan
    high: float = math.nan
    where: str = ""
    values: tuple[float, ...] = ()
    cell_ids: tuple[str, ...] = ()
    note: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Evidence:
    """What a study offers: its points, and the folder that holds the raw samples."""

    cost: Points
    quality: Points
    references: Points
    folder: Path | None = None
    patterns: dict[str, str] = field(default_factory=dict)

    def unlearned(self, quantity: Quantity, point: Point) -> str:
        """Why the music of this point says nothing of a claim: its arm learned no more than the grammar; "" if it
        did."""
        marks = grammar_marks(self.quality, self.references)
        if quantity.metric != BITS and marks.get((point.corpus, point.length, point.arm)) == "no more":
            return f"{point.arm} learned no more than the grammar here"
        return ""


def measure(quantity: Quantity, evidence: Evidence) -> list[Measured]:
    """The quantity, once for each setting in which the study measured it; at least one entry, if only with a reason."""
    makers: dict[str, Callable[[Quantity, Evidence], list[Measured]]] = {
        "ratio": _ratio,
        "exponent": _exponent,
        "lead": _lead,
        "change": _change,
        "excess": _excess,
        "level": _level,
    }
    return makers[quantity.kind](quantity, evidence) or [_missing(quantity, evidence)]


def _missing(quantity: Quantity, evidence: Evidence) -> Measured:
    everything = Points([*evidence.cost, *evidence.quality])
    rows = everything.where(metric=quantity.metric)
    if not rows:
        return Measured(reason=f"the study has no {quantity.metric}")
    if not rows.where(arm=quantity.arm):
        return Measured(reason=f"the study has no arm {quantity.arm}")
    if quantity.length and not rows.where(arm=quantity.arm, length=quantity.length):
        return Measured(reason=f"{quantity.arm} was not measured at {quantity.length} tokens")
    failed = [point.reason for point in rows.where(arm=quantity.arm) if not point.measured and point.reason]
    return Measured(reason=failed[0] if failed else "what it is compared with was not measured")


def _at_length(points: Points, quantity: Quantity) -> Points:
    return points if quantity.length is None else points.where(length=quantity.length)


def _ratio(quantity: Quantity, evidence: Evidence) -> list[Measured]:
    points = _at_length(evidence.cost.where(metric=quantity.metric), quantity).measured()
    found = []
    for point in points.where(arm=quantity.arm):
        setting = {"length": point.length, "device": point.device, "threads": point.threads, "batch": point.batch}
        base = points.first(arm=quantity.baseline, **setting)
        if base is not None:
            found.append(_one_ratio(point, base, evidence.folder))
    return found


def _one_ratio(point: Point, base: Point, folder: Path | None) -> Measured:
    where = ", ".join(word for word in (f"L = {point.length}", point.device) if word)
    cells = tuple(dict.fromkeys((*point.cell_ids, *base.cell_ids)))
    conflict = kernel_conflict([*point.kernels, *base.kernels])
    if conflict:
        return Measured(where=where, cell_ids=cells, reason=f"kernels differ ({conflict})")
    value = point.value / base.value
    if point.metric in EXACT:
        return Measured(value, value, value, where, (), cells, "counted, so exact")
    rounds = (rounds_of(folder, point), rounds_of(folder, base)) if folder else ([], [])
    if all(rounds) and set(point.sessions) == set(base.sessions) != {""}:
        ratio = rounds_ratio(*rounds)
        note = f"{ratio.n} rounds in turns"
        return Measured(ratio.value, ratio.low, ratio.high, where, (), cells, note)
    if point.has_interval and base.has_interval:
        low, high = point.low / base.high, point.high / base.low
        return Measured(value, low, high, where, (), cells, "from both intervals, wider than need be")
    return Measured(value, where=where, cell_ids=cells, note="measured once, so no interval")


def _exponent(quantity: Quantity, evidence: Evidence) -> list[Measured]:
    points = evidence.cost.where(metric=quantity.metric, arm=quantity.arm).measured()
    found = []
    for setting, line in points.groups(lambda p: (p.device, p.threads, p.batch, p.kernel)):
        lengths = line.lengths()
        if len(lengths) >= 3:
            interval, note = cost_exponent(line, evidence.folder)
            where = ", ".join(word for word in (f"L = {lengths[0]} to {lengths[-1]}", setting[0]) if word)
            cells = tuple(dict.fromkeys(cell for point in line for cell in point.cell_ids))
            found.append(Measured(interval.value, interval.low, interval.high, where, (), cells, note))
    return found


def _lead(quantity: Quantity, evidence: Evidence) -> list[Measured]:
    found = []
    for group, points in evidence.quality.where(metric=quantity.metric).groups(quality_group):
        points = _at_length(points, quantity).measured()
        mine = points.first(arm=quantity.arm)
        others = [point for point in points if point.arm != quantity.arm and _is_rival(point.arm, quantity, evidence)]
        if mine is None or not others:
            continue
        found.append(
            _smallest_lead(mine, others, evidence.references, group_words(group), evidence.unlearned(quantity, mine))
        )
    return found


def _smallest_lead(mine: Point, others: list[Point], references: Points, where: str, reason: str) -> Measured:
    """The lead over the arm that comes nearest, or is furthest ahead.

    To be ahead of all, every lead's 95 % interval must be above the bound, so the lowest end counts; to be behind
    one of k, an interval of level 1 - 0.05 / k must lie below it, so the upper end is the lowest of those.
    """
    lost = losses(Points([mine, *others]), references)
    if not lost and by_seed(mine):
        return Measured(where=where, reason=f"no way of {mine.metric} is better without real music to compare with")
    leads = {arm: _paired(lost.get(mine.arm, {}), values) for arm, values in lost.items() if arm != mine.arm}
    leads = {arm: values for arm, values in leads.items() if values}
    if not leads:
        return Measured(where=where, reason="no seed in common")
    plain = [mean_interval(values) for values in leads.values()]
    joint = [mean_interval(values, 1 - 0.05 / len(leads)) for values in leads.values()]
    nearest = min(leads, key=lambda arm: float(np.mean(leads[arm])))
    low, high = min(one.low for one in plain), min(one.high for one in joint)
    cells = tuple(dict.fromkeys(cell for point in (mine, *others) for cell in point.cell_ids))
    note = f"smallest lead, over {nearest}, of those over {', '.join(leads)}"
    return Measured(float(np.mean(leads[nearest])), low, high, where, leads[nearest], cells, note, reason)


def _paired(mine: dict[int, float], other: dict[int, float]) -> tuple[float, ...]:
    return tuple(other[seed] - mine[seed] for seed in sorted(mine.keys() & other.keys()))


def _is_rival(arm: str, quantity: Quantity, evidence: Evidence) -> bool:
    """Whether an arm is another backbone than the claimed one: the same under another name, or trained at another
    length, is none."""
    theirs, mine = evidence.patterns.get(arm, ""), evidence.patterns.get(quantity.arm, "")
    if theirs and theirs == mine:
        return False
    return quantity.against == "all" or same_mixers(theirs, mine)


def _change(quantity: Quantity, evidence: Evidence) -> list[Measured]:
    points = evidence.quality.where(metric=quantity.metric, arm=quantity.arm).measured()
    found = []
    for (corpus, sampler), line in points.groups(lambda p: (p.corpus, p.sampler)):
        lengths = line.lengths()
        last = line.first(length=quantity.length or max(lengths, default=None))
        if last is None or len(lengths) < 2 or last.length == lengths[0]:
            continue
        first = line.first(length=lengths[0])
        assert first is not None
        early, late = by_seed(first), by_seed(last)
        values = tuple(late[seed] - early[seed] for seed in sorted(early.keys() & late.keys()))
        interval = mean_interval(values)
        levels = [
            f"{length}: {ceiling.value:.3f}"
            for length in (first.length, last.length)
            if (ceiling := reference_point(evidence.references, "real-vs-real", quantity.metric, corpus, length))
        ]
        note = f"{last.length} minus {first.length} tokens; real against real {', '.join(levels) or 'not measured'}"
        where = ", ".join(word for word in (corpus, sampler) if word)
        cells = tuple(dict.fromkeys((*first.cell_ids, *last.cell_ids)))
        reason = evidence.unlearned(quantity, last) or evidence.unlearned(quantity, first)
        found.append(Measured(interval.value, interval.low, interval.high, where, values, cells, note, reason))
    return found


def _excess(quantity: Quantity, evidence: Evidence) -> list[Measured]:
    points = _at_length(evidence.quality.where(metric=quantity.metric, arm=quantity.arm), quantity).measured()
    found = []
    for point in points:
        reference = reference_point(evidence.references, quantity.over, quantity.metric, point.corpus, point.length)
        if reference is None:
            continue
        values = tuple(value - reference.value for value in by_seed(point).values())
        interval = mean_interval(values)
        above, below = (reference.high - reference.value, reference.value - reference.low)
        known = reference.has_interval
        low, high = (interval.low - above, interval.high + below) if known else (interval.low, interval.high)
        where = group_words(quality_group(point))
        note = f"{quantity.over} has {reference.value:.3g}, its spread over pieces is {'' if known else 'not '}included"
        cells = (*point.cell_ids, *reference.cell_ids)
        reason = evidence.unlearned(quantity, point)
        found.append(Measured(interval.value, low, high, where, values, cells, note, reason))
    return found


def _level(quantity: Quantity, evidence: Evidence) -> list[Measured]:
    points = _at_length(evidence.quality.where(metric=quantity.metric, arm=quantity.arm), quantity).measured()
    found = []
    for point in points:
        values = tuple(by_seed(point).values())
        interval = mean_interval(values)
        where = group_words(quality_group(point))
        reason = evidence.unlearned(quantity, point)
        cells = point.cell_ids
        found.append(Measured(interval.value, interval.low, interval.high, where, values, cells, "", reason))
    return found
