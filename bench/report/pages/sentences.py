"""The result in a few sentences, none of them stronger than its interval."""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd

from bench.report.analysis.comparable import EXACT, first_setting, kernel_conflict, longest_with
from bench.report.analysis.comparisons import Compared, Comparison, compared
from bench.report.analysis.growth import cost_ratio
from bench.report.analysis.references import grammar_marks
from bench.report.analysis.samplers import network_calls, one_a_training, varies_sampler_alone
from bench.report.analysis.times import Ratio
from bench.report.presentation import shown_rows
from bench.report.rows.summaries import (
    Summaries,
    Summary,
    cost_summaries,
    distinct_brackets,
    group_words,
    quality_summaries,
    reference_summaries,
)
from bench.report.tables.numbers import number, with_interval
from bench.report.tables.tuning import tuning_sentences
from metrics.cost.quantities import FORWARD_GFLOPS, PEAK_MEMORY_INFERENCE, PEAK_MEMORY_TRAINING, STEP_LATENCY
from metrics.headlines import PRIMARY

MOST_NAMED = 5
MOST_SETTINGS = 4
COMPARED = {
    STEP_LATENCY: "Latency of one denoising step",
    PEAK_MEMORY_INFERENCE: "Peak memory of inference",
    PEAK_MEMORY_TRAINING: "Peak memory of training",
    FORWARD_GFLOPS: "FLOPs of a forward pass",
}


def in_short(frame: pd.DataFrame, baseline: str, folder: Path | None = None, *, together: bool = False) -> list[str]:
    """Sentences on cost against the baseline arm, at its longest length, and on quality.

    together: latencies are compared even where kernels differ, which the sentence adds.
    """
    words = _quality_sentences(frame, baseline, folder)
    tuned = tuning_sentences(frame, folder)
    return [*_cost_sentences(frame, baseline, folder, together), *words, *tuned]


def _cost_sentences(frame: pd.DataFrame, baseline: str, folder: Path | None, together: bool) -> list[str]:
    summaries = first_setting(cost_summaries(frame).measured())
    words = []
    for metric, label in COMPARED.items():
        rows = summaries.where(metric=metric)
        longest = longest_with(rows, baseline)
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
        found.sort(key=lambda one: math.inf if one[1] is None else one[1].interval.value)
        ratios = [f"{arm} {_ratio_words(ratio, metric in EXACT)}" for arm, ratio in found if ratio is not None]
        although = f", although kernels differ ({conflict})" if conflict and "latency" in metric else ""
        words.append(f"{label} at {longest} tokens, as a multiple of {baseline}{although}: {_listed(ratios)}.")
    return words


def _ratio_words(ratio: Ratio, exact: bool) -> str:
    """`1.30 [1.10, 1.60] (slower)`; a count by itself."""
    interval = ratio.interval
    text = with_interval(interval.value, math.nan if exact else interval.low, interval.high)
    return f"{text} ({ratio.words})" if ratio.words else text


def _listed(words: list[str]) -> str:
    """All of few; of many the first ones and the last, with how many lie between them."""
    if len(words) <= MOST_NAMED + 2:
        return ", ".join(words)
    between = len(words) - MOST_NAMED - 1
    return f"{', '.join(words[:MOST_NAMED])}, {between} others up to {words[-1]}"


def _quality_sentences(frame: pd.DataFrame, baseline: str, folder: Path | None) -> list[str]:
    words = [] if varies_sampler_alone(quality_summaries(frame)) else verdict_sentences(frame, baseline, folder)
    references = reference_summaries(frame)
    return [
        *words,
        *sampler_sentences(frame, folder),
        *_grammar_sentences(quality_summaries(one_a_training(frame)), references),
    ]


def verdict_sentences(frame: pd.DataFrame, baseline: str, folder: Path | None = None) -> list[str]:
    """The verdicts on the primary metrics, a sentence each: every arm against the baseline arm, and the arm that is
    better than every other; in every setting, or in the first `MOST_SETTINGS`."""
    found = compared(frame, folder)
    where = distinct_brackets(one.group for one in found)
    words = [_verdict_sentence(one, baseline, where[one.group]) for one in found[: MOST_SETTINGS * len(PRIMARY)]]
    if len(found) > len(words):
        words.append(f"{len(found) - len(words)} further comparisons stand in the table of differences.")
    if not found and quality_summaries(frame):
        words.append("Nothing is compared: no arm has a figure of a primary metric; the reasons stand under Failures.")
    return words


