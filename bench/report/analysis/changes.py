"""Figures of two studies, commits or machines side by side, with a verdict on each."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from bench.report.analysis.comparable import EXACT
from bench.report.analysis.comparisons import compare, repeats_of, trainings_of, verdict_words
from bench.report.analysis.models import cells_of, scores
from bench.report.analysis.times import MEMORY, NO_RAW_TIMES, TIMES, one_process_words, ratios_of_studies
from bench.report.rows.rounds import is_replicated, rounds_of
from bench.report.rows.study import stated_margins
from bench.report.rows.summaries import (
    Group,
    Summaries,
    Summary,
    cost_summaries,
    quality_group,
    quality_summaries,
    reference_summaries,
)
from metrics.headlines import COSTS, PRIMARY
from metrics.quantities import quantity_of
from metrics.statistics.differences import primary_level

Pair = tuple[Summary, Summary]
Folders = Sequence[Path]
VERSION = re.compile(r" (v\d+)\b")
"""Version of a definition, as in `oa_attribute/mean-of-4 v1, mean of 50 draws`."""


@dataclass(frozen=True)
class Change:
    """A figure in both studies, and the verdict on second against first in words."""

    first: Summary
    second: Summary
    verdict: str
    forced: bool = False


def changes(first: pd.DataFrame, second: pd.DataFrame, folders: Folders = (), *, force: bool = False) -> list[Change]:
    """Every figure that both studies have, with a verdict on second against first.

    Costs on different devices, threads or kernels, or of different versions of a definition, are not compared unless
    `force`; then the row is marked. Primary scores of one version are judged as in a report, seeds paired, each arm
    against itself; other scores are shown and not compared.
    `folders`: the results folders of both, for the windows behind bits/token and the margins that a study states.
    """
    costs = _matched(cost_summaries(first), cost_summaries(second), lambda p: (p.metric, p.arm, p.length, p.batch))
    scores = _matched(
        quality_summaries(first),
        quality_summaries(second),
        lambda p: (p.metric, p.arm, p.corpus, p.length, p.sampler, p.sample_steps),
    )
    known = [(one, other) for one, other in costs if one.metric in COSTS]
    return _cost_changes(known, folders, force) + _score_changes(scores, reference_summaries(first), folders)


def _matched(first: Summaries, second: Summaries, key: Callable[[Summary], object]) -> list[Pair]:
    others = {key(one): one for one in second.measured()}
    return [(one, others[key(one)]) for one in first.measured() if key(one) in others]


def _cost_changes(pairs: list[Pair], folders: Folders, force: bool) -> list[Change]:
    """Costs side by side: counts as they are, times by their replicates, and so memory that has some; else by its own
    intervals."""
    words: dict[int, str] = {}
    timed: dict[object, list[Pair]] = {}
    for pair in pairs:
        apart = _ran_apart(*pair)
        if apart and not force and pair[0].metric not in EXACT:
            words[id(pair[0])] = f"not compared: {apart}"
        elif pair[0].metric in TIMES or (pair[0].metric in MEMORY and _are_replicated(pair, folders)):
            timed.setdefault((pair[0].metric, pair[0].length), []).append(pair)
        else:
            words[id(pair[0])] = _by_intervals(*pair)
    for found in timed.values():
        ratios = ratios_of_studies(found, folders) if folders else [None] * len(found)
        for pair, ratio in zip(found, ratios, strict=True):
            raw = all(rounds_of(folder, one) for one, folder in zip(pair, folders, strict=True)) if folders else True
            words[id(pair[0])] = ratio.words if ratio else one_process_words(pair[0].metric) if raw else NO_RAW_TIMES
    forced = {id(one) for one, other in pairs if one.metric not in EXACT and _ran_apart(one, other) and force}
    return [Change(one, other, words[id(one)], id(one) in forced) for one, other in pairs]


def _are_replicated(pair: Pair, folders: Folders) -> bool:
    return bool(folders) and all(is_replicated(folder, one) for one, folder in zip(pair, folders, strict=True))


def _ran_apart(first: Summary, second: Summary) -> str:
    """In which of device, threads, kernel and definition two costs differ, as words; "" where they do not."""
    ran = [(one.device, one.threads, one.kernel) for one in (first, second)]
    names = ("device", "threads", "kernel")
    differing = [
        f"{name} {one or '-'} and {other or '-'}" for name, one, other in zip(names, *ran, strict=True) if one != other
    ]
    return "; ".join(filter(None, [*differing, _defined_apart(first, second)]))


def _defined_apart(first: Summary, second: Summary) -> str:
    """The versions of two definitions, as words, where both are known and differ; else ""."""
    one, other = (sorted({*VERSION.findall(" ".join(found.definitions))}) for found in (first, second))
    return f"definition {', '.join(one)} and {', '.join(other)}" if one and other and one != other else ""


def _by_intervals(first: Summary, second: Summary) -> str:
    """The rule of verdicts on second less first, between the farthest ends of their own intervals; a count is exact."""
    if first.metric in EXACT and first.value == second.value:
        return "same"
    if first.metric not in EXACT and not (first.has_interval and second.has_interval):
        return "open: no interval"
    margin = quantity_of(first.metric).margin
    within = margin.at(first.value) if margin else 0.0
    low, high = second.span[0] - first.span[1], second.span[1] - first.span[0]
    small = -within < low and high < within
    if low > 0 or high < 0:
        word = "better" if (low > 0) == (quantity_of(first.metric).better == "higher") else "worse"
        return f"{word} by less than matters" if small else word
    return f"same within {margin}" if small else "open: the intervals meet"


def _score_changes(pairs: list[Pair], references: Summaries, folders: Folders) -> list[Change]:
    """Scores side by side; of each primary metric and setting all arms are in one model, each twice."""
    verdicts = {id(pair[0]): f"not compared: {words}" for pair in pairs if (words := _defined_apart(*pair))}
    primary = [pair for pair in pairs if pair[0].metric in PRIMARY and id(pair[0]) not in verdicts]
    metrics = len({one.metric for one, _ in primary})
    groups: dict[tuple[str, Group], list[Pair]] = {}
    for pair in primary:
        groups.setdefault((pair[0].metric, quality_group(pair[0])), []).append(pair)
    for (_, group), found in groups.items():
        repeats = _repeats(found, [pair for pair in pairs if quality_group(pair[0]) == group], references)
        alone = [pair for pair in found if pair[0].arm not in repeats]
        judged = _judged(alone, references, folders, primary_level(metrics))
        of_arm = {one.arm: judged[id(one)] for one, _ in alone}
        verdicts |= judged | {id(one): of_arm[repeats[one.arm]] for one, _ in found if one.arm in repeats}
    return [Change(one, other, verdicts.get(id(one), "not compared: no primary metric")) for one, other in pairs]


def _repeats(pairs: list[Pair], of_group: list[Pair], references: Summaries) -> dict[str, str]:
    """Arm -> the other of whose training it has the figures in both studies; its verdict is the other's. `of_group`:
    all metrics of the group."""
    first, second = (
        repeats_of(
            scores(Summaries(pair[side] for pair in pairs), references),
            trainings_of(Summaries(pair[side] for pair in of_group)),
        )
        for side in (0, 1)
    )
    return {arm: other for arm, other in first.items() if second.get(arm) == other}


def _judged(pairs: list[Pair], references: Summaries, folders: Folders, level: float) -> dict[int, str]:
    """Verdicts on second against first by the id of the first summary."""
    sides = [Summaries(replace(pair[side], arm=f"{side} {pair[0].arm}") for pair in pairs) for side in (0, 1)]
    metric = pairs[0][0].metric
    cells, margin = None, quantity_of(metric).margin
    if folders:
        cells = {**cells_of(sides[0], folders[0]), **cells_of(sides[1], folders[1])}
        margin = next((found for folder in folders if (found := stated_margins(folder).get(metric))), margin)
    model = compare(Summaries([*sides[0], *sides[1]]), references, level, margin, cells)
    words = {}
    for one, _ in pairs:
        before, after = f"0 {one.arm}", f"1 {one.arm}"
        difference = model.contrast([after], [before], len(pairs))
        if difference is None or not difference.seeds:
            words[id(one)] = "not compared: no seed in common"
        else:
            words[id(one)] = verdict_words(model.judge(difference, model.margin(before)), difference)
    return words
