"""Tables of main effects in an ablation of block patterns."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pandas as pd

from bench.report.analysis.comparisons import compared, verdict_words
from bench.report.analysis.effects import Effect, depth_interaction, effects
from bench.report.analysis.patterns import patterns_of, rotation_groups
from bench.report.rows.summaries import distinct_words, group_words
from bench.report.tables.numbers import NOTHING, number
from bench.report.tables.table import Entry, Table


def effect_words(effect: Effect) -> str:
    """An effect as a sentence no stronger than its interval."""
    quantity, difference = effect.compared.quantity, effect.difference
    side = f"{effect.factor}: {effect.level} against {effect.others}"
    if difference is None or difference.seeds == 0:
        return f"{side}: {quantity.label} not compared, no seed is common to all arms."
    unit = "" if quantity.unit == "1" else f" {quantity.unit}"
    size = f"{number(abs(difference.value))}{unit} {'lower' if difference.value < 0 else 'higher'}"
    seeds = f"{difference.seeds} seed{'s' if difference.seeds != 1 else ''}"
    interval = difference.interval
    known = math.isfinite(interval.low)
    bounds = f"{100 * interval.level:g} % interval {number(interval.low)} to {number(interval.high)}; " if known else ""
    said = verdict_words(effect.verdict, difference)
    many = f"{len(effect.arms)} against {len(effect.against)} arms, {seeds}"
    return f"{side}: {quantity.label} is {size}: {said} ({bounds}{many})."


def interaction_words(frame: pd.DataFrame, folder: Path | None = None) -> list[str]:
    """Change of the effect of attention's place with depth: late less early, deepest less shallowest, seeds paired."""
    sentences = []
    for one in compared(frame, folder):
        found = depth_interaction(one)
        if found is None:
            continue
        half, deep, shallow = found
        value, low, high = (2 * part for part in (half.interval.value, half.interval.low, half.interval.high))
        sentences.append(
            f"Attention late against early, {deep} against {shallow} blocks: the effect on {one.quantity.label} "
            f"changes by {number(value)} ({number(low)} to {number(high)}; {half.seeds} seeds; "
            f"{group_words(one.group)})."
        )
    return sentences


def ablation_tables(frame: pd.DataFrame, folder: Path | None = None) -> list[Table]:
    """Main effects as a table with a sentence each; empty where no factor varies among the arms."""
    found = effects(frame, folder)
    if not found:
        return []
    rows = []
    where_of = distinct_words(effect.compared.group for effect in found)
    for effect in found:
        named = where_of[effect.compared.group]
        where = f", {named}" if named else ""
        figure = Entry(NOTHING) if effect.difference is None else Entry.interval(effect.difference.interval)
        rows.append(
            (
                Entry(f"{effect.factor}: {effect.level} ({effect.compared.quantity.label}{where})"),
                replace(figure, cell_ids=effect.cell_ids),
                Entry(verdict_words(effect.verdict, effect.difference)),
                Entry(", ".join(effect.arms)),
                Entry(", ".join(effect.against)),
                Entry(effect_words(effect)),
            )
        )
    notes = [
        "An effect is the mean of the arms at a level less the mean of the other arms that have the factor, from the "
        "model of the differences. Arms differ in more than one factor, so effects of factors that go together cannot "
        "be separated.",
        "All effects on one metric in one setting are judged together (Bonferroni), by the rule of the differences.",
    ]
    notes += [f"Rotations of one cycle: {', '.join(group)}." for group in rotation_groups(patterns_of(frame))]
    columns = ("effect", "difference", "verdict", "arms", "against", "in words")
    words = interaction_words(frame, folder)
    return [Table("ablation", "What parts of the pattern do", columns, tuple(rows), (*words, *notes))]
