"""Sweeps of a study: their cells, what finished ones decide, and the cells that follow.

Nothing is decided but by the measurements of finished cells, so a run that was cut off decides the same again, and each
runner of several does. The phases: all points of the grid; one value beyond an edge at which an arm's best lies; then
the study's own cells at the chosen values, and the baseline's choice beside its neighbours at full length.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from bench.errors import UserError
from bench.run.cells import quality_cell, tuning_cell
from bench.store.cells import FINISHED, Store
from bench.study.content import Tune
from bench.study.grid import Cell, Combination, Study
from bench.study.tuning import (
    FULL,
    OWN,
    SHARED,
    Choice,
    Point,
    Tried,
    choose,
    extensions,
    is_number,
    neighbours,
    point_words,
    points_of,
    shared_point,
)
from metrics.cost.quantities import VALIDATION_BITS

if TYPE_CHECKING:
    from architectures.catalog import ArmConfig
    from bench.data import TokenCorpus

Figure = tuple[float, str]
"""Validation bits/token of a finished cell, infinite where it gave none, and why."""
Read = Callable[[Cell], Figure | None]
"""The figure of a cell; None while it has not ended."""


@dataclass
class Phases:
    """Cells that are known by now, and cells like those that may follow at most."""

    cells: list[Cell] = field(default_factory=list)
    later: list[Cell] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    choices: list[tuple[TunedArm, Choice | None]] = field(default_factory=list)


@dataclass(frozen=True)
class TunedArm:
    """One combination of a study whose settings are swept; `config_at` gives its backbone at a point."""

    study: Study
    member: Combination
    tokens: TokenCorpus
    config_at: Callable[[Combination, Point], ArmConfig]

    @property
    def tune(self) -> Tune:
        """The sweep of the study."""
        assert self.study.content.tune
        return self.study.content.tune

    @cached_property
    def grid(self) -> list[Point]:
        """The points that it tries at first; one alone where the arm states the settings itself."""
        return points_of(self.study.grid_of(self.member))

    @property
    def is_swept(self) -> bool:
        """Whether there is something to choose."""
        return len(self.grid) > 1

    def sweep_cell(self, point: Point, seed: int, share: float, role: str = "") -> Cell:
        """A training at a point with a share of the budget, and its validation."""
        member = self.study.at(self.member, point)
        return tuning_cell(
            member,
            self.config_at(self.member, point),
            self.tokens,
            seed,
            self.study.content.plugins,
            share=share,
            tuned=point_words(point),
            point=point,
            reading=role,
            threads=self._threads,
        )

    def main_cells(self, point: Point, reading: str) -> list[Cell]:
        """The study's own cells at a point, as a study has them that states these values."""
        member, content = self.study.at(self.member, point), self.study.content
        labels: dict[str, Any] = {"batch": member.sample.pieces, "threads": self._threads}
        labels |= {"tuned": point_words(point), "point": point, "reading": reading}
        config, infill = self.config_at(self.member, point), content.measure.infilling
        return [
            quality_cell(member, config, self.tokens, seed, content.plugins, infill, **labels) for seed in content.seeds
        ]

    @property
    def _threads(self) -> int:
        assert self.study.content.measure.quality
        return self.study.content.measure.quality.threads

    def sweep_cells(self, points: Iterable[Point]) -> list[Cell]:
        """The cells of these points, one for each seed of the sweep."""
        return [self.sweep_cell(point, seed, self.tune.share) for point in points for seed in self.tune.seeds]

    def tried(self, points: Iterable[Point], read: Read) -> list[Tried] | None:
        """What was measured at these points; None where a cell has not ended."""
        found = []
        for point in points:
            figures = [read(cell) for cell in self.sweep_cells([point])]
            if any(figure is None for figure in figures):
                return None
            ended = [figure for figure in figures if figure is not None]
            reason = next((why for _, why in ended if why), "")
            found.append(Tried(point, tuple(bits for bits, _ in ended), reason))
        return found

    def allowed(self, point: Point) -> Point | None:
        """The point as the settings read it; None where they refuse it."""
        try:
            return self.study.point_read(self.member, point)
        except UserError:
            return None

    def decide(self, read: Read, phases: Phases) -> Choice | None:
        """The choice, None while cells of the sweep are missing; adds those that are known."""
        phases.cells += self.sweep_cells(self.grid)
        at_first = self.tried(self.grid, read)
        if at_first is None:
            numbers = sum(any(map(is_number, (point[name] for point in self.grid))) for name in self.tune.grid)
            phases.later += self.sweep_cells(self.grid[:1]) * numbers
            return None
        further = extensions(choose(at_first), self.allowed)
        phases.cells += self.sweep_cells(further)
        beyond = self.tried(further, read)
        return None if beyond is None else choose([*at_first, *beyond])


