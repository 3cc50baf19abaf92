"""Tables that audit the cost: one arm under two names (A/A), ratios with a decision, FLOPs by three counters."""

from __future__ import annotations

import math
from itertools import combinations
from pathlib import Path

import pandas as pd

from bench.report.analysis.aa import same_models
from bench.report.analysis.comparable import kernel_conflict
from bench.report.analysis.times import MEMORY, REPLICATED, TIMES, Ratio, ratio_to, ratios_of_pairs
from bench.report.rows.arms import arm_order
from bench.report.rows.summaries import Summaries, Summary, cost_summaries
from bench.report.tables.numbers import NOTHING
from bench.report.tables.table import Entry, Table
from metrics.cost.quantities import (
    FORWARD_GFLOPS,
    FORWARD_GFLOPS_DISPATCH,
    FORWARD_GFLOPS_FVCORE,
)
from metrics.quantities import quantity_of

COUNTERS = {FORWARD_GFLOPS_FVCORE: "fvcore", FORWARD_GFLOPS_DISPATCH: "FlopCounterMode"}


def audit_tables(frame: pd.DataFrame, folder: Path, baseline: str) -> list[Table]:
    """Ratios to the baseline arm, A/A pairs where one model runs under several names, and FLOPs by three counters."""
    summaries, arms = cost_summaries(frame), arm_order(frame)
    same = same_models(summaries, folder)
    tables = [
        aa_table(summaries, same, folder),
        ratio_table(summaries, arms, baseline, same, folder),
        ratio_table(summaries, arms, baseline, same, folder, MEMORY),
        flop_audit_table(frame, summaries, arms),
    ]
    return [table for table in tables if table.rows]


def aa_table(summaries: Summaries, groups: list[list[str]], folder: Path) -> Table:
    """Every pair of names of one model: the ratio of their times, and of peaks of memory that were replicated, should
    be 1."""
    names = [pair for group in groups for pair in combinations(group, 2)]
    pairs = [
        (one, base)
        for metric in REPLICATED
        for first, other in names
        for one in summaries.where(metric=metric, arm=other).measured()
        if (base := summaries.beside(one, first)) is not None
    ]
    ratios = ratios_of_pairs(pairs, summaries, folder)
    found = [
        (f"{one.arm} / {base.arm}", one, ratio)
        for (one, base), ratio in zip(pairs, ratios, strict=True)
        if ratio and _is_shown(one, ratio)
    ]
    return Table("aa", "A/A: one arm under two names", _COLUMNS, _rows(found), (_aa_words([one for *_, one in found]),))


def _is_shown(one: Summary, ratio: Ratio) -> bool:
    """Memory of one process, as in older results, is not."""
    return one.metric in TIMES or ratio.replicates > 1


def _aa_words(ratios: list[Ratio]) -> str:
    """How many pairs are called different, how many intervals exclude 1, and whether the test is passed."""
    judged = [ratio for ratio in ratios if ratio.replicates > 1]
    called = sum(ratio.differs for ratio in judged)
    apart = sum(ratio.interval.excludes(1.0) for ratio in judged)
    farthest = max((abs(ratio.interval.value - 1) for ratio in judged or ratios), default=0.0)
    passed = "passed" if not called and not apart else "not passed: run it on an idle machine, or take more replicates"
    if not judged:
        passed = "not decided, one process per arm"
    return (
        f"One model under two names: {called} of {len(judged)} pairs are called different. The intervals of {apart} "
        "exclude 1 (those of all pairs of arms cover together at 95 %, for each cost and length); the ratio farthest "
        f"from 1 is off by {100 * farthest:.1f} %. "
        f"A/A test (no pair called different, no interval without 1): {passed}."
    )


