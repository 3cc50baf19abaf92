"""Tables of main effects in an ablation of block patterns."""

from __future__ import annotations

import math

import pandas as pd

from bench.report.analysis.effects import Effect, depth_interaction, effects
from bench.report.analysis.patterns import patterns_of, rotation_groups
from bench.report.rows.summaries import group_words, quality_group, quality_summaries
from bench.report.tables.numbers import number
from bench.report.tables.table import Entry, Table
from metrics.headlines import PRIMARY
from metrics.quantities import quantity_of


def effect_words(effect: Effect) -> str:
    """An effect as a sentence no stronger than its interval."""
    quantity = quantity_of(effect.metric)
    difference, unit = effect.difference, "" if quantity.unit == "1" else f" {quantity.unit}"
    side = f"{effect.factor}: {effect.level} against {effect.others}"
    many = (
        f"{len(effect.arms)} against {len(effect.against)} arms, {difference.n} seed{'s' if difference.n != 1 else ''}"
    )
    if difference.n == 0:
        return f"{side}: {quantity.label} not compared, no seed is common to all arms."
    size = f"{number(abs(difference.value))}{unit} {'lower' if difference.value < 0 else 'higher'}"
    if not math.isfinite(difference.low):
        return f"{side}: {quantity.label} is {size} ({many}; one seed has no interval)."
    bounds = f"95 % interval {number(difference.low)} to {number(difference.high)}"
    if difference.low <= 0 <= difference.high:
        return f"{side}: {quantity.label} shows no effect that these seeds can separate from none ({bounds}; {many})."
    good = quantity.loss(difference.value) < 0
    return f"{side}: {quantity.label} is {size}, which is {'better' if good else 'worse'} ({bounds}; {many})."


def interaction_words(frame: pd.DataFrame) -> list[str]:
    """Change of the effect of attention's place with depth: late less early, deepest less shallowest, seeds paired."""
    sentences = []
    for group, summaries in quality_summaries(frame).groups(quality_group):
        for metric in PRIMARY:
            found = depth_interaction(summaries.where(metric=metric).measured())
            if found is not None:
                change, deep, shallow = found
                sentences.append(
                    f"Attention late against early, {deep} against {shallow} blocks: the effect on "
                    f"{quantity_of(metric).label} changes by {number(change.value)} ({number(change.low)} to "
                    f"{number(change.high)}; {change.n} seeds; {group_words(group)})."
                )
    return sentences


def ablation_tables(frame: pd.DataFrame) -> list[Table]:
    """Main effects as a table with a sentence each; empty where no factor varies among the arms."""
    found = effects(frame)
    if not found:
        return []
    rows = []
    several = len({effect.group for effect in found}) > 1
    for effect in found:
        where = f", {group_words(effect.group)}" if several else ""
        rows.append(
            (
                Entry(f"{effect.factor}: {effect.level} ({quantity_of(effect.metric).label}{where})"),
                Entry.interval(effect.difference, cell_ids=effect.cell_ids),
                Entry(", ".join(effect.arms)),
                Entry(", ".join(effect.against)),
                Entry(effect_words(effect)),
            )
        )
    notes = [
        "An effect is the mean of the arms at a level less the mean of the other arms that have the factor, paired by "
        "seed. Arms differ in more than one factor, so effects of factors that go together cannot be separated.",
        "Intervals are not corrected for the number of effects: read them as descriptions.",
    ]
    notes += [f"Rotations of one cycle: {', '.join(group)}." for group in rotation_groups(patterns_of(frame))]
    columns = ("effect", "difference", "arms", "against", "in words")
    return [
        Table("ablation", "What parts of the pattern do", columns, tuple(rows), (*interaction_words(frame), *notes))
    ]
