"""Tables of several machines side by side: ratios of costs, the baseline's own costs, pooled quality and verdicts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from bench.report.analysis.comparable import settings_left_out
from bench.report.analysis.machines import (
    Machine,
    MachineRatio,
    Pooled,
    all_arms,
    compared_pool,
    not_one_model,
    pooled_quality,
    ratio_on,
    shared_baseline,
)
from bench.report.analysis.references import reference_scores
from bench.report.rows.arms import arm_order
from bench.report.rows.frame import EFFICIENCY, QUALITY, rows_of, summaries_kept
from bench.report.rows.provenance import listed, parts_of, provenance
from bench.report.rows.summaries import (
    cost_summaries,
    group_words,
    quality_group,
    quality_summaries,
    reference_summaries,
)
from bench.report.tables.comparisons import difference_tables
from bench.report.tables.cost import setting_words, summary_entry
from bench.report.tables.numbers import NOTHING, number
from bench.report.tables.quality import NOT_ASKED, score_entry, seeds_entry
from bench.report.tables.table import Entry, Table, numbered
from metrics.headlines import COSTS, SCORES
from metrics.quantities import quantity_of

OWN = "†"
ONE_SIDE, SINGLE = "_one_side", "arms and lengths of one machine only"
"""End of the names, and of the titles, of tables that hold nothing to compare."""


def merged_tables(machines: Sequence[Machine]) -> list[Table]:
    """What ran where, ratios of each cost, the baseline's own costs, pooled scores and their verdicts; tables without a
    figure are left out, those of one machine only stand last. Raises UserError where the machines share no arm."""
    with summaries_kept():
        found = [table for table in _all_tables(machines) if table.rows]
    return sorted(found, key=lambda table: table.name.endswith(ONE_SIDE))


def _all_tables(machines: Sequence[Machine]) -> list[Table]:
    baseline = shared_baseline(machines)
    tables = [_machines_table(machines, baseline)]
    tables += [table for metric in COSTS for table in _ratio_tables(machines, metric, baseline)]
    tables.append(_baseline_table(machines, baseline))
    if any(len(one.quality) for one in machines):
        pooled = pooled_quality(machines)
        tables += _quality_tables(pooled, baseline)
        judged = [] if baseline in pooled.apart else difference_tables(compared_pool(pooled, machines), baseline)
        tables += [replace(one, name="merged_differences", title=f"{one.title}, all machines") for one in judged]
    return tables


def _machines_table(machines: Sequence[Machine], baseline: str) -> Table:
    """How each machine ran, side by side; arms of one machine only are named."""
    names = [one.folder.name for one in machines]
    places = [
        name if names.count(name) == 1 else one.folder.as_posix() for name, one in zip(names, machines, strict=True)
    ]
    sides = [{"results": place, **dict(provenance(one.frame))} for place, one in zip(places, machines, strict=True)]
    names = list(dict.fromkeys(name for side in sides for name in side))
    rows = [(name, *(side.get(name, "-") for side in sides)) for name in names]
    notes = [f"Ratios are to {baseline} on the same machine."]
    for one in machines:
        others = {arm for other in machines if other is not one for arm in other.arms}
        if only := [arm for arm in one.arms if arm not in others]:
            notes.append(f"Only on {one.letter}: {', '.join(only)}.")
    notes += _version_notes(machines)
    columns = ("setting", *(one.letter for one in machines))
    table = Table.of_words("merged_machines", "What ran on which machine", columns, rows)
    return replace(table, notes=(*notes, *not_one_model(machines)))


def _ratio_tables(machines: Sequence[Machine], metric: str, baseline: str) -> list[Table]:
    """A row an arm and length with its ratio to the baseline on each machine, and the verdicts: places that several
    machines measured, then those of one in a table of their own."""
    lengths = sorted({length for one in machines for length in one.costs.where(metric=metric).lengths()})
    places = [(arm, length) for arm in all_arms(machines) if arm != baseline for length in lengths]
    held = {
        (arm, length): sum(bool(one.costs.where(metric=metric, arm=arm, length=length)) for one in machines)
        for arm, length in places
    }
    title = f"{quantity_of(metric).label}, as a multiple of {baseline}'s on the same machine"
    both = [place for place in places if held[place] > 1]
    single = [place for place in places if held[place] == 1]
    return [
        _ratio_table(machines, metric, baseline, both, f"merged_{metric}", title),
        _ratio_table(machines, metric, baseline, single, f"merged_{metric}{ONE_SIDE}", f"{title}: {SINGLE}"),
    ]


def _ratio_table(
    machines: Sequence[Machine], metric: str, baseline: str, places: Sequence[tuple[str, int]], name: str, title: str
) -> Table:
    body, reasons, found = [], dict[str, list[str]](), list[list[MachineRatio]]()
    for arm, length in places:
        sides = [ratio_on(one, metric, arm, length, baseline) for one in machines]
        found.append(sides)
        for side in sides:
            if side.reason:
                reasons.setdefault(side.reason, []).append(f"{arm} at {length}")
        entries = [_ratio_entry(side) for side in sides]
        body.append((Entry(arm), Entry.count(length), *entries, Entry(_words(machines, sides))))
    notes = [f"{one.letter}: {_where(one, metric)}" for one in machines]
    notes += _interval_notes(machines, found)
    notes += [f"{NOTHING}: {', '.join(where)}: {reason}." for reason, where in reasons.items()]
    columns = ("arm", "tokens", *(one.letter for one in machines), f"against {baseline}")
    return _without_empty_columns(Table(name, title, columns, tuple(body), tuple(notes)))


def _without_empty_columns(table: Table) -> Table:
    """The table without the columns in which no row has a text: a machine that measured none of its places, verdicts
    where there are none."""
    kept = [index for index in range(len(table.columns)) if any(row[index].text for row in table.rows)]
    rows = tuple(tuple(row[index] for index in kept) for row in table.rows)
    return replace(table, columns=tuple(table.columns[index] for index in kept), rows=rows)


def _ratio_entry(side: MachineRatio) -> Entry:
    if not side.cell_ids:
        return Entry(NOTHING if side.reason else "", reason=side.reason)
    return replace(Entry.interval(side.interval, cell_ids=side.cell_ids), mark=OWN if side.own else "")


def _words(machines: Sequence[Machine], sides: Sequence[MachineRatio]) -> str:
    """The verdicts, in one word where all machines give the same."""
    short = [side.words.partition(":")[0].partition(" (")[0] for side in sides]
    if len(set(short)) == 1:
        return short[0]
    return "; ".join(f"{one.letter}: {words}" for one, words in zip(machines, short, strict=True) if words)


def _interval_notes(machines: Sequence[Machine], found: Sequence[Sequence[MachineRatio]]) -> list[str]:
    """Where the intervals come from, and at how many places those of all machines meet."""
    notes = []
    if any(side.own for sides in found for side in sides):
        notes.append(
            f"{OWN} From the intervals of both figures, taken as independent: the folder keeps no times of replicates "
            "from which the interval of pairs, which is narrower, and a verdict would follow."
        )
    whole = [[side.interval for side in sides] for sides in found]
    whole = [sides for sides in whole if all(math.isfinite(one.low) for one in sides)]
    if whole:
        meet = sum(max(one.low for one in sides) <= min(one.high for one in sides) for sides in whole)
        letters = " and ".join(one.letter for one in machines)
        notes.append(f"The intervals of {letters} meet at {meet} of {len(whole)} places.")
    return notes


def _where(machine: Machine, metric: str) -> str:
    """Device, threads, batch and kernels of a cost on a machine, in words."""
    every = cost_summaries(machine.frame).where(metric=metric)
    rows = machine.costs.where(metric=metric).measured()
    if not rows:
        return "not measured."
    device, threads, batch = rows[0].setting
    words = [setting_words((device or "unknown device", threads, batch))]
    kernels = parts_of(rows.kernels())
    words += [f"kernels {' '.join(kernels)}"] if kernels else []
    return f"{', '.join(words)}. {settings_left_out(every)}".strip()


def _baseline_table(machines: Sequence[Machine], baseline: str) -> Table:
    """The baseline's own costs on each machine."""
    body = []
    for metric in COSTS:
        sides = [one.costs.where(metric=metric, arm=baseline) for one in machines]
        for length in sorted({length for side in sides for length in side.lengths()}):
            entries = [summary_entry(side.first(length=length)) for side in sides]
            body.append((Entry(quantity_of(metric).heading), Entry.count(length), *entries))
    columns = ("cost", "tokens", *(one.letter for one in machines))
    notes = ("Brackets: 95 % interval of the machine's own timed calls or processes.",)
    return Table("merged_baseline", f"Costs of {baseline} itself", columns, tuple(body), notes)


