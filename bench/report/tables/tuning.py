"""Tables of a study that tunes: what was tried and chosen, its cost, and the reading with every arm at one value."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path

import pandas as pd

from bench.report.presentation import all_rows
from bench.report.rows.frame import OTHER_READING, QUALITY, TUNING
from bench.report.rows.study import study_tune, tuned_in
from bench.report.rows.tuning import Sweep, own_words, shared_of, shared_reading, sweeps, training_cost
from bench.report.tables.numbers import number
from bench.report.tables.table import Entry, Table, numbered
from bench.study.tuning import Point, Tried, key_of, order_of, point_words, setting_word

MakeTables = Callable[[pd.DataFrame], list[Table]]


def tuning_tables(frame: pd.DataFrame, folder: Path) -> list[Table]:
    """One table of the sweep for each corpus and length, and one of its cost; none where the study does not tune. The
    shared value and the cost are of all arms, shown or not."""
    found = sorted(sweeps(frame, folder), key=lambda sweep: (sweep.corpus, sweep.length or 0))
    groups = [list(group) for _, group in groupby(found, key=lambda sweep: sweep.setting)]
    everything = all_rows(frame)
    of_all = sweeps(everything, folder)
    tables = [
        _sweep_table(
            group,
            shared_of([one for one in of_all if one.setting == group[0].setting]),
            folder,
            numbered("tuning", at, len(groups)),
        )
        for at, group in enumerate(groups)
    ]
    return [*tables, *([_cost_table(everything)] if tables else [])]


def _sweep_table(found: Sequence[Sweep], shared: Point | None, folder: Path, name: str) -> Table:
    points = {key_of(one.point): one.point for sweep in found for one in sweep.choice.tried}
    order = sorted(points.values(), key=order_of)
    tune = study_tune(folder)
    body = []
    for sweep in found:
        best = sweep.choice.best
        body.append(
            (
                Entry(sweep.arm, cell_ids=sweep.cell_ids),
                *(_point_entry(sweep.choice.at(point), best) for point in order),
                Entry(point_words(best.point) if best else "none"),
                Entry(sweep.choice.why),
                Entry(edge_words(sweep)),
            )
        )
    columns = ("arm", *map(point_words, order), "own", "how sure", "edge")
    share, seeds = float(tune.get("share", math.nan)), tuple(tune.get("seeds", ()))
    listed = ", ".join(map(str, seeds))
    notes = [
        f"Validation bits/token, mean over the sweep's seeds ({listed}); each training has {100 * share:g} % of the "
        "study's budget with its own schedule to the end. Own: the lowest of an arm, bold.",
        shared_words(shared),
        *_at_shared(found, shared),
        *_full_words(found, share),
    ]
    if any(not math.isfinite(one.mean) for sweep in found for one in sweep.choice.tried):
        notes.append("inf: a training diverged or failed there; such a point is never chosen.")
    title = f"Sweep (corpus {found[0].corpus}, L = {found[0].length})"
    return Table(name, title, columns, tuple(body), tuple(notes))


def _point_entry(one: Tried | None, best: Tried | None) -> Entry:
    if one is None:
        return Entry("")
    if not math.isfinite(one.mean):
        return Entry("inf", reason=one.reason)
    return replace(Entry.figure(one.mean), best=best is not None and one.point == best.point)


def edge_words(sweep: Sweep) -> str:
    """Where the choice still lies at the edge of what was tried; "" inside."""
    sides = {-1: "smallest", 1: "largest"}
    return ", ".join(f"{setting_word(name)}: the {sides[side]} tried" for name, side in sweep.choice.edges.items())


def shared_words(shared: Point | None) -> str:
    """The value shared by all arms, in words."""
    rule = "the lowest mean over arms of those that every arm tried"
    return (
        f"Shared by all arms: {point_words(shared)}, {rule}." if shared else f"No value is shared: {rule}, is infinite."
    )


def _at_shared(found: Sequence[Sweep], shared: Point | None) -> list[str]:
    """The second reading as the sweep has it: every arm at the shared value, from low to high."""
    if shared is None:
        return []
    means = {sweep.arm: one.mean for sweep in found if (one := sweep.choice.at(shared))}
    own = {sweep.arm: sweep.choice.best.mean for sweep in found if sweep.choice.best}
    listed = [
        "; ".join(f"{arm} {number(one[arm])}" for arm in sorted(one, key=one.__getitem__)) for one in (means, own)
    ]
    return [f"In the sweep, every arm at the shared value: {listed[0]}. Each at its own: {listed[1]}."]


def _full_words(found: Sequence[Sweep], share: float) -> list[str]:
    """Whether the order of the choice and its neighbours is the same with the whole budget."""
    words = []
    for sweep in found:
        if not (both := _at_both_lengths(sweep)):
            continue
        at_share, at_full = ([point for point, *_ in sorted(both, key=lambda one: one[part])] for part in (1, 2))
        listed = "; ".join(f"{point} {number(full)}" for point, _, full in both)
        if at_share == at_full:
            order = "the same as"
        else:
            order = f"another, {'with the same' if at_share[0] == at_full[0] else 'with another'} best, than"
        words.append(
            f"{sweep.arm}, its choice beside its neighbours at full length, one seed: {listed} bits/token; "
            f"the order at full length is {order} at {100 * share:g} %."
        )
    return words


def _at_both_lengths(sweep: Sweep) -> list[tuple[str, float, float]]:
    """Points that ran at full length too: their words, validation bits/token in the sweep and at full length."""
    if len(sweep.full) < 2:
        return []
    both = ((sweep.choice.at(full.point), full) for full in sweep.full)
    return [(point_words(full.point), short.mean, full.mean) for short, full in both if short]


def _cost_table(frame: pd.DataFrame) -> Table:
    sweep, study = training_cost(frame, TUNING), training_cost(frame, QUALITY, OTHER_READING)
    rows = [
        (
            Entry(words),
            Entry.count(cost.cells),
            Entry.count(cost.steps),
            Entry.figure(cost.seconds),
        )
        for words, cost in (("sweep", sweep), ("study", study))
    ]
    share = f"{100 * sweep.seconds / study.seconds:.0f} %" if study.seconds else "no part"
    notes = (f"The sweep took {share} of the study's own training time; cells that were taken over count.",)
    return Table("tuning_cost", "Cost of the sweep", ("part", "trainings", "steps", "seconds"), tuple(rows), notes)


def with_values(tables: list[Table], frame: pd.DataFrame, folder: Path) -> list[Table]:
    """The tables with a note of the values at which their arms ran."""
    words = own_words(frame)
    if not words:
        return tables
    before = tuned_in(folder)
    source = "the sweep" if study_tune(folder) else f"the sweep of study {before}" if before else "the study's file"
    note = f"Each arm at its own values, chosen by {source}: {words}."
    return [replace(table, notes=(*table.notes, note)) for table in tables]


def shared_tables(frame: pd.DataFrame, folder: Path, make: MakeTables) -> list[Table]:
    """The tables of `make` with every arm at the shared values; none where all arms run at them anyway, or where no
    cells of that reading were asked for."""
    shared = shared_reading(frame)
    if shared is None:
        return []
    note = f"Second reading, beside each arm at its own: every arm at the shared values: {own_words(shared)}."
    return [
        replace(table, name=f"shared_{table.name}", title=f"Shared values: {table.title}", notes=(*table.notes, note))
        for table in make(shared)
    ]


def tuning_sentences(frame: pd.DataFrame, folder: Path | None) -> list[str]:
    """At which values each arm ran, and why; where the sweep's share of the budget led to another choice than the whole
    budget, that first."""
    found = sweeps(frame, folder) if folder else []
    own = own_words(frame)
    if not found:
        before = tuned_in(folder) if folder else ""
        if not before:
            return []
        swept = f"lowest validation bits/token in the sweep of study {before}"
        one_value = f"All arms run at the same values, where each has its {swept}."
        return [f"Each arm runs at the values with its {swept}: {own}." if own else one_value]
    misled = []
    for sweep in found:
        both = _at_both_lengths(sweep)
        if both and (best := min(both, key=lambda one: one[2])) != min(both, key=lambda one: one[1]):
            misled.append(
                f"The sweep's choice for {sweep.arm} does not hold over the whole length of training ({best[0]} is "
                "better there), so the values of all arms are in doubt: sweep with a larger `share`."
            )
    several = len({sweep.setting for sweep in found}) > 1
    words = [
        f"{sweep.arm}{f' ({sweep.corpus}, L = {sweep.length})' if several else ''} {chosen_words(sweep)}"
        for sweep in found
    ]
    return [
        *misled,
        f"Each arm runs at the values with its lowest validation bits/token in the sweep: {'; '.join(words)}.",
    ]


def chosen_words(sweep: Sweep) -> str:
    """The choice of an arm, how sure it is, and whether it lies at the edge."""
    best, edge = sweep.choice.best, edge_words(sweep)
    value = point_words(best.point) if best else "not run"
    return f"{value} ({sweep.choice.why}{f'; at the edge, {edge}' if edge else ''})"
