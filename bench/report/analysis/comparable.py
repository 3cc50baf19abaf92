"""Costs that may be compared: kernels that differ, one setting for all arms, an arm apart from all others."""

from __future__ import annotations

from collections.abc import Iterable

from bench.report.rows.provenance import parts_of
from bench.report.rows.summaries import Summaries, Summary
from metrics.cost.quantities import FORWARD_GFLOPS, PARAMETERS, SAMPLE_CALLS, SAMPLE_GFLOPS

EXACT = (FORWARD_GFLOPS, PARAMETERS, SAMPLE_CALLS, SAMPLE_GFLOPS)


def kernel_conflict(kernels: Iterable[str]) -> str:
    """The operations that ran on different kernels, so that their rows may not be ranked against each other; "" where
    there are none.

    An arm without attention names no attention kernel, so only operations that two rows share can differ.
    """
    seen: dict[str, set[str]] = {}
    for part in parts_of(kernels):
        name, equals, value = part.partition("=")
        if equals:
            seen.setdefault(name, set()).add(value)
    differing = [f"{name}: {', '.join(sorted(values))}" for name, values in sorted(seen.items()) if len(values) > 1]
    return "; ".join(differing)


def first_setting(summaries: Summaries) -> Summaries:
    """Of each metric the summaries on its first device, with its first threads and batch; one per arm and length,
    without a figure where it has none.

    Growth along length and ratios of arms have no meaning across devices.
    """
    settings: dict[str, tuple[object, ...]] = {}
    kept: dict[tuple[str, str, int | None], Summary] = {}
    for summary in sorted(summaries, key=lambda summary: not summary.measured):
        if not summary.measured or settings.setdefault(summary.metric, summary.setting) == summary.setting:
            kept.setdefault((summary.metric, summary.arm, summary.length), summary)
    return summaries.of(kept.values())


def longest_with(summaries: Summaries, baseline: str) -> int | None:
    """The longest length at which the baseline has a figure, else the longest of all; None without a figure."""
    known = summaries.measured()
    return max(known.where(arm=baseline).lengths() or known.lengths(), default=None)


def settings_left_out(summaries: Summaries) -> str:
    """A sentence for a table that `first_setting` made smaller; "" where it left nothing out."""
    chosen = first_setting(summaries)
    if len(chosen) == len(summaries):
        return ""
    devices = ", ".join(map(str, chosen.distinct("device")))
    return f"Only what was measured on {devices or 'one device'}, with one number of threads, batch and kernel an arm."


def lowest_apart(summaries: Summaries) -> str | None:
    """The arm whose interval lies wholly below every other arm's; None where two overlap or there are fewer than two.

    A count (`EXACT`) is compared by itself; any other figure without an interval leaves the question open.
    """
    measured = sorted(summaries.measured(), key=lambda summary: summary.span[1])
    if len(measured) < 2 or any(not one.has_interval and one.metric not in EXACT for one in measured):
        return None
    first, others = measured[0], measured[1:]
    return first.arm if all(first.span[1] < other.span[0] for other in others) else None