def tuned_phases(arms: Sequence[TunedArm], read: Read) -> Phases:
    """The cells of arms that stand in one table, as far as finished cells decide them."""
    phases = Phases()
    fixed = [arm for arm in arms if not arm.is_swept]
    swept = [arm for arm in arms if arm.is_swept]
    for arm in fixed:
        phases.cells += arm.main_cells(arm.grid[0], f"{OWN}, {SHARED}")
        phases.notes.append(f"{arm.member.label}: {point_words(arm.grid[0])}, its own setting: nothing to choose")
    choices = [arm.decide(read, phases) for arm in swept]
    phases.choices = list(zip(swept, choices, strict=True))
    if any(choice is None for choice in choices):
        readings = 2 if swept[0].tune.shared else 1
        phases.later += [cell for arm in swept for cell in arm.main_cells(arm.grid[0], OWN) * readings]
        return phases
    known = [choice for choice in choices if choice is not None]
    common = shared_point(known)
    for arm, choice in zip(swept, known, strict=True):
        if choice.best is None:
            phases.notes.append(f"{arm.member.label}: no cells of its own, {choice.why}")
            continue
        own = choice.best.point
        both = own == common
        phases.cells += arm.main_cells(own, f"{OWN}, {SHARED}" if both else OWN)
        if arm.tune.shared and common is not None and not both:
            phases.cells += arm.main_cells(common, SHARED)
    return phases


def full_length_cells(arm: TunedArm, choice: Choice | None, phases: Phases) -> list[Cell]:
    """The choice of a swept arm, None while it is open, beside its neighbours with the whole budget, one seed of the
    sweep; adds what may follow."""
    if arm.tune.share == 1:
        return []
    if choice is None:
        phases.later += [arm.sweep_cell(arm.grid[0], arm.tune.seeds[0], 1.0, FULL)] * (1 + 2 * len(arm.tune.grid))
        return []
    if choice.best is None:
        return []
    points = [choice.best.point, *neighbours(choice)]
    return [arm.sweep_cell(point, arm.tune.seeds[0], 1.0, FULL) for point in points]


def finished_figures(store: Store) -> Read:
    """Reads validation bits/token from the cells of a study."""

    def read(cell: Cell) -> Figure | None:
        folder = store.cell(cell.id)
        status = folder.status()
        if status.state not in FINISHED:
            return None
        bits = next((row["value"] for row in folder.rows() if row["metric"] == VALIDATION_BITS), math.nan)
        if math.isfinite(bits):
            return bits, ""
        return math.inf, status.reason or "no validation bits/token"

    return read


def never_finished(cell: Cell) -> Figure | None:
    """Read of a study that has no results."""
    return None


def by_table(arms: Iterable[TunedArm]) -> Iterator[list[TunedArm]]:
    """Arms in groups that stand in one table: of one corpus, tokenizer and length."""
    found: dict[Any, list[TunedArm]] = {}
    for arm in arms:
        found.setdefault((arm.member.corpus, arm.member.tokenizer, arm.member.length), []).append(arm)
    yield from found.values()


def baseline_of(study: Study, arms: Sequence[TunedArm]) -> TunedArm | None:
    """The first combination of the baseline arm that is swept; else the first that is."""
    swept = [arm for arm in arms if arm.is_swept]
    wanted = study.content.baseline.arm
    return next(
        (arm for arm in swept if wanted in (arm.member.arm.name, arm.member.arm.arm)), swept[0] if swept else None
    )


def model_part(point: Mapping[str, Any]) -> Point:
    """What of a point changes the backbone."""
    return {name: value for name, value in point.items() if name.startswith("model.")}
