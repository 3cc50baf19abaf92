"""The quantity of a claim as a study measured it: its interval and cells, or the reason why there is none."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bench.report.analysis.comparable import EXACT, kernel_conflict
from bench.report.analysis.comparisons import compare, trainings_of
from bench.report.analysis.growth import cost_exponent
from bench.report.analysis.models import by_seed, cells_of, over_seeds
from bench.report.analysis.patterns import same_mixers
from bench.report.analysis.references import CEILING, grammar_marks, reference_summary
from bench.report.analysis.times import REPLICATED, ratio_to, step_metric
from bench.report.claims.paper import Quantity
from bench.report.rows.summaries import Summaries, Summary, group_words, quality_group
from bench.study.presentation import arms_named
from metrics.cost.quantities import STEP_LATENCY
from metrics.headlines import LIKELIHOODS
from metrics.statistics.differences import Difference
from metrics.statistics.intervals import Interval

FEWEST_LENGTHS = 3
"""Lengths from which an exponent of growth is fitted."""


@dataclass(frozen=True)
class Measured:
    """A quantity with its 95 % interval. `difference`: what it is over seeds, where seeds stand behind it; `beside`: by
    how much the interval is wider than that on the side of 0, which more seeds do not change.

    `reason`: why there is no figure; then the claim cannot be compared.
    """

    value: float = math.nan
    low: float = math.nan
    high: float = math.nan
    where: str = ""
    difference: Difference | None = None
    cell_ids: tuple[str, ...] = ()
    note: str = ""
    reason: str = ""
    beside: float = 0.0

    @classmethod
    def of(cls, found: Interval, **known: Any) -> Measured:
        """A quantity with the interval that was found."""
        return cls(found.value, found.low, found.high, **known)

    @classmethod
    def from_seeds(cls, found: Difference | None, **known: Any) -> Measured:
        """A quantity that is a difference over seeds; None is one without a seed."""
        if found is None:
            return cls(**known | {"reason": known.get("reason") or "no seed in common"})
        return cls.of(found.interval, difference=found, **known)


@dataclass(frozen=True)
class Evidence:
    """The summaries of a study, and the folder that holds the raw samples."""

    cost: Summaries
    quality: Summaries
    references: Summaries
    folder: Path | None = None
    patterns: dict[str, str] = field(default_factory=dict)

    def unlearned(self, quantity: Quantity, summary: Summary) -> str:
        """That the arm of this summary learned no more than the grammar, so that its music is no evidence; "" if it
        learned more."""
        marks = grammar_marks(self.quality, self.references)
        if quantity.metric not in LIKELIHOODS and marks.get((summary.corpus, summary.length, summary.arm)) == "no more":
            return f"{summary.arm} learned no more than the grammar here"
        return ""

    def variants(self, arm: str) -> Iterator[tuple[str, Evidence]]:
        """The evidence on an arm where the study has it. Else that on each of its variants (`smdim T=64`) after the
        words that its name adds (`T=64`): of the arms with these words, named without them."""
        arms = dict.fromkeys(one.arm for one in (*self.cost, *self.quality))
        for name in arms_named(arm, arms) or [arm]:
            words = name.removeprefix(arm)
            yield words.strip(), self._of_variant(words) if words else self

    def _of_variant(self, words: str) -> Evidence:
        cost, quality = (
            Summaries(replace(one, arm=one.arm.removesuffix(words)) for one in rows if one.arm.endswith(words))
            for rows in (self.cost, self.quality)
        )
        patterns = {name.removesuffix(words): it for name, it in self.patterns.items() if name.endswith(words)}
        return replace(self, cost=cost, quality=quality, patterns=patterns)


def measure(quantity: Quantity, evidence: Evidence) -> list[Measured]:
    """The quantity, once for each variant of its arm and each setting in which the study measured it; at least one
    entry, if only with a reason. The time of a step is that of its CUDA graph where every arm has one."""
    kinds: dict[str, Callable[[Quantity, Evidence], Iterator[Measured]]] = {
        "ratio": _ratios,
        "exponent": _exponents,
        "lead": _leads,
        "change": _changes,
        "excess": _excesses,
        "level": _levels,
    }
    how = ""
    if quantity.metric == STEP_LATENCY != (metric := step_metric(evidence.cost)):
        quantity, how = quantity.model_copy(update={"metric": metric}), "as a CUDA graph"
    variants = list(evidence.variants(quantity.arm))
    found = [
        replace(one, where=_joined(words, one.where, how))
        for words, part in variants
        for one in kinds[quantity.kind](quantity, part)
    ]
    return found or [_missing(quantity, variants[0][1])]


def _missing(quantity: Quantity, evidence: Evidence) -> Measured:
    everything = Summaries([*evidence.cost, *evidence.quality])
    rows = everything.where(metric=quantity.metric)
    if not rows:
        return Measured(reason=f"the study has no {quantity.metric}")
    if not rows.where(arm=quantity.arm):
        return Measured(reason=f"the study has no arm {quantity.arm}")
    if quantity.length and not rows.where(arm=quantity.arm, length=quantity.length):
        return Measured(reason=f"{quantity.arm} was not measured at {quantity.length} tokens")
    failed = [one.reason for one in rows.where(arm=quantity.arm) if not one.measured and one.reason]
    if failed:
        return Measured(reason=failed[0])
    if quantity.kind == "exponent":
        return Measured(reason=f"measured at fewer than {FEWEST_LENGTHS} lengths")
    return Measured(reason="what it is compared with was not measured")


def _measured(summaries: Summaries, quantity: Quantity, **equal: Any) -> Summaries:
    """Summaries of the quantity's metric that have a figure, at its length where it names one."""
    at = {} if quantity.length is None else {"length": quantity.length}
    return summaries.where(metric=quantity.metric, **at, **equal).measured()


