"""Captions of tables for papers: seeds, pieces, device, and what the brackets are."""

from __future__ import annotations

from pathlib import Path

from bench.report.rows.provenance import parts_of
from bench.report.rows.rounds import replicates_of
from bench.report.rows.summaries import Summaries
from bench.report.tables.cost import setting_words
from metrics.cost.quantities import STEP_LATENCY
from metrics.headlines import LIKELIHOODS


def quality_caption(summaries: Summaries) -> str:
    """Sentences on scores of one setting: over how many seeds and pieces, of what music, and their brackets; "" where
    there are none."""
    measured = summaries.measured()
    if not measured:
        return ""
    first = measured[0]
    counts = sorted({one.done for one in measured if any(seed is not None for seed in one.seeds)}) or [1]
    seeds = " to ".join(map(str, dict.fromkeys((counts[0], counts[-1]))))
    drawn = Summaries(one for one in measured if one.metric not in LIKELIHOODS).distinct("n")
    corpus = f" of {first.corpus}" if first.corpus else ""
    length = f" at {first.length} tokens" if first.length is not None else ""
    pieces = f", {' / '.join(map(str, drawn))} generated pieces per seed" if drawn else ""
    over = f"mean over {seeds} seeds" if counts[-1] > 1 else "one seed"
    brackets = " Brackets of scores: 95 % t interval over seeds." if counts[-1] > 1 else " One seed has no interval."
    return f"Scores: {over}; test side{corpus}{length}{pieces}.{brackets}"


def cost_caption(summaries: Summaries, folder: Path | None) -> str:
    """Sentences on costs: lengths, device, threads, batch and kernels, and their brackets; "" where there are none."""
    measured = summaries.measured()
    if not measured:
        return ""
    where = {setting_words(one.setting) for one in measured if one.device}
    kernels = parts_of(measured.kernels())
    lengths = ", ".join(map(str, measured.lengths()))
    parts = [f"at {lengths} tokens" if lengths else "", f"on {' / '.join(sorted(where))}" if where else ""]
    parts = [*filter(None, parts), *([f"kernels {', '.join(kernels)}"] if kernels else [])]
    return f"Costs: {', '.join(parts)}.{_brackets(measured, folder)}"


def _brackets(summaries: Summaries, folder: Path | None) -> str:
    timed = [one for one in summaries if "latency" in one.metric and one.has_interval]
    if not timed:
        return ""
    steps = [one for one in timed if one.metric == STEP_LATENCY] or timed
    processes = {len(replicates_of(folder, one)) for one in steps} if folder is not None else {0}
    counts = sorted(processes - {0})
    if not counts or counts == [1]:
        return " Brackets of times: 95 % intervals over timed calls."
    memory = " and memory" if any("memory" in one.metric and one.has_interval for one in summaries) else ""
    return f" Brackets of times{memory}: 95 % intervals over {' / '.join(map(str, counts))} processes per arm."
