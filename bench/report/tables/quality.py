"""Tables of quality over seeds: every score with its interval, n, T and NFE, beside the cost of the arm."""

from __future__ import annotations

import math
from dataclasses import replace

import pandas as pd

from bench.report.analysis.comparisons import best_arms
from bench.report.analysis.references import GRAMMAR, ArmKey, grammar_marks, reference_point
from bench.report.rows.arms import REFERENCE_ORDER, arm_order
from bench.report.rows.points import (
    Group,
    Point,
    Points,
    cost_points,
    group_words,
    quality_group,
    quality_points,
    reference_points,
)
from bench.report.tables.cost import joined, parameters_entry, point_entry, rotation_notes
from bench.report.tables.numbers import NOTHING, number
from bench.report.tables.table import Entry, Table, numbered
from metrics.cost.quantities import BITS, FORWARD_GFLOPS
from metrics.headlines import HEADLINES
from metrics.quantities import quantity_of

NO_MORE, OPEN = "†", "‡"
NOT_ASKED = Entry(NOTHING, reason="not asked of this arm")
SETTINGS = (
    "seeds",
    "n (pieces)",
    "T",
    "NFE",
    "training steps",
    "direction",
    "pattern",
    "parameters",
    "GFLOPs (forward)",
)


def quality_tables(frame: pd.DataFrame) -> list[Table]:
    """The headline scores, one table per corpus, length, sampler and T; ceiling, floors and baselines stand
    under the arms."""
    points, references, costs = quality_points(frame), reference_points(frame), cost_points(frame)
    marks = grammar_marks(points, references)
    groups = points.groups(quality_group)
    tables = []
    for position, (group, rows) in enumerate(groups):
        metrics = [metric for metric in HEADLINES if rows.where(metric=metric)]
        arms = [arm for arm in arm_order(frame) if rows.where(arm=arm)]
        best = best_arms(rows, references)
        body = [_arm_row(rows.where(arm=arm), metrics, marks, costs, best) for arm in arms]
        body += _reference_rows(references, metrics, group)
        columns = ("arm", *(quantity_of(metric).heading for metric in metrics), *SETTINGS)
        title = f"Quality, mean over seeds ({group_words(group)})"
        notes = _notes(frame, rows, arms, marks, references)
        tables.append(Table(numbered("quality", position, len(groups)), title, columns, tuple(body), tuple(notes)))
    return tables


def detail_tables(frame: pd.DataFrame) -> list[Table]:
    """Every metric of the quality cells in the long form: rows metrics, columns arms and references."""
    points, references = quality_points(frame), reference_points(frame)
    groups = points.groups(quality_group)
    return [
        _detail_table(frame, rows, references, group, numbered("metrics", position, len(groups)))
        for position, (group, rows) in enumerate(groups)
    ]


def seeds_entry(points: Points) -> Entry:
    """How many seeds gave a figure, `1 of 2` where some did not."""
    done, asked = max(point.done for point in points), max(point.asked for point in points)
    return Entry(str(done) if done == asked else f"{done} of {asked}", float(done))


def score_entry(point: Point | None, without: Entry) -> Entry:
    """A score with its interval over seeds (one within a cell stays out); `without` where there is no point."""
    if point is None:
        return without
    return point_entry(point if point.interval == "seeds" else replace(point, low=math.nan, high=math.nan))


def _arm_row(
    points: Points, metrics: list[str], marks: dict[ArmKey, str], costs: Points, best: dict[str, str]
) -> tuple[Entry, ...]:
    first = points[0]
    mark = {"no more": NO_MORE, "open": OPEN}.get(marks.get((first.corpus, first.length, first.arm), ""), "")
    music = [point.n for point in points.measured() if point.metric.startswith("oa_") and point.n]
    gflops = costs.first(metric=FORWARD_GFLOPS, arm=first.arm, length=first.length)
    return (
        Entry(first.arm, mark=mark),
        *(replace(score_entry(points.first(metric=m), NOT_ASKED), best=best.get(m) == first.arm) for m in metrics),
        seeds_entry(points),
        Entry(music[0] if music else NOTHING),
        *(joined(points, name) for name in ("sample_steps", "nfe", "train_steps", "direction", "pattern")),
        parameters_entry(points),
        Entry(NOTHING) if gflops is None else point_entry(gflops),
    )


