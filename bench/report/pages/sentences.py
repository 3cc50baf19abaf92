"""The result in a few sentences, none of them stronger than its interval."""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd

from bench.report.analysis.comparable import EXACT, first_setting, kernel_conflict
from bench.report.analysis.comparisons import best_arms
from bench.report.analysis.growth import cost_ratio
from bench.report.analysis.references import CEILING, grammar_marks
from bench.report.analysis.samplers import network_calls, one_a_training, varies_sampler
from bench.report.rows.summaries import (
    Summaries,
    Summary,
    cost_summaries,
    quality_group,
    quality_summaries,
    reference_summaries,
)
from bench.report.tables.numbers import number, with_interval
from metrics.cost.quantities import FORWARD_GFLOPS, PEAK_MEMORY_INFERENCE, PEAK_MEMORY_TRAINING, STEP_LATENCY
from metrics.headlines import PRIMARY
from metrics.music.attribute import OA_MEAN
from metrics.quantities import quantity_of

MOST_NAMED = 5
COMPARED = {
    STEP_LATENCY: "Latency of one denoising step",
    PEAK_MEMORY_INFERENCE: "Peak memory of inference",
    PEAK_MEMORY_TRAINING: "Peak memory of training",
    FORWARD_GFLOPS: "FLOPs of a forward pass",
}


def in_short(frame: pd.DataFrame, baseline: str, folder: Path | None = None, *, together: bool = False) -> list[str]:
    """Sentences on cost at the longest length against the baseline arm, on quality, and on what has failed.

    together: latencies are compared even where kernels differ, which the sentence adds.
    """
    return [*_cost_sentences(frame, baseline, folder, together), *_quality_sentences(frame), *_failure_sentence(frame)]


def _cost_sentences(frame: pd.DataFrame, baseline: str, folder: Path | None, together: bool) -> list[str]:
    summaries = first_setting(cost_summaries(frame).measured())
    words = []
    for metric, label in COMPARED.items():
        rows = summaries.where(metric=metric)
        longest = max(rows.lengths(), default=None)
        rows = rows.where(length=longest)
        base = rows.first(arm=baseline)
        others = [one for one in rows if one.arm != baseline]
        if base is None or not others:
            continue
        conflict = kernel_conflict(rows.kernels())
        if conflict and "latency" in metric and not together:
            words.append(f"{label} is not compared at {longest} tokens: kernels differ ({conflict}).")
            continue
        found = [(one.arm, cost_ratio(one, rows, baseline, folder, together=together)) for one in others]
        found.sort(key=lambda one: math.inf if one[1] is None else one[1].value)
        ratios = [
            f"{arm} {with_interval(ratio.value, ratio.low if metric not in EXACT else math.nan, ratio.high)}"
            for arm, ratio in found
            if ratio is not None
        ]
        although = f", although kernels differ ({conflict})" if conflict and "latency" in metric else ""
        words.append(f"{label} at {longest} tokens, as a multiple of {baseline}{although}: {_listed(ratios)}.")
    return words


def _listed(words: list[str]) -> str:
    """All of few; of many the first ones and the last, with how many lie between them."""
    if len(words) <= MOST_NAMED + 2:
        return ", ".join(words)
    between = len(words) - MOST_NAMED - 1
    return f"{', '.join(words[:MOST_NAMED])}, {between} others up to {words[-1]}"


def _quality_sentences(frame: pd.DataFrame) -> list[str]:
    summaries, references = quality_summaries(frame), reference_summaries(frame)
    words = []
    for metric in PRIMARY:
        rows = summaries.where(metric=metric).measured()
        if len(rows.groups(quality_group)) != 1:
            continue
        quantity = quantity_of(metric)
        rows = Summaries(sorted(rows, key=lambda summary: quantity.loss(summary.value)))
        unit = "" if quantity.unit == "1" else f" {quantity.unit}"
        apart = _apart(rows, best_arms(summaries, references))
        text = f"{quantity.label}: best mean {number(rows[0].value)}{unit} ({rows[0].arm}){apart}"
        ceiling = references.measured().first(arm=CEILING, metric=metric)
        if ceiling is not None:
            text += f"; real against real music reaches {number(ceiling.value)}"
        words.append(text + ".")
    return words + sampler_sentences(frame) + _grammar_sentences(quality_summaries(one_a_training(frame)), references)


def sampler_sentences(frame: pd.DataFrame) -> list[str]:
    """OA mean with the most network calls, and the fewest calls whose mean lies within its interval over seeds; one
    sentence a corpus and length, none where the study does not vary the sampler."""
    summaries = quality_summaries(frame)
    if not varies_sampler(summaries):
        return []
    words = []
    rows = Summaries(one for one in summaries.where(metric=OA_MEAN).measured() if network_calls(one))
    for (corpus, length), group in rows.groups(lambda summary: (summary.corpus, summary.length)):
        by_calls = sorted(group, key=lambda summary: network_calls(summary) or 0.0)
        most = by_calls[-1]
        text = f"OA mean at {length} tokens of {corpus}: {_drawn(most)}"
        if most.interval == "seeds" and most.has_interval:
            fewest = next(one for one in by_calls if most.low <= one.value <= most.high)
            text += (
                f" [{number(most.low)}, {number(most.high)}]; the fewest calls within that interval: {_drawn(fewest)}"
            )
        words.append(text + ".")
    return words


def _drawn(summary: Summary) -> str:
    calls = network_calls(summary) or math.nan
    return f"{number(summary.value)} with {calls:.0f} calls ({summary.sampler}, T = {summary.sample_steps})"


def _grammar_sentences(summaries: Summaries, references: Summaries) -> list[str]:
    marks = grammar_marks(summaries, references)
    words = []
    no_more = sorted({arm for (_, _, arm), mark in marks.items() if mark == "no more"})
    still_open = sorted({arm for (_, _, arm), mark in marks.items() if mark == "open"})
    if no_more:
        words.append(f"Learned no more than the grammar of tokens: {', '.join(no_more)}.")
    if still_open:
        words.append(f"Below the grammar baseline on average, not settled by these seeds: {', '.join(still_open)}.")
    if marks and set(marks.values()) == {""}:
        words.append("Every arm learned more than the grammar of tokens (validation bits/token below that baseline).")
    return words


def _apart(rows: Summaries, best: dict[str, str]) -> str:
    """Whether the first of the sorted summaries is significantly better than every other."""
    if len(rows) < 2:
        return ""
    if best.get(rows[0].metric) == rows[0].arm:
        return ", significantly better than every other arm"
    seeds = min(one.done for one in rows)
    return f", not significantly ahead of every other arm with {seeds} seed{'s' if seeds != 1 else ''}"


def _failure_sentence(frame: pd.DataFrame) -> list[str]:
    cells = frame["cell_id"].nunique()
    failed = cells - frame.loc[frame["value"].notna(), "cell_id"].nunique()
    return [f"{failed} of {cells} cells gave no figure; reasons are listed under Failures."] if failed else []
