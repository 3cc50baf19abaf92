"""Comparisons of arms on the primary metrics: one fitted model for each metric and setting, which gives every verdict.

Differences from the baseline, ranks, bold, main effects and claims are read from the same model. Only the primary
metrics are compared, so that no table can look for the metric that happens to differ; every other column is a
description.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from bench.report.analysis.models import Cells, by_seed, cells_of, scores, song_model
from bench.report.analysis.outside import Figures, is_outside, outside_difference, set_figures
from bench.report.analysis.samplers import any_sampler, varies_sampler
from bench.report.presentation import all_rows
from bench.report.rows.study import stated_margins
from bench.report.rows.summaries import (
    Group,
    Summaries,
    Summary,
    made_once,
    quality_group,
    quality_summaries,
    reference_summaries,
)
from metrics.cost.quantities import BITS, KINDS_OF_LIKELIHOOD, SAMPLER_BITS, TRAINING_TIME, likelihood_kind
from metrics.headlines import LIKELIHOODS, PRIMARY
from metrics.quantities import Margin, Quantity, quantity_of
from metrics.statistics.blocks import BlockModel
from metrics.statistics.differences import FEWEST_SEEDS, Difference, Direction, primary_level
from metrics.statistics.omnibus import Omnibus, omnibus
from metrics.statistics.ranking import Place, leader, places
from metrics.statistics.songs import SongModel
from metrics.statistics.verdict import Verdict, verdict

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Comparison:
    """An arm against another one; `difference` is first - second, None where the arm has no figure of a seed."""

    arm: str
    difference: Difference | None
    verdict: Verdict

    @property
    def words(self) -> str:
        """The verdict in words, with what would decide an open one."""
        return verdict_words(self.verdict, self.difference)


@dataclass(frozen=True)
class Compared:
    """One primary metric in one setting (corpus, length, sampler, T): all arms in one model.

    Parameters
    ----------
    summaries
        Shown arms with a figure.
    model
        Over seeds, or over seeds and songs where the cells hold vectors. Arms whose figures have no seed are not in
        it. None where no arm has a seed.
    direction
        Values of the model that are better: figures themselves, or for "nearest" their distances to real music.
    level
        Chance that the intervals of all arms with seeds cover together, and that those of arms without do, on this
        metric; 95 % are shared among the primary metrics.
    stated
        The smallest difference that matters, by the study or by default.
    note
        What the model rests on, and what it lacks.
    outside
        Figures of all arms over their songs, where an arm among them has no seed; empty elsewhere.
    refused
        Why arms are left out of the model, whose likelihoods are of another kind than those in it.
    repeats
        Arm -> an earlier arm whose figures it has in every seed (see `repeats_of`): it is not in the model again.
    """

    group: Group
    quantity: Quantity
    summaries: Summaries
    model: BlockModel | SongModel | None
    direction: Direction
    level: float
    stated: Margin | None
    note: str = ""
    outside: Figures = field(default_factory=dict)
    refused: str = ""
    repeats: dict[str, str] = field(default_factory=dict)

    @property
    def block(self) -> BlockModel | None:
        """The model of the figures of seeds."""
        return self.model.block if isinstance(self.model, SongModel) else self.model

    @property
    def arms(self) -> tuple[str, ...]:
        """Arms in the model."""
        return self.model.arms if self.model else ()

    @property
    def songs(self) -> int:
        """Songs that are random beside the seeds; 0 where seeds alone are."""
        return len(self.model.songs) if isinstance(self.model, SongModel) else 0

    def margin(self, arm: str) -> float | None:
        """The smallest difference from this arm that matters, in the unit of the metric."""
        found = self.summaries.where(arm=arm)
        if self.stated is None or not (arm in self.arms or found):
            return None
        return self.stated.at(self.mean_of([arm]) if arm in self.arms else found[0].value)

    @cached_property
    def means(self) -> dict[str, float]:
        """Mean over seeds of each arm in the model."""
        return self.model.means if self.model else {}

    def mean_of(self, arms: Sequence[str]) -> float:
        """Mean over arms of their values in the model."""
        return sum(self.means[arm] for arm in arms) / len(arms)

    def baseline(self, arm: str) -> str:
        """The arm that others are compared with here, where `arm` is that of the study: itself, or where it has no
        figure here the first other variant of it (`transformer whole` for `transformer ar`)."""
        shown, name = self.summaries.distinct("arm"), arm.partition(" ")[0]
        variants = [one for one in shown if one.partition(" ")[0] == name]
        return arm if arm in shown or not variants else variants[0]

    def against(self, baseline: str) -> list[Comparison]:
        """Every other arm against `baseline`; none where it has no figure."""
        if baseline not in self._against:
            self._against[baseline] = self._compare_with(baseline)
        return self._against[baseline]

    @cached_property
    def _against(self) -> dict[str, list[Comparison]]:
        """Comparisons by their baseline; several tables and sentences show the same ones."""
        return {}

    def _compare_with(self, baseline: str) -> list[Comparison]:
        shown, own = self.summaries.distinct("arm"), self.repeats.get(baseline, baseline)
        if baseline not in shown:
            return []
        first: dict[str, str] = {}
        for arm in shown:
            first.setdefault(self.repeats.get(arm, arm), arm)
        others = [arm for name, arm in first.items() if name != own]
        modelled = self.model.against(own, self.level) if self.model and own in self.arms else {}
        found = {first[arm]: difference for arm, difference in modelled.items() if arm in first}
        apart = [arm for arm in others if arm not in found]
        everywhere = {self.repeats.get(name, name) for name in self.outside}  # hidden ones too
        rivals = max(len(everywhere - {own, *modelled}), 1)
        reasons = dict.fromkeys(apart, self.refused)
        for arm in apart if not self.refused else ():
            difference, reasons[arm] = outside_difference(self.outside, arm, baseline, rivals, self.level)
            found |= {arm: difference} if difference else {}
        return [self._judged(arm, found.get(arm), baseline, reasons.get(arm, "")) for arm in others]

    def contrast(self, first: Sequence[str], second: Sequence[str], comparisons: int) -> Difference | None:
        """Mean of the arms `first` less mean of the arms `second`, one of `comparisons` that are judged together; None
        where an arm is not in the model."""
        if not self.model or not {*first, *second} <= set(self.arms):
            return None
        return self.model.contrast(first, second, comparisons=comparisons, level=self.level)

    def judge(self, difference: Difference, margin: float | None) -> Verdict:
        """The verdict on a difference of this metric."""
        return verdict(difference, better=self.direction, margin=margin)

    def _judged(self, arm: str, difference: Difference | None, baseline: str, reason: str) -> Comparison:
        if difference is None:
            return Comparison(arm, None, Verdict("open", reason=reason or "not repeated over seeds"))
        return Comparison(arm, difference, self.judge(difference, self.margin(baseline)))

    @cached_property
    def pairs(self) -> dict[tuple[str, str], Difference]:
        """The differences of all pairs of shown arms, judged together with those of all others; of seeds alone where
        these are too few to decide."""
        if not self.model or not self.block:
            return {}
        few = max(map(len, self.block.values.values())) < FEWEST_SEEDS
        found, shown = (self.block if few else self.model).pairs(self.level), set(self.summaries.distinct("arm"))
        return {pair: difference for pair, difference in found.items() if shown.issuperset(pair)}

    @cached_property
    def places(self) -> list[Place]:
        """Arms from best to worst with the ranks that each may have."""
        return places(self.pairs, better=self.direction)

    @cached_property
    def best(self) -> str:
        """The arm with seeds that is better than every other, those without seeds included; "" where there is none."""
        found = leader(self.pairs, better=self.direction).arm or ""
        apart = set(self.summaries.distinct("arm")) - set(self.arms)
        if found and any(one.arm in apart and one.verdict.word != "worse" for one in self.against(found)):
            return ""
        return found

    @cached_property
    def omnibus(self) -> Omnibus:
        """The permutation test of all arms at once."""
        return omnibus(self.block.values if self.block else {})


def verdict_words(found: Verdict, difference: Difference | None) -> str:
    """A verdict as it is printed: `better`, `same within 0.03`, `open (2 seeds): 7 seeds would decide`."""
    if difference is not None and difference.unit == "seed" and difference.seeds == 1:
        return f"open: one seed has no interval; at least {FEWEST_SEEDS} seeds"
    return found.text


def compared(frame: pd.DataFrame, folder: Path | None = None) -> list[Compared]:
    """Every primary metric in every setting of a study with a figure, setting by setting. Where samplers vary they are
    arms like others, compared on their music.

    With the results folder, margins are those of the study, and bits/token is judged over seeds and songs where its
    cells hold vectors. Arms that a presentation leaves out stay in the models, so that no verdict changes by it.
    """
    return made_once(frame, f"compared {folder}", lambda: list(_compared(frame, folder)))


def compared_at(frame: pd.DataFrame, folder: Path | None, group: Group, metric: str) -> Compared | None:
    """One of `compared`; None where no arm has a figure."""
    found = (one for one in compared(frame, folder) if one.group == group and one.quantity.name == metric)
    return next(found, None)


def _compared(frame: pd.DataFrame, folder: Path | None) -> Iterable[Compared]:
    references = reference_summaries(frame)
    margins = stated_margins(folder) if folder else {}
    everything = quality_summaries(all_rows(frame))
    samplers = varies_sampler(everything)
    key = any_sampler if samplers else quality_group
    shown = quality_summaries(frame)
    shown_of = dict(shown.groups(key))
    for group, summaries in everything.groups(key):
        if all(map(is_outside, summaries)) and any(
            _same_music(one, group) and not is_outside(one) for one in everything
        ):
            continue  # they stand beside the arms of each setting
        chosen = [metric for metric in PRIMARY if not samplers or quantity_of(metric).kind == "music"]
        chosen += [SAMPLER_BITS] if samplers else []
        joined = with_outside(summaries, everything, group)
        measured = {metric: joined.where(metric=metric).measured() for metric in chosen}
        several = sum(len(rows) > 1 for rows in measured.values())
        kept = with_outside(shown_of.get(group, Summaries()), shown, group)
        trainings = trainings_of(summaries)
        for metric, rows in measured.items():
            if its_rows := kept.where(metric=metric).measured():
                cells = cells_of(rows, folder) if folder else None
                stated = margins.get(metric, quantity_of(metric).margin)
                found = compare(rows, references, primary_level(max(several, 1)), stated, cells, group, trainings)
                yield replace(found, summaries=its_rows, outside=set_figures(rows, folder) if folder else found.outside)


def with_outside(summaries: Summaries, everything: Summaries, group: Group) -> Summaries:
    """The summaries of a group, and those of outside systems' music for its corpus and length."""
    beside = (one for one in everything if is_outside(one) and _same_music(one, group))
    return Summaries(dict.fromkeys([*summaries, *beside]))