def _joined(*words: str) -> str:
    return ", ".join(word for word in words if word)


def _ratios(quantity: Quantity, evidence: Evidence) -> Iterator[Measured]:
    for summary in _measured(evidence.cost, quantity, arm=quantity.arm):
        base = evidence.cost.beside(summary, quantity.baseline)
        if base is not None:
            yield _one_ratio(summary, base, evidence)


def _one_ratio(summary: Summary, base: Summary, evidence: Evidence) -> Measured:
    found: dict[str, Any] = {
        "where": _joined(f"L = {summary.length}", summary.device),
        "cell_ids": Summaries([summary, base]).cell_ids(),
    }
    conflict = kernel_conflict([*summary.kernels, *base.kernels])
    if conflict:
        return Measured(**found, reason=f"kernels differ ({conflict})")
    value = summary.value / base.value
    if summary.metric in EXACT:
        return Measured(value, value, value, **found, note="counted, so exact")
    ratio = ratio_to(summary, base, evidence.cost, evidence.folder)
    if ratio is not None and ratio.replicates > 1:
        return Measured.of(ratio.interval, **found, note=f"{ratio.replicates} replicates in turns; {ratio.words}")
    if ratio is not None and summary.metric in REPLICATED:
        return Measured(ratio.interval.value, **found, note="one process per arm, so no interval for the next one")
    if ratio is not None:
        return Measured.of(ratio.interval, **found, note=f"{ratio.interval.n} rounds in turns")
    if summary.has_interval and base.has_interval:
        low, high = summary.low / base.high, summary.high / base.low
        return Measured(value, low, high, **found, note="from both intervals, wider than need be")
    return Measured(value, **found, note="measured once, so no interval")


def _exponents(quantity: Quantity, evidence: Evidence) -> Iterator[Measured]:
    summaries = evidence.cost.where(metric=quantity.metric, arm=quantity.arm).measured()
    for (setting, _), line in summaries.groups(lambda summary: (summary.setting, summary.kernel)):
        lengths = line.lengths()
        if len(lengths) >= FEWEST_LENGTHS:
            interval, note = cost_exponent(line, evidence.folder)
            where = _joined(f"L = {lengths[0]} to {lengths[-1]}", setting[0])
            yield Measured.of(interval, where=where, cell_ids=line.cell_ids(), note=note)


def _leads(quantity: Quantity, evidence: Evidence) -> Iterator[Measured]:
    for group, rows in evidence.quality.where(metric=quantity.metric).groups(quality_group):
        summaries = _measured(rows, quantity)
        mine = summaries.first(arm=quantity.arm)
        others = [one for one in summaries if one.arm != quantity.arm and _is_rival(one.arm, quantity, evidence)]
        if mine is not None and others:
            yield _smallest_lead(mine, others, evidence, group_words(group), evidence.unlearned(quantity, mine))


