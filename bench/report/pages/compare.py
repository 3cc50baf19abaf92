"""Two studies, commits or machines side by side: what changed in how they ran, and which figures differ."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from bench.report.analysis.aggregate import EXACT
from bench.report.analysis.comparisons import ALPHA, by_seed
from bench.report.pages.provenance import provenance
from bench.report.rows.points import Point, Points, cost_points, quality_points
from bench.report.tables.table import Entry, Table
from metrics.headlines import COSTS, PRIMARY
from metrics.quantities import quantity_of
from metrics.statistics import holm, paired_difference, smallest_p_value


@dataclass(frozen=True)
class Change:
    """A figure in both studies. `verdict`: "lower", "higher", "no difference found", "not tested" or why not
    compared."""

    first: Point
    second: Point
    verdict: str
    forced: bool = False


def differing_settings(first: pd.DataFrame, second: pd.DataFrame) -> list[tuple[str, str, str]]:
    """Settings of the two studies that are not the same: name, words of the first, words of the second."""
    one, other = dict(provenance(first)), dict(provenance(second))
    names = list(dict.fromkeys([*one, *other]))
    return [(name, one.get(name, "-"), other.get(name, "-")) for name in names if one.get(name) != other.get(name)]


def changes(first: pd.DataFrame, second: pd.DataFrame, *, force: bool = False) -> list[Change]:
    """Every figure that both studies have, with a verdict on second against first.

    Costs on different devices, threads or kernels are not compared unless `force`; then the row is marked. Costs differ
    where their intervals lie apart (counts: where they differ at all); the primary scores by an exact test paired
    by seed, Holm-corrected; other scores are shown and not tested.
    """
    cost = [
        _cost_change(one, other, force)
        for one, other in _matched(
            cost_points(first), cost_points(second), lambda p: (p.metric, p.arm, p.length, p.batch)
        )
        if one.metric in COSTS
    ]
    scores = _matched(
        quality_points(first),
        quality_points(second),
        lambda p: (p.metric, p.arm, p.corpus, p.length, p.sampler, p.sample_steps),
    )
    return cost + _score_changes(scores)


def _matched(first: Points, second: Points, key: Callable[[Point], object]) -> list[tuple[Point, Point]]:
    others = {key(point): point for point in second.measured()}
    return [(point, others[key(point)]) for point in first.measured() if key(point) in others]


def _cost_change(first: Point, second: Point, force: bool) -> Change:
    if first.metric in EXACT:
        return Change(first, second, _side(first.value, second.value))
    ran = [(point.device, point.threads, point.kernel) for point in (first, second)]
    if ran[0] != ran[1] and not force:
        names = ("device", "threads", "kernel")
        differing = [
            f"{name} {one or '-'} and {other or '-'}"
            for name, one, other in zip(names, *ran, strict=True)
            if one != other
        ]
        return Change(first, second, f"not compared: {'; '.join(differing)}")
    if not (first.has_interval and second.has_interval):
        return Change(first, second, "no interval to compare by", ran[0] != ran[1])
    apart = first.high < second.low or second.high < first.low
    return Change(first, second, _side(first.value, second.value) if apart else "no difference found", ran[0] != ran[1])


def _side(first: float, second: float) -> str:
    return "no difference found" if first == second else "lower" if second < first else "higher"


def _score_changes(pairs: list[tuple[Point, Point]]) -> list[Change]:
    tested = [(one, other) for one, other in pairs if one.metric in PRIMARY]
    found = [paired_difference(by_seed(other), by_seed(one)) for one, other in tested]
    adjusted = holm([one.p_value for one in found])
    verdicts = {}
    for (one, _), pair, p_value in zip(tested, found, adjusted, strict=True):
        if pair.difference.n == 0:
            verdict = "not compared: no seed in common"
        elif p_value <= ALPHA:
            verdict = _side(0.0, pair.difference.value)
        elif smallest_p_value(pair.difference.n) * len(tested) > ALPHA:
            seeds = pair.difference.n
            verdict = f"cannot be decided with {seeds} seed{'s' if seeds > 1 else ''}"
        else:
            verdict = "no difference found"
        verdicts[id(one)] = verdict
    return [Change(one, other, verdicts.get(id(one), "not tested")) for one, other in pairs]


def change_tables(
    first: pd.DataFrame, second: pd.DataFrame, names: tuple[str, str] = ("A", "B"), *, force: bool = False
) -> list[Table]:
    """What differs in how the two ran, and their figures side by side."""
    settings = differing_settings(first, second)
    rows = tuple(tuple(Entry(word) for word in row) for row in settings)
    tables = [Table("settings", "What differs in how they ran", ("setting", *names), rows)] if rows else []
    body = []
    for change in changes(first, second, force=force):
        one, other = change.first, change.second
        where = " ".join(str(word) for word in (one.arm, "" if one.length is None else f"L={one.length}") if word)
        ratio = other.value / one.value if one.value else float("nan")
        body.append(
            (
                Entry(where, mark="*" if change.forced else ""),
                Entry(quantity_of(one.metric, one.unit).heading),
                Entry.figure(one.value, one.low, one.high, cell_ids=one.cell_ids),
                Entry.figure(other.value, other.low, other.high, cell_ids=other.cell_ids),
                Entry.figure(ratio),
                Entry(change.verdict),
            )
        )
    columns = ("where", "figure", *names, f"{names[1]} / {names[0]}", f"{names[1]} against {names[0]}")
    notes = ["* compared although device, threads or kernel differ (--force)."] if any(e[0].mark for e in body) else []
    notes.append(
        "Costs: apart where 95 % intervals do not meet. bits/token and OA mean: exact test paired by seed, Holm."
    )
    return [*tables, Table("changes", f"{names[0]} and {names[1]}", columns, tuple(body), tuple(notes))]