def _same_music(summary: Summary, group: Group) -> bool:
    """Whether a summary is of the corpus and length of a group."""
    return (summary.corpus, summary.length) == (group[0], group[1])


def compare(
    summaries: Summaries,
    references: Summaries,
    level: float = 0.95,
    stated: Margin | None = None,
    cells: Cells | None = None,
    group: Group | None = None,
    trainings: Mapping[str, Mapping[int, float]] | None = None,
) -> Compared:
    """The model of the arms of `summaries`, of one metric in one setting; `cells`: see `cells_of`, `trainings`: see
    `trainings_of`. Of likelihoods it holds one kind: an upper bound and an exact figure differ though the arms be
    equal."""
    quantity = quantity_of(summaries[0].metric)
    alike, refused = of_one_kind(summaries)
    values = scores(alike, references)
    repeats = repeats_of(values, trainings or {})
    values = {arm: mine for arm, mine in values.items() if arm not in repeats}
    direction: Direction = "higher" if quantity.better == "higher" else "lower"
    model: BlockModel | SongModel | None = None
    note = ""
    if cells is not None and (refused or repeats):
        cells = {(arm, seed): cell for (arm, seed), cell in cells.items() if arm in values}
    if values:
        model, note = song_model(cells) if quantity.name == BITS and cells is not None else (None, "")
        model = model or BlockModel.fit(values)
    group = group or quality_group(summaries[0])
    said = "has the figures of {} in every seed, one network, and is not compared again"
    note = "; ".join(filter(None, (note, *(f"{arm} {said.format(other)}" for arm, other in repeats.items()))))
    return Compared(group, quantity, summaries, model, direction, level, stated, note, refused=refused, repeats=repeats)