def _smallest_lead(mine: Summary, others: list[Summary], evidence: Evidence, where: str, reason: str) -> Measured:
    """The lead over the arm that comes nearest, or is furthest ahead.

    The leads over all others are judged together, so the lowest end of their intervals is the end of the smallest lead,
    and so is the lowest of their upper ends.
    """
    summaries = Summaries([mine, *others])
    cells = cells_of(summaries, evidence.folder) if evidence.folder else None
    here = evidence.quality.of(one for one in evidence.quality if quality_group(one) == quality_group(mine))
    found = compare(summaries, evidence.references, cells=cells, trainings=trainings_of(here))
    if not found.arms and by_seed(mine):
        return Measured(where=where, reason=f"no way of {mine.metric} is better without real music to compare with")
    leads = [one.difference for one in found.against(mine.arm) if one.difference and one.difference.seeds]
    leads = [one if found.direction == "lower" else one.reversed() for one in leads]
    if not leads:
        return Measured(where=where, reason="no seed in common")
    nearest = min(leads, key=lambda one: one.value)
    rivals = [one.second if one.first == mine.arm else one.first for one in leads]
    note = f"smallest lead, over {rivals[leads.index(nearest)]}, of those over {', '.join(rivals)}"
    low, high = min(one.interval.low for one in leads), min(one.interval.high for one in leads)
    return Measured(nearest.value, low, high, where, nearest, summaries.cell_ids(), note, reason)


def _is_rival(arm: str, quantity: Quantity, evidence: Evidence) -> bool:
    """Whether an arm is another backbone than the claimed one: the same under another name, or trained at another
    length, is none."""
    theirs, mine = evidence.patterns.get(arm, ""), evidence.patterns.get(quantity.arm, "")
    if theirs and theirs == mine:
        return False
    return quantity.against == "all" or same_mixers(theirs, mine)


def _changes(quantity: Quantity, evidence: Evidence) -> Iterator[Measured]:
    summaries = evidence.quality.where(metric=quantity.metric, arm=quantity.arm).measured()
    for (corpus, sampler), line in summaries.groups(lambda summary: (summary.corpus, summary.sampler)):
        lengths = line.lengths()
        first = line.first(length=min(lengths, default=None))
        last = line.first(length=quantity.length or max(lengths, default=None))
        if first is None or last is None or last.length == first.length:
            continue
        levels = [
            f"{length}: {ceiling.value:.3f}"
            for length in (first.length, last.length)
            if (ceiling := reference_summary(evidence.references, CEILING, quantity.metric, corpus, length))
        ]
        yield Measured.from_seeds(
            over_seeds(by_seed(last), by_seed(first)),
            where=_joined(corpus, sampler),
            cell_ids=Summaries([first, last]).cell_ids(),
            note=f"{last.length} minus {first.length} tokens; real against real {_joined(*levels) or 'not measured'}",
            reason=evidence.unlearned(quantity, last) or evidence.unlearned(quantity, first),
        )


def _excesses(quantity: Quantity, evidence: Evidence) -> Iterator[Measured]:
    for summary in _measured(evidence.quality, quantity, arm=quantity.arm):
        reference = reference_summary(
            evidence.references, quantity.over, quantity.metric, summary.corpus, summary.length
        )
        if reference is None:
            continue
        excess = _level(summary, quantity, evidence, less=reference.value)
        known = reference.has_interval
        note = f"{quantity.over} has {reference.value:.3g}, its spread over pieces is {'' if known else 'not '}included"
        above, below = (reference.high - reference.value, reference.value - reference.low) if known else (0.0, 0.0)
        cells, beside = (*summary.cell_ids, *reference.cell_ids), above if excess.value > 0 else below
        low, high = excess.low - above, excess.high + below
        yield replace(excess, low=low, high=high, beside=beside, cell_ids=cells, note=note)


def _levels(quantity: Quantity, evidence: Evidence) -> Iterator[Measured]:
    for summary in _measured(evidence.quality, quantity, arm=quantity.arm):
        yield _level(summary, quantity, evidence)


def _level(summary: Summary, quantity: Quantity, evidence: Evidence, less: float = 0.0) -> Measured:
    """The arm's figure in each seed, less another figure."""
    values = by_seed(summary)
    return Measured.from_seeds(
        over_seeds(values, dict.fromkeys(values, less)),
        where=group_words(quality_group(summary)),
        cell_ids=summary.cell_ids,
        reason=evidence.unlearned(quantity, summary),
    )
