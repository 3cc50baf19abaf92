"""Answers to the two halves of a study's question, made from verdicts: is an arm cheaper, and does the music suffer."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from bench.report.analysis.comparable import EXACT, first_setting, kernel_conflict, longest_with
from bench.report.analysis.comparisons import Compared, compared
from bench.report.analysis.growth import cost_ratio
from bench.report.analysis.references import blind_to, grammar_marks
from bench.report.analysis.samplers import varies_process, varies_sampler
from bench.report.analysis.times import TIMES, step_metric
from bench.report.pages.findings import CANNOT, OPEN, Answer, Finding, music_finding, names, phrase, sentence
from bench.report.pages.processes import process_answers
from bench.report.pages.sentences import sampler_sentences
from bench.report.rows.summaries import (
    Summaries,
    Summary,
    cost_summaries,
    distinct_brackets,
    quality_summaries,
    reference_summaries,
)
from bench.report.tables.numbers import number
from metrics.cost.quantities import FORWARD_GFLOPS, PEAK_MEMORY_INFERENCE, STEP_LATENCY, STEP_LATENCY_GRAPH

STEPS = {STEP_LATENCY: "time of a step", STEP_LATENCY_GRAPH: "time of a step as a CUDA graph"}
COSTS = {FORWARD_GFLOPS: "FLOPs", **STEPS, PEAK_MEMORY_INFERENCE: "memory"}
"""Costs that are asked about, of the two times of a step one."""
MOST_COMPARED = 4
EQUAL = 0.005
"""Share of a count within which two counts are the same as printed."""


def answers(frame: pd.DataFrame, baseline: str, folder: Path | None = None, *, together: bool = False) -> list[Answer]:
    """The answer on cost, of the longest length at which the baseline has a figure, and the one on music; of several
    processes those at equal bits in place of it. `together` as in `in_short`."""
    if varies_process(quality_summaries(frame)):
        cost = [_cost_answer(frame, baseline, folder, together)] if cost_summaries(frame) else []
        return [*cost, *process_answers(frame, baseline, folder)]
    return [_cost_answer(frame, baseline, folder, together), _music_answer(frame, baseline, folder)]


def _cost_answer(frame: pd.DataFrame, baseline: str, folder: Path | None, together: bool) -> Answer:
    costs = first_setting(cost_summaries(frame)).where(metric=tuple(COSTS))
    longest, arms = longest_with(costs, baseline), costs.distinct("arm")
    if longest is None:
        return Answer("Cheaper?", sentence([f"{CANNOT}: no cost was measured"]))
    if len(arms) == 1:
        return Answer("Cheaper?", f"Nothing is compared: one arm only ({arms[0]}).")
    costs = costs.where(length=longest)
    question = f"Cheaper than {baseline} at {longest} tokens?"
    parts = []
    step = step_metric(costs)
    for metric, label in COSTS.items():
        if metric in STEPS and metric != step:
            continue
        rows = costs.where(metric=metric)
        found = [_cost_finding(one, rows, baseline, folder, together) for one in rows if one.arm != baseline]
        found = found or [Finding("", CANNOT, "not measured")]
        parts.append(phrase(label, found))
    return Answer(question, sentence(parts))


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
        return Answer("Music?", sentence([f"{CANNOT}: no score was measured"]))
    if varies_sampler(everything):
        words = sampler_sentences(frame, folder)
        return Answer("Music by sampler?", " ".join(words) or sentence([CANNOT]))
    found = compared(frame, folder)
    if not found:
        return Answer(question, sentence([f"{CANNOT}: no primary metric was measured"]))
    if all(len(one.summaries.distinct("arm")) == 1 for one in found):
        return Answer("Music?", f"Nothing is compared: one arm only ({found[0].summaries[0].arm}).")
    where = distinct_brackets(one.group for one in found)
    parts = [_music_part(one, baseline, references, where[one.group]) for one in found[:MOST_COMPARED]]
    if len(found) > MOST_COMPARED:
        parts.append(f"{len(found) - MOST_COMPARED} further comparisons stand under Quality")
    marks = grammar_marks(everything, references)
    poor = list(dict.fromkeys(arm for (_, _, arm), mark in marks.items() if mark == "no more"))
    if poor:
        parts.append(f"no better than the grammar of tokens: {names(poor)}")
    return Answer(question, sentence(parts))


def _music_part(one: Compared, baseline: str, references: Summaries, where: str) -> str:
    unit = one.quantity.unit
    label = (unit if unit != "1" else one.quantity.label.lower()) + where
    blind = blind_to(references, one.quantity.name, one.group[0], one.group[1])
    if blind:
        return phrase(label, [Finding("", CANNOT, f"real music is not separated from {names(list(blind))}")])
    own = one.baseline(baseline)
    found = [music_finding(arm) for arm in one.against(own)]
    label += f" against {own}" if own != baseline else ""
    return phrase(label, found or [Finding("", CANNOT, f"{baseline} has no figure")])


def _percent(share: float) -> str:
    """A share in whole per cent, below 1 % with one digit."""
    return f"{100 * share:.0f}" if share >= 0.01 else number(100 * share, 1)
