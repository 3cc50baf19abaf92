"""Answers of a study of several processes: seconds and FLOPs of a piece at equal bits, and the arms within each."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from bench.report.analysis.comparisons import Compared, compare
from bench.report.analysis.frontier import Ways, ways_of
from bench.report.analysis.models import cells_of
from bench.report.analysis.samplers import one_a_training
from bench.report.pages.findings import CANNOT, OPEN, Answer, music_finding, names, phrase, sentence
from bench.report.rows.study import stated_margins
from bench.report.rows.summaries import Summaries, quality_summaries, reference_summaries
from bench.report.tables.numbers import number, with_interval
from bench.study.settings import process_words
from metrics.cost.quantities import BITS, PIECE_GFLOPS, PIECE_TIME, PIECE_TIME_TOGETHER, likelihood_kind
from metrics.quantities import quantity_of
from metrics.statistics.differences import FEWEST_SEEDS, Difference, primary_level
from metrics.statistics.ranking import leader

SECONDS = {PIECE_TIME: "alone", PIECE_TIME_TOGETHER: "in a batch"}
WHOLE = "whole sequences"


def process_answers(frame: pd.DataFrame, baseline: str, folder: Path | None = None) -> list[Answer]:
    """Which arm and process needs the fewest seconds at equal bits, which the fewest FLOPs, and which arm is ahead
    within each process: three sentences."""
    ways = ways_of(frame)
    ahead = Answer("Which arm is ahead within each process, by bits/token?", _ahead(frame, folder))
    if ways is None or not ways.exact or math.isnan(bits := ways.equal_bits(baseline)):
        words = sentence([f"{CANNOT}: no exact bits of autoregression were measured"])
        return [Answer("Fewest seconds and FLOPs a piece at equal bits?", words), ahead]
    level, nothing = f"at {number(bits)} bits/token on average", f"{CANNOT}: not measured"
    found = {label: _least(ways, name, baseline) for name, label in SECONDS.items()}
    seconds = [f"{label}: {least}" for label, least in found.items() if least] or [nothing]
    flops = _least(ways, PIECE_GFLOPS, baseline) or nothing
    return [
        Answer(f"Fewest seconds a piece {level}?", sentence(seconds)),
        Answer(f"Fewest FLOPs a piece {level}?", sentence([flops])),
        ahead,
    ]


def _least(ways: Ways, cost: str, baseline: str) -> str | None:
    """The way with the least of a cost at equal bits, by the intervals of all pairs; None where none was measured."""
    model = ways.log_costs(cost, baseline)
    if model is None:
        return None
    unit = quantity_of(cost).unit
    order = sorted(model.arms, key=model.means.__getitem__)
    figures = {name: f"{name} ({number(math.exp(model.means[name]))} {unit})" for name in order}
    bits = ways.equal_bits(baseline)
    others = [curve for curve in ways.exact if curve.name not in order]
    reached = [curve.name for curve in others if math.isfinite(curve.at(cost, bits))]
    never = [curve.name for curve in others if curve.name not in reached]
    left = f"; never reached by {names(never)}" if never else ""
    left += f"; reached on average, not in each seed at that seed's level, by {names(reached)}" if reached else ""
    if len(order) == 1:
        return f"{figures[order[0]]} alone reaches it{left}"
    seeds = min(map(len, model.values.values()))
    if seeds < FEWEST_SEEDS:
        few = f"{seeds} seed{'s' if seeds != 1 else ''} of at least {FEWEST_SEEDS}"
        return f"{CANNOT} ({few}); least on average {figures[order[0]]}, then {figures[order[1]]}{left}"
    pairs = model.pairs()
    if leader(pairs, better="lower").arm:
        ratio = _between(pairs, order[1], order[0]).ratio()
        times = with_interval(ratio.value, ratio.low, ratio.high)
        return f"{figures[order[0]]}; next {order[1]}, {times} times as many{left}"
    equal = [name for name in order[1:] if not _between(pairs, name, order[0]).side]
    return f"{OPEN} between {names([figures[order[0]], *(figures[name] for name in equal)])}{left}"


def _between(pairs: Mapping[tuple[str, str], Difference], first: str, second: str) -> Difference:
    """first - second, of the differences of all pairs."""
    return pairs[first, second] if (first, second) in pairs else pairs[second, first].reversed()


def _ahead(frame: pd.DataFrame, folder: Path | None) -> str:
    """Within each process every arm against the first, by the likelihood that all arms of the process have."""
    frame = one_a_training(frame)
    rows = quality_summaries(frame).where(metric=BITS).measured()
    if not rows:
        return sentence([f"{CANNOT}: no bits/token were measured"])
    rows = rows.where(corpus=rows[0].corpus, length=rows[0].length)
    groups = [(process, its) for process, its in rows.groups(lambda one: one.process) if len(its.distinct("arm")) > 1]
    if not groups:
        return "Nothing is compared: one arm in each process."
    stated = (stated_margins(folder) if folder else {}).get(BITS, quantity_of(BITS).margin)
    references, level = reference_summaries(frame), primary_level(len(groups))
    parts = []
    for process, its in groups:
        cells = cells_of(its, folder) if folder else None
        one = compare(its, references, level, stated, cells)
        parts.append(_within(process, its, one))
    return sentence(parts)


def _within(process: str, rows: Summaries, one: Compared) -> str:
    arms = rows.distinct("arm")
    short = dict(zip(arms, _without_shared_end(arms), strict=True))
    kind = likelihood_kind(*rows[0].definitions)
    found = [replace(music_finding(arm), arm=short[arm.arm]) for arm in one.against(arms[0])]
    against = f"against {short[arms[0]]}"
    label = f"{found[0].arm} {against}" if len(found) == 1 else against
    words = WHOLE if process in ("", process_words("block", rows[0].length)) else process
    return phrase(f"{words} ({kind}): {label}", found)


def _without_shared_end(arms: Sequence[str]) -> list[str]:
    """Names without the words that all of them end with, of which each keeps one at least.

    >>> _without_shared_end(["mamba block-8", "wide net block-8"])
    ['mamba', 'wide net']
    """
    words = [arm.split(" ") for arm in arms]
    while min(map(len, words)) > 1 and len({one[-1] for one in words}) == 1:
        words = [one[:-1] for one in words]
    return [" ".join(one) for one in words]
