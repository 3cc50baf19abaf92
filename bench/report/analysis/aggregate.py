"""What may be said of points: which kernels may be ranked together, which arm is apart from all others, who
learned music."""

from __future__ import annotations

from collections.abc import Iterable

from bench.report.rows.points import Point, Points
from metrics.cost.quantities import BITS, FORWARD_GFLOPS, PARAMETERS

GRAMMAR = "grammar"
EXACT = (FORWARD_GFLOPS, PARAMETERS)
ArmKey = tuple[str, int | None, str]


def reference_point(references: Points, arm: str, metric: str, corpus: str, length: int | None) -> Point | None:
    """The reference for a corpus and length; one without a corpus or length of its own serves all. None where
    thereis none."""
    for wanted_corpus in (corpus, ""):
        for wanted_length in (length, None):
            found = references.first(arm=arm, metric=metric, corpus=wanted_corpus, length=wanted_length)
            if found is not None and found.measured:
                return found
    return None


def grammar_marks(quality: Points, references: Points) -> dict[ArmKey, str]:
    """For each (corpus, length, arm) with validation bits/token: "no more" where the mean is not below the grammar
    baseline, "open" where the mean is below but the interval reaches it (or there is none), "" where it lies wholly
    below, " ""unknown"
    without a baseline."""
    marks: dict[ArmKey, str] = {}
    for point in quality.where(metric=BITS).measured():
        baseline = reference_point(references, GRAMMAR, BITS, point.corpus, point.length)
        if baseline is None:
            mark = "unknown"
        elif point.value >= baseline.value:
            mark = "no more"
        else:
            mark = "" if point.high < baseline.value else "open"
        marks[(point.corpus, point.length, point.arm)] = mark
    return marks


def kernel_parts(kernel: str) -> dict[str, str]:
    """`"scan=numba sdpa=flash_cpu"` as a dictionary."""
    pairs = [part.partition("=") for part in kernel.replace(",", " ").split() if "=" in part]
    return {name: value for name, _, value in pairs}


def kernel_conflict(kernels: Iterable[str]) -> str:
    """Why rows with these kernels may not be ranked against each other: the operations that ran differently; "" if
    none did.

    An arm without attention names no attention kernel, so only operations that two rows share can differ.
    """
    seen: dict[str, set[str]] = {}
    for kernel in kernels:
        for name, value in kernel_parts(kernel).items():
            seen.setdefault(name, set()).add(value)
    differing = [f"{name}: {', '.join(sorted(values))}" for name, values in sorted(seen.items()) if len(values) > 1]
    return "; ".join(differing)


def first_setting(points: Points) -> Points:
    """Of each metric the points on its first device, with its first threads and batch; one an arm and length, without a
    figure where it has none.

    What is asked along length, or of one arm beside another, has no answer across devices.
    """
    settings: dict[str, tuple[object, ...]] = {}
    kept: dict[tuple[str, str, int | None], Point] = {}
    for point in points.measured():
        setting = (point.device, point.threads, point.batch)
        if settings.setdefault(point.metric, setting) == setting:
            kept.setdefault((point.metric, point.arm, point.length), point)
    for point in points:
        if not point.measured:
            kept.setdefault((point.metric, point.arm, point.length), point)
    return Points(kept.values())


def settings_left_out(points: Points) -> str:
    """A sentence for a table that `first_setting` made smaller; "" where it left nothing out."""
    chosen = first_setting(points)
    if len(chosen) == len(points):
        return ""
    devices = ", ".join(map(str, chosen.distinct("device")))
    return f"Only what was measured on {devices or 'one device'}, with one number of threads, batch and kernel an arm."


def lowest_apart(points: Points) -> str | None:
    """The arm whose interval lies wholly below every other arm's; None where two overlap or there are fewer than two.

    A count (`EXACT`) is compared by itself; any other figure without an interval leaves the question open.
    """
    measured = sorted(points.measured(), key=lambda point: point.span[1])
    if len(measured) < 2 or any(not point.has_interval and point.metric not in EXACT for point in measured):
        return None
    first, others = measured[0], measured[1:]
    return first.arm if all(first.span[1] < other.span[0] for other in others) else None
