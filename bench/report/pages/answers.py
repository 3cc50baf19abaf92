"""Answers to the two halves of a study's question, made from verdicts: is an arm cheaper, and does the music suffer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from bench.report.analysis.comparable import EXACT, first_setting, kernel_conflict, longest_with
from bench.report.analysis.comparisons import Compared, Comparison, compared
from bench.report.analysis.growth import cost_ratio
from bench.report.analysis.references import blind_to, grammar_marks
from bench.report.analysis.samplers import varies_sampler
from bench.report.analysis.times import TIMES
from bench.report.pages.sentences import sampler_sentences
from bench.report.rows.summaries import (
    Summaries,
    Summary,
    cost_summaries,
    group_words,
    quality_summaries,
    reference_summaries,
)
from bench.report.tables.numbers import number
from metrics.cost.quantities import FORWARD_GFLOPS, PEAK_MEMORY_INFERENCE, STEP_LATENCY
from metrics.statistics.differences import FEWEST_SEEDS

COSTS = {FORWARD_GFLOPS: "FLOPs", STEP_LATENCY: "time of a step", PEAK_MEMORY_INFERENCE: "memory"}
CANNOT, OPEN = "cannot tell here", "open"
LAST = (OPEN, CANNOT)
"""Kinds of findings that stand after what was decided."""
MOST_NAMED = 4
MOST_COMPARED = 4
EQUAL = 0.005
"""Share of a count within which two counts are the same as printed."""


@dataclass(frozen=True)
class Answer:
    """One half of the question and its answer in a sentence."""

    question: str
    words: str


@dataclass(frozen=True)
class Finding:
    """What was found of one arm: `kind` such as "yes" or "open", and the figure or reason behind it."""

    arm: str
    kind: str
    detail: str = ""

    @property
    def known(self) -> bool:
        """Whether anything can be said."""
        return self.kind != CANNOT


def answers(frame: pd.DataFrame, baseline: str, folder: Path | None = None, *, together: bool = False) -> list[Answer]:
    """The answer on cost, of the longest length at which the baseline has a figure, and the one on music; `together` as
    in `in_short`."""
    return [_cost_answer(frame, baseline, folder, together), _music_answer(frame, baseline, folder)]


def _cost_answer(frame: pd.DataFrame, baseline: str, folder: Path | None, together: bool) -> Answer:
    costs = first_setting(cost_summaries(frame)).where(metric=tuple(COSTS))
    longest, arms = longest_with(costs, baseline), costs.distinct("arm")
    if longest is None:
        return Answer("Cheaper?", _sentence([f"{CANNOT}: no cost was measured"]))
    if len(arms) == 1:
        return Answer("Cheaper?", f"Nothing is compared: one arm only ({arms[0]}).")
    costs = costs.where(length=longest)
    question = f"Cheaper than {baseline} at {longest} tokens?"
    parts = []
    for metric, label in COSTS.items():
        rows = costs.where(metric=metric)
        found = [_cost_finding(one, rows, baseline, folder, together) for one in rows if one.arm != baseline]
        found = found or [Finding("", CANNOT, "not measured")]
        parts.append(_phrase(label, found))
    return Answer(question, _sentence(parts))


def _cost_finding(one: Summary, rows: Summaries, baseline: str, folder: Path | None, together: bool) -> Finding:
    """Whether an arm is cheaper; a time only by its verdict over processes, a count by itself."""
    base = rows.first(arm=baseline)
    if base is None or not base.measured:
        return Finding(one.arm, CANNOT, f"{baseline} has no figure")
    if not one.measured:
        return Finding(one.arm, CANNOT, one.reason.partition(":")[0] or "no figure")
    ratio = cost_ratio(one, rows, baseline, folder, together=together)
    if ratio is None:
        conflict = kernel_conflict([*one.kernels, *base.kernels])
        return Finding(one.arm, CANNOT, "kernels differ" if conflict else "measured in another setting")
    value, small = ratio.interval.value, " by less than matters" * ("less than matters" in ratio.words)
    if one.metric in EXACT and abs(value - 1) < EQUAL:
        return Finding(one.arm, f"the same within {100 * EQUAL:g} %")
    if ratio.words.startswith("same"):
        return Finding(one.arm, f"the {ratio.words}")
    if ratio.differs or one.metric in EXACT:
        cheaper = value < 1
        detail = f"{_percent(1 - value)} %" if cheaper else f"{value:.2f} times"
        return Finding(one.arm, ("yes" if cheaper else "no") + small, detail)
    if ratio.replicates > 1:
        return Finding(one.arm, OPEN, f"{ratio.interval.low:.2f} to {ratio.interval.high:.2f} times")
    if one.metric in TIMES and not ratio.replicates:
        return Finding(one.arm, CANNOT, "no raw times of processes in the results folder")
    return Finding(one.arm, CANNOT, "measured in one process per arm")


def _music_answer(frame: pd.DataFrame, baseline: str, folder: Path | None) -> Answer:
    everything, references = quality_summaries(frame), reference_summaries(frame)
    question = f"Music, against {baseline}?"
    if not everything.measured():
        return Answer("Music?", _sentence([f"{CANNOT}: no score was measured"]))
    if varies_sampler(everything):
        words = sampler_sentences(frame, folder)
        return Answer("Music by sampler?", " ".join(words) or _sentence([CANNOT]))
    found = compared(frame, folder)
    if not found:
        return Answer(question, _sentence([f"{CANNOT}: no primary metric was measured"]))
    if all(len(one.summaries.distinct("arm")) == 1 for one in found):
        return Answer("Music?", f"Nothing is compared: one arm only ({found[0].summaries[0].arm}).")
    several = len({one.group for one in found}) > 1
    parts = [_music_part(one, baseline, references, several) for one in found[:MOST_COMPARED]]
    if len(found) > MOST_COMPARED:
        parts.append(f"{len(found) - MOST_COMPARED} further comparisons stand under Quality")
    marks = grammar_marks(everything, references)
    poor = list(dict.fromkeys(arm for (_, _, arm), mark in marks.items() if mark == "no more"))
    if poor:
        parts.append(f"no better than the grammar of tokens: {_names(poor)}")
    return Answer(question, _sentence(parts))


def _music_part(one: Compared, baseline: str, references: Summaries, several: bool) -> str:
    unit = one.quantity.unit
    label = (unit if unit != "1" else one.quantity.label.lower()) + (f" ({group_words(one.group)})" if several else "")
    blind = blind_to(references, one.quantity.name, one.group[0], one.group[1])
    if blind:
        return _phrase(label, [Finding("", CANNOT, f"real music is not separated from {_names(list(blind))}")])
    found = [_music_finding(arm) for arm in one.against(baseline)]
    return _phrase(label, found or [Finding("", CANNOT, f"{baseline} has no figure")])


def _music_finding(arm: Comparison) -> Finding:
    """The verdict on one arm, with the figure that a reader needs to judge it."""
    difference, verdict = arm.difference, arm.verdict
    if difference is None:
        return Finding(arm.arm, CANNOT, verdict.reason or "no figure")
    if difference.seeds < FEWEST_SEEDS:
        seeds = f"{difference.seeds} seed{'s' if difference.seeds != 1 else ''} of at least {FEWEST_SEEDS}"
        return Finding(arm.arm, CANNOT, seeds)
    if verdict.word == "same":
        return Finding(arm.arm, f"the {verdict.text}")
    if verdict.differs:
        return Finding(arm.arm, verdict.text, f"by {number(abs(difference.value), 2)}")
    return Finding(arm.arm, OPEN, f"{_signed(difference.interval.low)} to {_signed(difference.interval.high)}")


def _percent(share: float) -> str:
    """A share in whole per cent, below 1 % with one digit."""
    return f"{100 * share:.0f}" if share >= 0.01 else number(100 * share, 1)


def _signed(value: float) -> str:
    return f"{'+' if value > 0 else ''}{number(value, 2)}"


def _phrase(label: str, found: Sequence[Finding]) -> str:
    """`FLOPs yes, 6 %` of one arm; of several `FLOPs: yes for smdim (6 %) and mamba (23 %), open for ...`. What cannot
    be said of any arm is said once."""
    reasons = list(dict.fromkeys(one.detail for one in found))
    if not any(one.known for one in found) and len(reasons) == 1:
        return f"{label}: {CANNOT} ({reasons[0]})"
    if len(found) == 1:
        return f"{label} {found[0].kind}{f', {found[0].detail}' if found[0].detail else ''}"
    kinds: dict[str, list[str]] = {}
    for one in sorted(found, key=lambda one: one.kind.startswith(LAST)):
        kinds.setdefault(one.kind, []).append(f"{one.arm} ({one.detail})" if one.detail else one.arm)
    return f"{label}: {', '.join(f'{kind} for {_names(names)}' for kind, names in kinds.items())}"


def _names(names: Sequence[str]) -> str:
    """Names as a list in words; of many the first ones and how many more."""
    if len(names) > MOST_NAMED + 1:
        return f"{', '.join(names[:MOST_NAMED])} and {len(names) - MOST_NAMED} more"
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _sentence(parts: Sequence[str]) -> str:
    words = "; ".join(parts)
    return f"{words[0].upper()}{words[1:]}."