def _quality_tables(pooled: Pooled, baseline: str) -> list[Table]:
    """Scores over the seeds of all machines, one table a corpus, length, sampler and T; references below."""
    references = reference_summaries(pooled.frame)
    groups = quality_summaries(pooled.frame).groups(quality_group)
    tables, notes = [], tuple(_pool_notes(pooled, baseline))
    for position, (group, rows) in enumerate(groups):
        metrics = [metric for metric in SCORES if rows.where(metric=metric)]
        body = []
        for arm in arm_order(pooled.frame):
            if not (mine := rows.where(arm=arm)):
                continue
            scores = [score_entry(mine.first(metric=metric), NOT_ASKED) for metric in metrics]
            body.append((Entry(arm), *scores, seeds_entry(mine), Entry(_origin(pooled, arm))))
        for name, found in reference_scores(references, metrics, group):
            body.append((Entry(f"({name})", reference=True), *map(summary_entry, found), Entry(""), Entry("")))
        columns = ("arm", *(quantity_of(metric).heading for metric in metrics), "seeds", "seeds of")
        title = f"Quality, mean over the seeds of all machines ({group_words(group)})"
        tables.append(Table(numbered("merged_quality", position, len(groups)), title, columns, tuple(body), notes))
    return tables


def _origin(pooled: Pooled, arm: str) -> str:
    """Machines and the seeds that each adds: `A: 0, 1; B: 2`."""
    sides = pooled.seeds.get(arm, {})
    return "; ".join(f"{letter}: {', '.join(map(str, seeds))}" for letter, seeds in sides.items())