def _verdict_sentence(one: Compared, baseline: str, where: str) -> str:
    arms = one.summaries.distinct("arm")
    if len(arms) == 1:
        return f"{one.quantity.heading}{where}: one arm only ({arms[0]}), so nothing is compared."
    baseline = one.baseline(baseline)
    against = one.against(baseline)
    if not against:
        return f"{one.quantity.heading}{where}: {baseline} has no figure, so nothing is compared with it."
    kinds: dict[str, list[Comparison]] = {}
    for arm in against:
        kinds.setdefault(arm.verdict.word, []).append(arm)
    parts = [_kind_words(kinds[word]) for word in ("better", "worse", "same", "open") if word in kinds]
    best = f" {one.best} is better than every other arm." if one.best else ""
    return f"{one.quantity.heading}{where}, against {baseline}: {'; '.join(parts)}.{best}"


def _kind_words(arms: list[Comparison]) -> str:
    """Arms of one verdict: `better: mamba -0.21 [-0.30, -0.12]`; many by their number and the first names."""
    shown = arms if len(arms) <= MOST_NAMED + 2 else arms[:MOST_NAMED]
    more = f" and {len(arms) - len(shown)} more" if len(arms) > len(shown) else ""
    return f"{_listed_verdicts(shown)}{more}"


def _listed_verdicts(arms: list[Comparison]) -> str:
    texts: dict[str, list[str]] = {}
    for arm in arms:
        texts.setdefault(arm.words, []).append(_with_figure(arm))
    return "; ".join(f"{words}: {', '.join(names)}" for words, names in texts.items())


def _with_figure(arm: Comparison) -> str:
    if arm.difference is None or not math.isfinite(arm.difference.value):
        return arm.arm
    interval = arm.difference.interval
    return f"{arm.arm} {'+' if interval.value > 0 else ''}{with_interval(interval.value, interval.low, interval.high)}"


def sampler_sentences(frame: pd.DataFrame, folder: Path | None = None) -> list[str]:
    """The primary score of the music with the most network calls, and the fewest calls that are not worse; one sentence
    a corpus and length, none where the study does not vary the sampler alone."""
    if not varies_sampler_alone(quality_summaries(frame)):
        return []
    return [words for one in compared(frame, folder) if (words := _sampler_sentence(one))]


def _sampler_sentence(one: Compared) -> str:
    rows = sorted(filter(network_calls, one.summaries), key=lambda summary: network_calls(summary) or 0.0)
    if len(rows) < 2:
        return ""
    most = rows[-1]
    verdicts = {arm.arm: arm for arm in one.against(most.arm)}
    enough = next((row for row in rows[:-1] if verdicts[row.arm].verdict.word in ("same", "better")), None)
    text = f"{one.quantity.label} ({group_words(one.group)}): {_drawn(most)}"
    if enough is not None:
        return f"{text}; the fewest calls that are not worse: {_drawn(enough)} ({verdicts[enough.arm].words})."
    still = [row for row in rows[:-1] if verdicts[row.arm].verdict.word == "open"]
    if not still:
        return f"{text}; fewer calls are worse."
    return (
        f"{text}; whether fewer calls are as good is open, from {_drawn(still[0])} on ({verdicts[still[0].arm].words})."
    )


def _drawn(summary: Summary) -> str:
    calls = network_calls(summary) or math.nan
    return f"{number(summary.value)} with {calls:.0f} calls ({summary.sampler}, T = {summary.sample_steps})"


def _grammar_sentences(summaries: Summaries, references: Summaries) -> list[str]:
    marks = grammar_marks(summaries, references)
    words = []
    no_more = sorted({arm for (_, _, arm), mark in marks.items() if mark == "no more"})
    still_open = sorted({arm for (_, _, arm), mark in marks.items() if mark == "open"})
    if no_more:
        words.append(f"No better than the grammar of tokens: {', '.join(no_more)}.")
    if still_open:
        words.append(
            f"Better than the grammar of tokens on average (fewer bits/token), not settled by these seeds: "
            f"{', '.join(still_open)}."
        )
    if marks and set(marks.values()) == {""}:
        words.append(
            "Every arm is better than the grammar of tokens (fewer bits/token of the test side than that baseline)."
        )
    return words


def failure_sentence(frame: pd.DataFrame) -> str:
    """How many cells gave no figure; "" where all did."""
    frame = shown_rows(frame)
    cells = frame["cell_id"].nunique()
    failed = cells - frame.loc[frame["value"].notna(), "cell_id"].nunique()
    return f"{failed} of {cells} cells gave no figure; reasons are listed under Failures." if failed else ""