def ratio_table(
    summaries: Summaries, arms: list[str], baseline: str, groups: list[list[str]], folder: Path,
    metrics: tuple[str, ...] = TIMES,
) -> Table:  # fmt: skip
    """Times of each arm as a multiple of the baseline's, with a verdict; or peaks of memory that were replicated."""
    twins = next((group for group in groups if baseline in group), [])
    others = [arm for arm in arms if arm != baseline and arm not in twins]
    found = []
    for arm in others:
        for one in (one for metric in metrics for one in summaries.where(metric=metric, arm=arm).measured()):
            base = summaries.beside(one, baseline)
            if base is not None and not kernel_conflict([*one.kernels, *base.kernels]):
                ratio = ratio_to(one, base, summaries, folder)
                found += [(f"{arm} / {baseline}", one, ratio)] if ratio and _is_shown(one, ratio) else []
    if metrics == MEMORY:
        words = "Ratio of the peaks of one process each, with intervals and verdicts as those of times."
        return Table("memory_ratios", f"Memory as a multiple of {baseline}", _COLUMNS, _rows(found), (words,))
    notes = (
        "Ratio of the times of one process each, geometric mean over replicates in fresh processes. The intervals of "
        "all arms cover together at 95 %, for each cost and length, with the spread between processes pooled over "
        "arms; slower and faster: the interval excludes 1; same: it holds 1 and lies within what matters; open: "
        "anything else. Where one process ran per arm the interval is over its rounds and decides nothing.",
    )
    return Table("ratios", f"Time as a multiple of {baseline}", _COLUMNS, _rows(found), notes)


_COLUMNS = ("pair", "cost", "tokens", "ratio", "replicates", "verdict")


def _rows(found: list[tuple[str, Summary, Ratio]]) -> tuple[tuple[Entry, ...], ...]:
    return tuple(
        (
            Entry(pair),
            Entry(quantity_of(summary.metric).label),
            Entry.count(summary.length or 0),
            Entry.interval(ratio.interval, cell_ids=summary.cell_ids),
            Entry.count(ratio.replicates),
            Entry(ratio.words),
        )
        for pair, summary, ratio in found
    )


def flop_audit_table(frame: pd.DataFrame, summaries: Summaries, arms: list[str]) -> Table:
    """Our own formula at the longest length, how far two counters are from it, and what they could not count."""
    length = max(summaries.lengths(), default=None)
    body = []
    for arm in arms:
        own = summaries.first(metric=FORWARD_GFLOPS, arm=arm, length=length)
        if own is None:
            continue
        entries = [Entry(arm), Entry.figure(own.value, cell_ids=own.cell_ids, reason=own.reason)]
        for metric in COUNTERS:
            counted = summaries.first(metric=metric, arm=arm, length=length)
            share = 100 * (counted.value / own.value - 1) if counted else math.nan
            entries.append(Entry(NOTHING) if math.isnan(share) else Entry(f"{share:+.2f} %", share))
        body.append((*entries, Entry(_uncounted(frame, arm, length))))
    columns = ("arm", f"own formula [GFLOPs], L = {length}", *COUNTERS.values(), "not counted by one or both")
    notes: tuple[str, ...] = (
        "A multiply-add is two. The scan is counted as 9 B L D N (it describes the associative scan; a sequential "
        "kernel executes about 7, which shares of the device's ceilings use). Counters are given our formula for the "
        "scan and for fused attention, so agreement on those is circular; tests check both against unfused references.",
    )
    marked = frame[(frame["metric"] == FORWARD_GFLOPS) & frame["note"].astype(str).str.startswith("counted")]
    if counted_arms := [arm for arm in arms if arm in set(marked["arm"])]:
        notes += (f"Counted in place of an own formula, which the denoiser does not state: {', '.join(counted_arms)}.",)
    return Table("flop_audit", "FLOPs by three counters", columns, tuple(body), notes)


def _uncounted(frame: pd.DataFrame, arm: str, length: int | None) -> str:
    """Operators that a counter had no rule for, element-wise work mostly, by their bare names."""
    rows = frame[(frame["arm"] == arm) & (frame["length"] == length) & frame["metric"].isin(COUNTERS)]
    lists = [
        {name.strip().rpartition("::")[2] for name in note.removeprefix("not counted: ").split(",")}
        for note in rows["note"]
        if note.startswith("not counted: ")
    ]
    return ", ".join(sorted(set().union(*lists)))