def _pool_notes(pooled: Pooled, baseline: str) -> list[str]:
    notes = []
    if pooled.twice:
        apart = ", ".join(
            f"{quantity_of(metric).label} by at most {number(value)}" for metric, value in pooled.largest.items()
        )
        notes.append(
            f"{pooled.twice} cells are on several machines and count once, with the figures of the first"
            + (f"; their figures differ in {apart}." if apart else ".")
        )
    if pooled.apart:
        notes.append(
            f"Not pooled: {', '.join(pooled.apart)}: the machines share no cell of it, and the folders keep no equal "
            "settings that would show that it was trained the same."
        )
    if baseline in pooled.apart:
        notes.append(f"No verdicts: {baseline}, which arms are compared with, is not pooled.")
    return notes


def _version_notes(machines: Sequence[Machine]) -> list[str]:
    """A sentence for each kind of cell that machines ran with different versions of the code."""
    notes = []
    for kind, words in ((EFFICIENCY, "Costs"), (QUALITY, "Scores")):
        found = {one.letter: listed(rows_of(one.frame, kind)["version"]) for one in machines}
        found = {letter: versions for letter, versions in found.items() if versions}
        if len(set(found.values())) > 1:
            sides = "; ".join(f"{letter}: {versions}" for letter, versions in found.items())
            notes.append(f"{words} are of different versions of the code ({sides}).")
    return notes
