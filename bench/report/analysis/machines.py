"""Results of several machines together: costs as ratios to the baseline within each, quality pooled over their seeds.

A cost of one machine is never set against a cost of another, only its ratio to the same arm's. A quality cell has the
same id on every machine, so that a cell which several hold counts once and further seeds of its settings join it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path

import pandas as pd

from bench.errors import UserError
from bench.files import canonical_hash
from bench.report.analysis.comparable import EXACT, first_setting
from bench.report.analysis.comparisons import Compared, compare, trainings_of
from bench.report.analysis.growth import cost_ratio
from bench.report.analysis.models import cells_of
from bench.report.rows.arms import arm_order
from bench.report.rows.frame import QUALITY, REFERENCE, rows_of
from bench.report.rows.study import baseline_arm, kernels_together, stated_margins
from bench.report.rows.summaries import (
    REFERENCE_KEYS,
    Summaries,
    Summary,
    cost_summaries,
    quality_group,
    quality_summaries,
    reference_summaries,
)
from bench.store.cells import CellFolder
from metrics.headlines import PRIMARY
from metrics.quantities import quantity_of
from metrics.statistics.differences import primary_level
from metrics.statistics.intervals import Interval
from metrics.statistics.ratio import independent_ratio

GROUP = ("arm", "corpus", "length", "sampler", "sample_steps")
"""Columns that name the cells of one arm which differ in their seed alone."""


@dataclass(frozen=True, eq=False)
class Machine:
    """The results folder of one machine, and the letter under which tables show it."""

    letter: str
    folder: Path
    frame: pd.DataFrame

    @cached_property
    def costs(self) -> Summaries:
        """Costs in the first setting of each metric: one an arm and length."""
        return first_setting(cost_summaries(self.frame))

    @cached_property
    def arms(self) -> list[str]:
        """Arms in the order of reports."""
        return arm_order(self.frame)

    @cached_property
    def quality(self) -> pd.DataFrame:
        """Rows of the quality cells."""
        return rows_of(self.frame, QUALITY)

    @cached_property
    def scores(self) -> pd.DataFrame:
        """Rows of the quality and reference cells."""
        return self.frame[self.frame["kind"].isin((QUALITY, REFERENCE))]

    def recipe(self, cell_id: str) -> str:
        """Hash of a quality cell's settings without its seed; "" where the folder holds no configuration of it."""
        configuration = CellFolder(self.folder / cell_id).configuration() or {}
        settings = configuration.get("settings")
        if not isinstance(settings, dict):
            return ""
        return canonical_hash({name: value for name, value in settings.items() if name != "seed"})


@dataclass(frozen=True)
class MachineRatio:
    """A cost of one arm and length as a multiple of the baseline's on one machine.

    `own`: the interval comes from those of both figures, because the folder keeps no times of replicates. Without a
    figure there are no cells, and a `reason` where the arm was asked for at this length.
    """

    interval: Interval
    words: str = ""
    own: bool = False
    reason: str = ""
    cell_ids: tuple[str, ...] = ()


@dataclass(frozen=True)
class Pooled:
    """Quality cells of all machines in one frame, each cell once.

    Parameters
    ----------
    folders
        Cell id -> folder of the cell.
    seeds
        Arm -> letter of a machine -> its seeds in the frame.
    twice
        Cells that two machines hold, and for each primary metric the largest difference of their figures.
    apart
        Arms of several machines that are not pooled: nothing shows that their settings agree.
    """

    frame: pd.DataFrame
    folders: Mapping[str, Path]
    seeds: Mapping[str, Mapping[str, list[int]]]
    twice: int
    largest: Mapping[str, float]
    apart: tuple[str, ...]


def shared_baseline(machines: Sequence[Machine]) -> str:
    """The arm that costs are ratios to: the baseline of the first study which all have, else an arm that all have.

    Raises UserError where no arm is in all.
    """
    shared = [arm for arm in machines[0].arms if all(arm in one.arms for one in machines[1:])]
    if not shared:
        arms = "; ".join(f"{one.letter} has {', '.join(one.arms) or 'none'}" for one in machines)
        raise UserError(f"merge: the studies share no arm: {arms}")
    wanted = [baseline_arm(one.folder, one.frame) for one in machines]
    return next(arm for arm in (*wanted, *shared) if arm in shared)


def all_arms(machines: Sequence[Machine]) -> list[str]:
    """Arms of all machines, in the order of reports."""
    return arm_order(pd.concat([one.frame[["kind", "arm"]] for one in machines]))


def ratio_on(machine: Machine, metric: str, arm: str, length: int, baseline: str) -> MachineRatio:
    """The ratio of an arm's cost to the baseline's on one machine; without a figure its reason."""
    summary = machine.costs.first(metric=metric, arm=arm, length=length)
    nothing = Interval(math.nan, math.nan, math.nan, 0)
    if summary is None:
        return MachineRatio(nothing)
    if not summary.measured:
        return MachineRatio(nothing, reason=summary.reason or "no reason recorded")
    base = machine.costs.beside(summary, baseline)
    if base is None:
        return MachineRatio(nothing, reason=f"{baseline} has no figure on {machine.letter}")
    found = cost_ratio(summary, machine.costs, baseline, machine.folder, together=kernels_together(machine.folder))
    cells = (*summary.cell_ids, *base.cell_ids)
    if found is None:
        return MachineRatio(nothing, reason=f"ran on another kernel than {baseline} on {machine.letter}")
    if math.isfinite(found.interval.low) or metric in EXACT:
        return MachineRatio(found.interval, found.words, cell_ids=cells)
    own = independent_ratio(_own_interval(summary), _own_interval(base))
    return MachineRatio(own, found.words, own=math.isfinite(own.low), cell_ids=cells)


