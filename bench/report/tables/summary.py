"""The one summary table of a study: a row per arm, scores and costs side by side, in at most eight columns."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from bench.report.analysis.comparable import first_setting, kernel_conflict
from bench.report.analysis.comparisons import compared_at, with_outside
from bench.report.analysis.outside import is_outside
from bench.report.analysis.references import CEILING, GRAMMAR, blind_to, grammar_marks, reference_scores
from bench.report.analysis.samplers import any_sampler, varies_sampler
from bench.report.analysis.times import step_metric
from bench.report.presentation import PLAIN, Presentation
from bench.report.rows.arms import arm_order
from bench.report.rows.summaries import (
    Group,
    Summaries,
    cost_summaries,
    group_words,
    quality_group,
    quality_summaries,
    reference_summaries,
)
from bench.report.tables.captions import cost_caption, quality_caption
from bench.report.tables.cost import brief_cost_entries, joined, parameters_entry, summary_entry, throttled_notes
from bench.report.tables.numbers import decimals_for, fixed, number
from bench.report.tables.quality import MARK_WORDS, MARKS, NOT_ASKED, score_entry, unlike_kinds
from bench.report.tables.table import Entry, Table
from metrics.cost.quantities import STEP_LATENCY, STEP_LATENCY_GRAPH
from metrics.headlines import SUMMARY, brief

MOST_COLUMNS = 8
SETTINGS = ("params [M]", "direction")
"""The last columns; the arm is the first."""
MOST_FIGURES = MOST_COLUMNS - 1 - len(SETTINGS)
LAUNCH_BOUND = 1.2
"""Time of a plain step over that of its CUDA graph from which a note says so."""
REFERENCE_WORDS = (
    "Rows in brackets: real music against other real music, with the 95 % range of its redraws, and the grammar of "
    "tokens, a baseline without training."
)


def shown_summary(
    frame: pd.DataFrame, folder: Path | None = None, *, force: bool = False, presentation: Presentation = PLAIN
) -> Table:
    """`study_summary` with the columns and the caption of a presentation."""
    table = study_summary(frame, folder, metrics=presentation.columns or SUMMARY, force=force)
    return replace(table, caption=presentation.caption or table.caption)


def study_summary(
    frame: pd.DataFrame, folder: Path | None = None, *, metrics: Sequence[str] = SUMMARY, force: bool = False
) -> Table:
    """Scores in the first setting that was measured and costs at the longest length, of every arm; numbers stand
    directly after the arm. Of `metrics` the first that have a figure. A score or cost is bold where the tables of
    quality and cost have it bold; `force`: see `cost_tables`. The ceiling and the grammar baseline stand below."""
    quality, references = quality_summaries(frame), reference_summaries(frame)
    costs = first_setting(cost_summaries(frame))
    setting = any_sampler if varies_sampler(quality) else quality_group
    groups = [(group, rows) for group, rows in quality.groups(setting) if rows.measured()]
    groups = [one for one in groups if not all(map(is_outside, one[1]))] or groups  # they stand beside the arms
    group, scores = groups[0] if groups else (None, Summaries())
    scores = scores if group is None else with_outside(scores, quality, group)
    longest = max(costs.measured().lengths(), default=None)
    costs = costs.where(length=longest)
    measured = {one.metric for one in (*scores, *costs) if one.measured}
    asked = metrics != SUMMARY
    if not asked:
        metrics = [step_metric(costs) if metric == STEP_LATENCY else metric for metric in SUMMARY]
    known = [metric for metric in metrics if metric in measured]
    shown = known[:MOST_FIGURES]
    marks = grammar_marks(scores, references)
    columns = [_column(metric, frame, folder, group, scores, costs, references, force) for metric in shown]
    arms = arm_order(frame)
    body = []
    for place, arm in enumerate(arms):
        mine = Summaries([*scores.where(arm=arm), *costs.where(arm=arm)])
        mark = MARKS.get(marks.get((group[0], group[1], arm), ""), "") if group else ""
        settings = (_in_millions(parameters_entry(mine)), Entry(brief_direction(joined(mine, "direction").text)))
        body.append((Entry(arm, mark=mark), *(column[place] for column in columns), *settings))
    body += _reference_rows(references, shown, group, [_decimals(column) for column in columns])
    used = Summaries(one for one in costs if one.metric in shown)
    caption = " ".join(filter(None, (quality_caption(scores.where(metric=shown)), cost_caption(used, folder))))
    words = [MARK_WORDS[word] for word in MARKS if word in marks.values()]
    words += [REFERENCE_WORDS] if body and body[-1][0].reference else []
    if group is not None and len(groups) > 1:
        words.append(f"Scores: {group_words(group)}; {len(groups) - 1} further settings stand under Quality.")
    words += _launch_words(costs) if STEP_LATENCY_GRAPH in shown else []
    if asked:
        words += _left_out("without a figure here", [metric for metric in metrics if metric not in known])
        words += _left_out(f"more than {MOST_FIGURES} columns", known[MOST_FIGURES:])
    if conflict := kernel_conflict(used.kernels()):
        words.append(f"Operations ran on different kernels ({conflict}).")
    names = ("arm", *map(brief, shown), *SETTINGS)
    return Table("summary", "Summary", names, tuple(body), (*words, *throttled_notes(used)), caption)


def _launch_words(costs: Summaries) -> list[str]:
    """How much longer a step takes when it is called plainly; [] where that makes little difference."""
    replayed = {one.arm: one.value for one in costs.where(metric=STEP_LATENCY_GRAPH).measured()}
    plain = [
        one.value / replayed[one.arm] for one in costs.where(metric=STEP_LATENCY).measured() if one.arm in replayed
    ]
    if max(plain, default=1.0) < LAUNCH_BOUND:
        return []
    return [
        f"A step as a CUDA graph: called plainly it takes {number(min(plain))} to {number(max(plain))} times as long, "
        "time of launches and none of the network. Training steps are plain calls."
    ]


def _left_out(why: str, metrics: Sequence[str]) -> list[str]:
    return [f"Asked for and not shown, {why}: {', '.join(map(brief, metrics))}."] if metrics else []


def _column(
    metric: str,
    frame: pd.DataFrame,
    folder: Path | None,
    group: Group | None,
    scores: Summaries,
    costs: Summaries,
    references: Summaries,
    force: bool,
) -> list[Entry]:
    """The entries of one metric, an arm each."""
    arms = arm_order(frame)
    rows = scores.where(metric=metric)
    if rows and group is not None:
        judged = None if blind_to(references, metric, group[0], group[1]) else compared_at(frame, folder, group, metric)
        best = judged.best if judged else ""
        kinds = unlike_kinds(rows)
        entries = [(arm, score_entry(rows.first(arm=arm), NOT_ASKED)) for arm in arms]
        return [replace(entry, best=arm == best, mark=kinds.get((arm, metric), "")) for arm, entry in entries]
    return brief_cost_entries(costs, arms, metric, folder, force=force)


def _in_millions(parameters: Entry) -> Entry:
    return replace(parameters, text=parameters.text.replace(" M", ""), value=parameters.value / 1e6)


def _decimals(column: Sequence[Entry]) -> int:
    """Decimals of the first figure of a column."""
    return next((decimals_for(entry.value) for entry in column if math.isfinite(entry.value)), 3)


def _reference_rows(
    references: Summaries, shown: Sequence[str], group: Group | None, decimals: Sequence[int]
) -> list[tuple[Entry, ...]]:
    """Real music and the grammar of tokens, with the decimals of the arms, where they have a figure in a column that
    is shown."""
    if group is None:
        return []
    body = []
    for arm, found in reference_scores(references, shown, group, (CEILING, GRAMMAR)):
        figures = map(_with_decimals, map(summary_entry, found), decimals)
        body.append((Entry(f"({arm})", reference=True), *figures, *[Entry("")] * len(SETTINGS)))
    return body


def _with_decimals(entry: Entry, decimals: int) -> Entry:
    if not math.isfinite(entry.value):
        return entry
    value, low, high = (fixed(one, decimals) for one in (entry.value, entry.low, entry.high))
    return replace(entry, text=f"{value} [{low}, {high}]" if math.isfinite(entry.low) else value)


def brief_direction(direction: str) -> str:
    """The direction of an arm's recurrent layers in a word or two."""
    if "bidirectional" in direction:
        return "both ways"
    words = dict.fromkeys(word for word in direction.replace(",", " ").split() if word in ("forward", "backward"))
    return "no recurrence" if direction.startswith(("no ", "none")) else " ".join(words) or direction
