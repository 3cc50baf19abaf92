"""Growth of cost with length: ratios per round, exponents, and the length at which two arms cost the same."""

from __future__ import annotations

from pathlib import Path

from bench.report.analysis.comparable import EXACT, kernel_conflict
from bench.report.analysis.times import Ratio, ratio_to, took_turns
from bench.report.rows.rounds import is_replicated, replicate_times, round_medians
from bench.report.rows.summaries import Summaries, Summary
from metrics.statistics.intervals import Interval
from metrics.statistics.scaling import Crossover, crossover, growth_exponent


def cost_ratio(
    summary: Summary, summaries: Summaries, baseline: str, folder: Path | None, *, together: bool = False
) -> Ratio | None:
    """The summary as a multiple of the baseline arm's in the same setting; None where that was not measured, or ran on
    another kernel for the same operation (unless `together`).

    Where both were timed in turns interval and verdict are those of `ratio_to`; a count is exact; anything else has
    neither.
    """
    base = summaries.beside(summary, baseline)
    if base is None or (not together and kernel_conflict([*summary.kernels, *base.kernels])):
        return None
    value = summary.value / base.value
    exact = value if summary.metric in EXACT else float("nan")
    ratio = ratio_to(summary, base, summaries, folder, together=together)
    return ratio or Ratio(Interval(value, exact, exact, 1), 0, "")


def round_ratios(summary: Summary, summaries: Summaries, baseline: str, folder: Path) -> list[float]:
    """The ratio of round medians in each round that `cost_ratio` rests on; [] where it rests on replicates or none."""
    base = summaries.beside(summary, baseline)
    if base is None or not took_turns(summary, base) or is_replicated(folder, summary):
        return []
    both = zip(round_medians(folder, summary), round_medians(folder, base), strict=False)
    return [mine / theirs for mine, theirs in both if mine > 0 and theirs > 0]


def meeting(summaries: Summaries, arm: str, baseline: str, folder: Path | None) -> Crossover | None:
    """Where two arms cost the same on the metric of `summaries`; None where they share fewer than two lengths, ran on
    different kernels, or have a figure that is not positive."""
    first, second = summaries.where(arm=arm), summaries.where(arm=baseline)
    lengths = sorted(set(first.lengths()) & set(second.lengths()))
    if len(lengths) < 2 or kernel_conflict([*first.kernels(), *second.kernels()]):
        return None
    sides = [[next(p for p in side if p.length == length) for length in lengths] for side in (first, second)]
    table = repeats_of([*sides[0], *sides[1]], folder) or [[one.value for side in sides for one in side]]
    parts = ([turn[: len(lengths)] for turn in table], [turn[len(lengths) :] for turn in table])
    try:
        return crossover(lengths, *parts, names=(arm, baseline))
    except ValueError:  # a figure that is not positive has no logarithm
        return None


def repeats_of(summaries: list[Summary], folder: Path | None) -> list[list[float]]:
    """Times (replicates, summaries) of the replicates that all summaries have, where those are two or more; else
    medians (rounds, summaries) of the rounds that all have; [] where no raw samples are kept."""
    if folder is None:
        return []
    replicates = zip(*(replicate_times(folder, one) for one in summaries), strict=False)
    whole = [list(times) for times in replicates if all(time > 0 for time in times)]
    if len(whole) > 1:
        return whole
    rounds = zip(*(round_medians(folder, one) for one in summaries), strict=False)
    return [list(turn) for turn in rounds if all(time > 0 for time in turn)]


def cost_exponent(line: Summaries, folder: Path | None) -> tuple[Interval, str]:
    """Exponent of the cost in length over one arm's summaries, with words on where its interval comes from.

    Timings have one exponent a replicate, so a t interval over replicates (over the rounds of one process where there
    is one); counts are exact; else there is no interval.
    """
    ordered = [one for one in line.by_length() if one.value > 0]
    lengths = [float(one.length or 0) for one in ordered]
    table = repeats_of(ordered, folder)
    if len(table) > 1 and all(value > 0 for turn in table for value in turn):
        replicated = folder is not None and all(is_replicated(folder, one) for one in ordered)
        return growth_exponent(lengths, table), f"{len(table)} {'replicates' if replicated else 'rounds'}"
    exponent = growth_exponent(lengths, [[one.value for one in ordered]])
    if all(one.metric in EXACT for one in ordered):
        return Interval(exponent.value, exponent.value, exponent.value, 1), "counted, so exact"
    return exponent, "no raw rounds, so no interval"