def _own_interval(summary: Summary) -> Interval:
    return Interval(summary.value, summary.low, summary.high, int(summary.n) if summary.n.isdigit() else 0)


def pooled_quality(machines: Sequence[Machine]) -> Pooled:
    """Quality and reference rows of all machines; of a cell that several hold those of the first that has a figure.
    Ceiling and floors are those of the first machine that has them.

    The seeds of an arm are pooled where the machines share one of its cells, or where the settings that both folders
    keep agree but for the seed. Else the arm stands there once a machine, with its letter after its name.
    """
    homes = _homes(machines)
    folders: dict[str, Path] = {}
    frames, twice = [], dict[str, list[Machine]]()
    apart = _apart(machines)
    seeds: dict[str, dict[str, list[int]]] = {}
    for machine in machines:
        for cell_id in machine.quality["cell_id"].unique():
            twice.setdefault(str(cell_id), []).append(machine)
        own = [cell_id for cell_id, home in homes.items() if home is machine]
        rows = machine.scores[machine.scores["cell_id"].isin(own)].copy()
        split = rows["arm"].isin(apart) & (rows["kind"] == QUALITY)
        rows.loc[split, "arm"] = rows.loc[split, "arm"] + f" ({machine.letter})"
        folders |= {cell_id: machine.folder / cell_id for cell_id in own}
        for arm, its in rows_of(rows, QUALITY).groupby("arm"):
            found = sorted(int(seed) for seed in its["seed"].dropna().unique())
            seeds.setdefault(str(arm), {})[machine.letter] = found
        frames.append(rows)
    several = {cell_id: held for cell_id, held in twice.items() if len(held) > 1}
    frame = pd.concat(frames, ignore_index=True)
    real = frame[(frame["kind"] == REFERENCE) & frame["value"].notna()]
    frame = frame.drop(index=real.index[real.duplicated(list(REFERENCE_KEYS))])
    return Pooled(frame, folders, seeds, len(several), _largest(several), tuple(apart))


def _homes(machines: Sequence[Machine]) -> dict[str, Machine]:
    """Cell -> the machine whose rows of it count: the first that has a figure, else the first that holds it."""
    homes: dict[str, Machine] = {}
    for measured in (True, False):
        for machine in machines:
            rows = machine.scores
            for cell_id in (rows[rows["value"].notna()] if measured else rows)["cell_id"].unique():
                homes.setdefault(str(cell_id), machine)
    return homes


def _apart(machines: Sequence[Machine]) -> list[str]:
    """Arms of several machines of which nothing shows that one's cells have the settings of another's."""
    found = []
    for arm in all_arms(machines):
        holders = [one for one in machines if (one.quality["arm"] == arm).any()]
        if any(not _agree(first, other, arm) for first, other in combinations(holders, 2)):
            found.append(arm)
    return found


def _agree(first: Machine, second: Machine, arm: str) -> bool:
    """Whether in each setting that both have (length, sampler) they share a cell of the arm, or its settings."""
    sides = [one.quality[one.quality["arm"] == arm] for one in (first, second)]
    groups = [dict(list(side.groupby(list(GROUP), dropna=False)["cell_id"].unique().items())) for side in sides]
    shared = groups[0].keys() & groups[1].keys()
    if not shared:  # of other settings by their columns, which keep them apart in every table
        return True
    for group in shared:
        one, other = ({str(cell_id) for cell_id in found[group]} for found in groups)
        recipes = [{machine.recipe(cell) for cell in cells} for machine, cells in ((first, one), (second, other))]
        if not one & other and (recipes[0] != recipes[1] or "" in recipes[0]):
            return False
    return True


def _largest(several: Mapping[str, list[Machine]]) -> dict[str, float]:
    """For each primary metric the largest difference between two machines' figures of one cell."""
    largest: dict[str, float] = {}
    for cell_id, machines in several.items():
        for metric in PRIMARY:
            figures = []
            for one in machines:
                rows = one.quality[(one.quality["cell_id"] == cell_id) & (one.quality["metric"] == metric)]
                figures += [value for value in rows["value"] if math.isfinite(value)][:1]
            if len(figures) > 1:
                largest[metric] = max(largest.get(metric, 0.0), max(figures) - min(figures))
    return largest


def compared_pool(pooled: Pooled, machines: Sequence[Machine]) -> Iterator[Compared]:
    """The models of the primary metrics over all seeds, as a report of one study has them; margins are those that the
    first study states."""
    references, margins = reference_summaries(pooled.frame), stated_margins(machines[0].folder)
    for group, rows in quality_summaries(pooled.frame).groups(quality_group):
        trainings = trainings_of(rows)
        measured = {metric: rows.where(metric=metric).measured() for metric in PRIMARY}
        several = sum(len(found) > 1 for found in measured.values())
        for metric, found in measured.items():
            if found:
                homes = cells_of(found, Path())
                cells = {key: pooled.folders[path.name] for key, path in homes.items()}
                margin = margins.get(metric, quantity_of(metric).margin)
                yield compare(found, references, primary_level(max(several, 1)), margin, cells, group, trainings)


def not_one_model(machines: Iterable[Machine]) -> list[str]:
    """Sentences for arms of one name whose pattern or parameters differ between machines."""
    found: dict[str, dict[str, str]] = {}
    for one in machines:
        for arm, rows in one.costs.measured().groups(lambda summary: summary.arm):
            words = f"{rows[0].pattern or 'no pattern'}, {rows[0].parameters or 'unknown'} parameters"
            found.setdefault(arm, {})[one.letter] = words
    return [
        f"{arm} is not one model: {'; '.join(f'{letter}: {words}' for letter, words in sides.items())}."
        for arm, sides in found.items()
        if len(set(sides.values())) > 1
    ]