def _reference_rows(references: Points, metrics: list[str], group: Group) -> list[tuple[Entry, ...]]:
    body = []
    for arm in REFERENCE_ORDER:
        points = [reference_point(references, arm, metric, group[0], group[1]) for metric in metrics]
        pieces = next((point.n for point in points if point is not None and point.metric != BITS), "")
        if any(points):
            scores = [point_entry(point) for point in points]
            body.append((Entry(f"({arm})"), *scores, Entry(""), Entry(pieces), *(Entry("") for _ in SETTINGS[2:])))
    return body


def _notes(
    frame: pd.DataFrame, points: Points, arms: list[str], marks: dict[ArmKey, str], references: Points
) -> list[str]:
    notes = []
    if references:
        notes.append(
            "Rows in brackets are references: the ceiling (real-vs-real), the floors and the token baselines; "
            "their intervals are over pieces."
        )
    seeds = max(point.done for point in points)
    if seeds == 1:
        notes.append("One seed only: no interval over seeds can be given, and nothing is ranked.")
    elif seeds > 1:
        words = "cut at the bounds of the metric (0 and 1 for overlaps and shares)"
        notes.append(f"Brackets after a mean: 95 % Student-t interval over {seeds} seeds, {words}.")
    notes += _grammar_notes(points, arms, marks, references)
    notes += _missing_notes(points.where(metric=HEADLINES))
    return notes + rotation_notes(frame, arms)


def _missing_notes(points: Points) -> list[str]:
    reasons: dict[str, list[str]] = {}
    for point in points:
        if point.reason:
            reasons.setdefault(point.reason, []).append(point.arm)
    return [f"Without a figure: {', '.join(dict.fromkeys(names))}: {reason}" for reason, names in reasons.items()]


def _grammar_notes(points: Points, arms: list[str], marks: dict[ArmKey, str], references: Points) -> list[str]:
    corpus, length = points[0].corpus, points[0].length
    here = {marks[(corpus, length, arm)] for arm in arms if (corpus, length, arm) in marks}
    grammar = reference_point(references, GRAMMAR, BITS, corpus, length)
    baseline = "" if grammar is None else f" ({number(grammar.value)} bits/token)"
    words = {
        "no more": f"{NO_MORE} learned no more than the grammar: mean validation bits/token is not below the `grammar` "
        f"baseline{baseline}.",
        "open": f"{OPEN} below the `grammar` baseline{baseline} on average, but the interval over seeds reaches it "
        "(or there is none): more seeds would decide.",
        "unknown": "No `grammar` baseline among the rows: whether an arm learned more than the grammar cannot be said.",
    }
    return [text for mark, text in words.items() if mark in here]


def _detail_table(frame: pd.DataFrame, points: Points, references: Points, group: Group, name: str) -> Table:
    arms = [arm for arm in arm_order(frame) if points.where(arm=arm)]
    shown = [arm for arm in REFERENCE_ORDER if references.where(arm=arm)]
    body = []
    for metric in points.distinct("metric"):
        rows = points.where(metric=metric)
        quantity = quantity_of(metric, rows[0].unit)
        entries = [Entry(metric), Entry("" if quantity.unit == "1" else quantity.unit), Entry(quantity.better)]
        entries += [score_entry(rows.first(arm=arm), NOT_ASKED) for arm in arms]
        entries += [point_entry(reference_point(references, arm, metric, group[0], group[1])) for arm in shown]
        body.append(tuple(entries))
    columns = ("metric", "unit", "better", *arms, *(f"({arm})" for arm in shown))
    notes = tuple(_missing_notes(points))
    return Table(name, f"All metrics ({group_words(group)})", columns, tuple(body), notes)
