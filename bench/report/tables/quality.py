"""Tables of quality over seeds: every score with its interval, n, T and NFE, beside the cost of the arm."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pandas as pd

from bench.report.analysis.comparisons import compared
from bench.report.analysis.references import (
    BIGRAM,
    CEILING,
    GRAMMAR,
    ArmKey,
    blind_to,
    grammar_marks,
    place_of,
    reference_scores,
    reference_summary,
    separated_from,
)
from bench.report.rows.arms import arm_order, reference_order
from bench.report.rows.summaries import (
    Group,
    Summaries,
    Summary,
    cost_summaries,
    group_words,
    quality_group,
    quality_summaries,
    reference_summaries,
)
from bench.report.tables.convergence import convergence_notes
from bench.report.tables.cost import joined, parameters_entry, rotation_notes, summary_entry
from bench.report.tables.numbers import NOTHING, number
from bench.report.tables.table import Entry, Table, numbered
from metrics.cost.quantities import (
    BITS,
    ENDINGS_GAP,
    FORWARD_GFLOPS,
    KEPT_STEP,
    SAMPLER_BITS,
    likelihood_kind,
)
from metrics.headlines import HEADLINES, LIKELIHOODS
from metrics.music.tokens import TOKEN_ENTROPY
from metrics.quantities import quantity_of
from metrics.statistics.differences import FEWEST_SEEDS
from metrics.statistics.redraws import SEPARATED, WITHIN

NO_MORE, OPEN = "†", "‡"
MARKS = {"no more": NO_MORE, "open": OPEN}
"""Signs after an arm by what `grammar_marks` says of it."""
MARK_WORDS = {
    "no more": f"{NO_MORE} no better than the grammar of tokens (no fewer bits/token).",
    "open": f"{OPEN} better than the grammar of tokens on average (fewer bits/token), not settled by these seeds.",
}
NOT_SEPARATED = "(floors not separated)"
NOT_ASKED = Entry(NOTHING, reason="not asked of this arm")
SETTINGS = (
    "seeds",
    "n (pieces)",
    "T",
    "NFE",
    "training steps",
    "step kept",
    "direction",
    "pattern",
    "parameters",
    "GFLOPs (forward)",
)


def quality_tables(frame: pd.DataFrame, folder: Path | None = None) -> list[Table]:
    """The headline scores, one table per corpus, length, sampler and T; ceiling, floors and baselines stand
    under the arms. Bold, in a column of a primary metric that separates real music from all floors: better than every
    other arm."""
    summaries, references, costs = quality_summaries(frame), reference_summaries(frame), cost_summaries(frame)
    marks = grammar_marks(summaries, references)
    groups = summaries.groups(quality_group)
    tables = []
    for position, (group, rows) in enumerate(groups):
        metrics = [metric for metric in HEADLINES if rows.where(metric=metric)]
        arms = [arm for arm in arm_order(frame) if rows.where(arm=arm)]
        judged = {one.quantity.name: one.best for one in compared(frame, folder) if one.group == group}
        best = {metric: arm for metric, arm in judged.items() if not blind_to(references, metric, group[0], group[1])}
        kinds = unlike_kinds(rows)
        body = [_arm_row(rows.where(arm=arm), metrics, marks, costs, best, references, kinds) for arm in arms]
        body += _reference_rows(references, metrics, group)
        body += _separation_row(references, metrics, group)
        columns = ("arm", *(quantity_of(metric).heading for metric in metrics), *SETTINGS)
        title = f"Quality, mean over seeds ({group_words(group)})"
        notes = _notes(frame, rows, arms, marks, references)
        notes += _separation_notes(references, metrics, group)
        tables.append(Table(numbered("quality", position, len(groups)), title, columns, tuple(body), tuple(notes)))
    return tables


def detail_tables(frame: pd.DataFrame) -> list[Table]:
    """Every metric of the quality cells in the long form: rows metrics, columns arms and references."""
    summaries, references = quality_summaries(frame), reference_summaries(frame)
    groups = summaries.groups(quality_group)
    return [
        _detail_table(frame, rows, references, group, numbered("metrics", position, len(groups)))
        for position, (group, rows) in enumerate(groups)
    ]


def seeds_entry(summaries: Summaries) -> Entry:
    """How many seeds gave a figure, `1 of 2` where some did not."""
    done, asked = max(one.done for one in summaries), max(one.asked for one in summaries)
    return Entry(str(done) if done == asked else f"{done} of {asked}", float(done))


def score_entry(summary: Summary | None, without: Entry) -> Entry:
    """A score with its interval over seeds (one within a cell stays out); `without` where there is no summary."""
    if summary is None:
        return without
    return summary_entry(summary if summary.interval == "seeds" else replace(summary, low=math.nan, high=math.nan))


def unlike_kinds(summaries: Summaries) -> dict[tuple[str, str], str]:
    """(arm, metric) -> exact, importance estimate or bound, for the likelihoods whose kind differs between the arms."""
    found: dict[tuple[str, str], str] = {}
    for metric in (*LIKELIHOODS, SAMPLER_BITS):
        kinds = {one.arm: likelihood_kind(*one.definitions) for one in summaries.where(metric=metric).measured()}
        if len(set(kinds.values())) > 1:
            found |= {(arm, metric): kind for arm, kind in kinds.items()}
    return found


def _arm_row(
    summaries: Summaries,
    metrics: list[str],
    marks: dict[ArmKey, str],
    costs: Summaries,
    best: dict[str, str],
    references: Summaries,
    kinds: dict[tuple[str, str], str],
) -> tuple[Entry, ...]:
    first = summaries[0]
    mark = MARKS.get(marks.get((first.corpus, first.length, first.arm), ""), "")
    music = summaries.measured().first(metric=[metric for metric in HEADLINES if metric not in LIKELIHOODS])
    gflops = costs.first(metric=FORWARD_GFLOPS, arm=first.arm, length=first.length)
    return (
        Entry(first.arm, mark=mark),
        *(
            _placed(summaries.first(metric=m), best.get(m) == first.arm, references, kinds.get((first.arm, m), ""))
            for m in metrics
        ),
        seeds_entry(summaries),
        Entry(pieces_words(music) or NOTHING),
        *(joined(summaries, name) for name in ("sample_steps", "nfe", "train_steps")),
        _kept_entry(summaries),
        *(joined(summaries, name) for name in ("direction", "pattern")),
        parameters_entry(summaries),
        Entry(NOTHING) if gflops is None else summary_entry(gflops),
    )


def _kept_entry(summaries: Summaries) -> Entry:
    """Steps whose weights were kept, those of all seeds that differ."""
    kept = summaries.first(metric=KEPT_STEP)
    steps = sorted({int(value) for value in kept.values if math.isfinite(value)}) if kept else []
    return Entry(" / ".join(map(str, steps)) or NOTHING)


def _reference_rows(references: Summaries, metrics: list[str], group: Group) -> list[tuple[Entry, ...]]:
    body = []
    for arm, found in reference_scores(references, metrics, group):
        pieces = next((pieces_words(one) for one in found if one is not None and one.metric not in LIKELIHOODS), "")
        settings = (Entry(""), Entry(pieces), *(Entry("") for _ in SETTINGS[2:]))
        body.append((Entry(f"({arm})", reference=True), *map(summary_entry, found), *settings))
    return body


def pieces_words(summary: Summary | None) -> str:
    """Number of pieces behind a figure, and of songs where those are fewer: `64 of 12 songs`."""
    if summary is None or not summary.n:
        return ""
    return f"{summary.n} of {summary.songs} songs" if summary.songs not in ("", "0", summary.n) else summary.n


def _placed(summary: Summary | None, best: bool, references: Summaries, kind: str) -> Entry:
    mark = " ".join(filter(None, (kind, place_of(summary, references))))
    return replace(score_entry(summary, NOT_ASKED), best=best, mark=mark)


def _separation_row(references: Summaries, metrics: list[str], group: Group) -> list[tuple[Entry, ...]]:
    """For each metric how many of the floors it does not separate real music from; [] where that was not measured."""
    found = [separated_from(references, metric, group[0], group[1]) for metric in metrics]
    words = [f"{sum(not apart for apart in one.values())} of {len(one)}" if one else "" for one in found]
    return (
        [(Entry(NOT_SEPARATED, reference=True), *map(Entry, words), *(Entry("") for _ in SETTINGS))]
        if any(found)
        else []
    )


def _separation_notes(references: Summaries, metrics: list[str], group: Group) -> list[str]:
    words = [
        f"{quantity_of(metric).label} does not separate real music from: {', '.join(blind)}"
        for metric in metrics
        if (blind := blind_to(references, metric, group[0], group[1]))
    ]
    if not words:
        return []
    rule = f"area under the curve of redraws of real music against redraws of the floor below {SEPARATED:g}"
    return [f"{'. '.join(words)} ({rule}): nothing in such a column is bold."]


def _notes(
    frame: pd.DataFrame, summaries: Summaries, arms: list[str], marks: dict[ArmKey, str], references: Summaries
) -> list[str]:
    notes = []
    if references:
        notes.append(
            "Rows in brackets are references: the ceiling (real-vs-real), the floors and the token baselines; "
            "intervals of ceiling and floors are the 95 % range of redraws of their songs."
        )
        notes += _held_out_note(references, summaries[0])
    if any(place_of(one, references) for one in summaries.where(metric=HEADLINES)):
        notes.append(
            f"After a figure: its place among redraws of real music, against the same held-out pieces: {WITHIN} "
            "(inside their 95 % range), or how many of their standard deviations away."
        )
    seeds = max(one.done for one in summaries)
    if seeds == 1:
        notes.append(
            f"One seed only: no interval over seeds, and every comparison is open; at least {FEWEST_SEEDS} seeds."
        )
    elif seeds > 1:
        words = "cut at the bounds of the metric (0 and 1 for overlaps and shares)"
        notes.append(f"Brackets after a mean: 95 % Student-t interval over {seeds} seeds, {words}.")
    notes += _grammar_notes(summaries, arms, marks, references)
    notes += convergence_notes(summaries) + _endings_note(summaries, references)
    notes += _missing_notes(summaries.where(metric=HEADLINES))
    return notes + rotation_notes(frame, arms)


def _endings_note(summaries: Summaries, references: Summaries) -> list[str]:
    """How much more a token of a window that ends in PAD costs each arm, beside the same of the token bigram."""
    found = summaries.where(metric=ENDINGS_GAP).measured()
    if not found:
        return []
    words = ", ".join(f"{one.arm} {one.value:+.3f}" for one in found)
    own = reference_summary(references, BIGRAM, ENDINGS_GAP, found[0].corpus, found[0].length)
    beside = "" if own is None else f"; the corpus's own, by the token bigram: {own.value:+.3f}"
    return [f"Test bits/token of windows that end in PAD less those of full ones: {words}{beside}."]


def _held_out_note(references: Summaries, arm: Summary) -> list[str]:
    """How many held-out windows of how many songs the music is measured against."""
    held_out = reference_summary(
        references, CEILING, TOKEN_ENTROPY, arm.corpus, arm.length
    )  # of the windows themselves
    if held_out is None or held_out.songs in ("", "0"):
        return []
    return [f"Measured against {held_out.n} held-out windows of {held_out.songs} songs; intervals are over songs."]


def _missing_notes(summaries: Summaries) -> list[str]:
    reasons: dict[str, list[str]] = {}
    for summary in summaries:
        if summary.reason:
            reasons.setdefault(summary.reason, []).append(summary.arm)
    return [f"Without a figure: {', '.join(dict.fromkeys(names))}: {reason}" for reason, names in reasons.items()]


def _grammar_notes(summaries: Summaries, arms: list[str], marks: dict[ArmKey, str], references: Summaries) -> list[str]:
    corpus, length = summaries[0].corpus, summaries[0].length
    here = {marks[(corpus, length, arm)] for arm in arms if (corpus, length, arm) in marks}
    grammar = reference_summary(references, GRAMMAR, BITS, corpus, length)
    baseline = "" if grammar is None else f" ({number(grammar.value)} bits/token)"
    words = {
        "no more": f"{NO_MORE} no better than the `grammar` baseline{baseline}: its mean bits/token are not fewer.",
        "open": f"{OPEN} better than the `grammar` baseline{baseline} on average (fewer bits/token), but the interval "
        "over seeds reaches it (or there is none): more seeds would decide.",
        "unknown": "No `grammar` baseline among the rows: whether an arm learned more than the grammar cannot be said.",
    }
    return [text for mark, text in words.items() if mark in here]


def _detail_table(frame: pd.DataFrame, summaries: Summaries, references: Summaries, group: Group, name: str) -> Table:
    arms = [arm for arm in arm_order(frame) if summaries.where(arm=arm)]
    shown = reference_order(references)
    body = []
    for metric in summaries.distinct("metric"):
        rows = summaries.where(metric=metric)
        quantity = quantity_of(metric, rows[0].unit)
        entries = [Entry(metric), Entry("" if quantity.unit == "1" else quantity.unit), Entry(quantity.better)]
        entries += [score_entry(rows.first(arm=arm), NOT_ASKED) for arm in arms]
        entries += [summary_entry(reference_summary(references, arm, metric, group[0], group[1])) for arm in shown]
        body.append(tuple(entries))
    columns = ("metric", "unit", "better", *arms, *(f"({arm})" for arm in shown))
    notes = tuple(_missing_notes(summaries))
    return Table(name, f"All metrics ({group_words(group)})", columns, tuple(body), notes)