def trainings_of(summaries: Summaries) -> dict[str, dict[int, float]]:
    """Arm -> seed -> seconds that its training took, in one setting: arms that share a training share the figure."""
    return {one.arm: by_seed(one) for one in summaries.where(metric=TRAINING_TIME)}


def repeats_of(
    values: Mapping[str, Mapping[int, float]], trainings: Mapping[str, Mapping[int, float]]
) -> dict[str, str]:
    """Arm -> the first arm that has the same figures of the same trainings in every seed: one network that drew the
    same music, such as a model that plays at several lengths beside one trained at each."""
    first: dict[tuple[tuple[int, float, float], ...], str] = {}
    found = {}
    for arm, mine in values.items():
        trained = trainings.get(arm, {})
        if mine and mine.keys() <= trained.keys():
            found[arm] = first.setdefault(tuple(sorted((seed, mine[seed], trained[seed]) for seed in mine)), arm)
    return {arm: other for arm, other in found.items() if other != arm}


def of_one_kind(summaries: Summaries) -> tuple[Summaries, str]:
    """The summaries that may be compared, and in one line what that leaves out: of likelihoods the first kind of
    `KINDS_OF_LIKELIHOOD` that two arms have; all, and "", where nothing is left out."""
    if not summaries or summaries[0].metric not in (*LIKELIHOODS, SAMPLER_BITS):
        return summaries, ""
    found = dict(summaries.groups(lambda one: likelihood_kind(*one.definitions)))
    kinds = [kind for kind in KINDS_OF_LIKELIHOOD if kind in found]
    if len(kinds) < 2:
        return summaries, ""
    chosen = next((kind for kind in kinds if len(found[kind].distinct("arm")) > 1), kinds[0])
    return found[chosen], f"not compared: figures of several kinds ({', '.join(kinds)}); {chosen} ones are"
