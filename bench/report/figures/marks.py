"""Marks of arms in a figure: lines, intervals or single samples, arms side by side, reference lines."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.report.analysis.references import CEILING, reference_summary
from bench.report.figures.data import state_across
from bench.report.figures.style import WHITE_EDGE
from bench.report.rows.arms import Look, reference_order
from bench.report.rows.rounds import is_replicated, round_medians
from bench.report.rows.summaries import Summaries, Summary

if TYPE_CHECKING:
    from matplotlib.axes import Axes


FEWEST_SAMPLES = 5
"""Rounds or seeds from which an interval is drawn. Student's factor is 12.7 at two and 4.3 at three: such an interval
may span decades and hides that there were two samples; tables have it."""
MANY_ARMS = 5
"""Arms in one panel from which intervals are drawn thin."""
WIDEST_SHIFT = 0.2
"""Octaves over which the arms at one length are spread, so that their intervals lie beside each other."""
REFERENCE_COLOUR = "#555555"
DASHES: tuple[Any, ...] = (
    (0, (1, 1.5)),
    (0, (2, 1.5)),
    (0, (4, 2)),
    (0, (5, 1, 1, 1)),
    (0, (6, 3)),
    (0, (3, 1, 1, 1, 1, 1)),
)
"""Of the floors and token baselines, in their order."""
BAND: dict[str, Any] = {"color": "#bbbbbb", "alpha": 0.45, "linewidth": 0, "zorder": 0}
"""The interval of a reference."""
DOTS: dict[str, Any] = {"linestyle": "none", "marker": ".", "markersize": 3, "alpha": 0.75}
"""Single samples: rounds or seeds."""


@dataclass(frozen=True)
class Spread:
    """Uncertainty of the value at the place `at`: the ends of its interval, or `dots` to be drawn instead of it."""

    at: float
    value: float
    low: float
    high: float
    dots: Sequence[float] | None = None


def spread_of(summary: Summary, at: float, folder: Path | None = None) -> Spread:
    """The interval of a summary, or its samples (seeds, rounds) where they are few; no dots where few were not kept."""
    if summary.interval == "seeds":
        found = list(summary.values)
    else:
        found = [] if folder is None or is_replicated(folder, summary) else round_medians(folder, summary)
    samples = [value for value in found if math.isfinite(value)]
    count = len(samples) or (int(summary.n) if summary.n.isdigit() else FEWEST_SAMPLES)
    return Spread(at, summary.value, summary.low, summary.high, samples if count < FEWEST_SAMPLES else None)


def draw_spreads(
    axis: Axes, spreads: Sequence[Spread], look: Look, *, across: bool = False, thin: bool = False
) -> None:
    """Intervals with caps, and the dots of those that have them.

    across: along the horizontal axis. thin: without caps, for a panel that holds many of them.
    """
    dots = [(one.at, value) for one in spreads for value in one.dots or ()]
    if dots:
        places = list(zip(*dots, strict=True))
        axis.plot(*(reversed(places) if across else places), zorder=4, **look.ink, **DOTS)
    known = [one for one in spreads if one.dots is None and math.isfinite(one.low) and math.isfinite(one.high)]
    if known:
        lengths = [[max(one.value - one.low, 0) for one in known], [max(one.high - one.value, 0) for one in known]]
        at, values = [one.at for one in known], [one.value for one in known]
        place: dict[str, Any] = {"x": values, "y": at, "xerr": lengths} if across else {"x": at, "y": values}
        place |= {} if across else {"yerr": lengths}
        place |= {"elinewidth": 0.6, "capsize": 0, "alpha": 0.6} if thin else {"elinewidth": 0.9, "capsize": 1.8}
        (*_, bars) = axis.errorbar(**place, fmt="none", ecolor=look.colour, zorder=2)
        bars[0].set_label(look.name)
        if across:
            state_across(bars[0])


def shift_of(place: int, count: int, lengths: Sequence[int]) -> float:
    """Factor on the length for arm `place` of `count`: its part of `WIDEST_SHIFT`; less where lengths are near."""
    if count < 2:
        return 1.0
    ordered = sorted(lengths)
    nearest = min((math.log2(b / a) for a, b in pairwise(ordered)), default=1.0)
    return 2 ** (min(WIDEST_SHIFT, 0.4 * nearest) * (place / (count - 1) - 0.5))


def draw_cross(axis: Axes, at: float, height: float, look: Look, **style: Any) -> None:
    """A cross in place of a figure that is missing, at a share of the panel's height."""
    axis.plot([at], [height], marker="x", markersize=4, transform=axis.get_xaxis_transform(), **look.ink, **style)


def draw_by_arm(
    axis: Axes, summaries: Summaries, arms: dict[str, Look], *, bounds: tuple[float, float] | None = None
) -> None:
    """Arms side by side: seeds as small dots, the mean as the arm's marker, its interval over seeds as a line within
    `bounds`."""
    lowest, highest = bounds or (-math.inf, math.inf)
    for position, (arm, look) in enumerate(arms.items()):
        summary = summaries.first(arm=arm)
        if summary is None:
            continue
        if not summary.measured:
            draw_cross(axis, position, 0.04, look)
            continue
        if summary.interval == "seeds":
            ends = [max(summary.low, lowest), min(summary.high, highest)]
            axis.vlines([position], [ends[0]], [ends[1]], linewidth=1.1, zorder=2, **look.ink)
        seeds = [value for value in summary.values if math.isfinite(value)]
        axis.plot([position + 0.24] * len(seeds), seeds, zorder=3, **look.ink, **DOTS)
        style = WHITE_EDGE | {"marker": look.marker, "markersize": 5}
        axis.plot([position], [summary.value], zorder=4, **look.ink, **style)
    axis.set_xlim(-0.6, len(arms) - 0.4)
    axis.set_xticks([])
    axis.grid(False, axis="x")


def reference_dashes(name: str, references: Summaries) -> Any:
    """Dashes of a reference arm: a whole line for the ceiling, the others by their place among the references."""
    if name == CEILING:
        return "-"
    others = [arm for arm in reference_order(references) if arm != CEILING]
    return DASHES[others.index(name) % len(DASHES)]


def reference_line(axis: Axes, value: float, dashes: Any = "-", name: str = "_") -> None:
    """A level across the panel, behind the arms; `name`: its series in the figure's data."""
    axis.axhline(value, color=REFERENCE_COLOUR, linestyle=dashes, linewidth=0.9, zorder=1, label=name)


def reference_levels(
    axis: Axes, references: Summaries, metric: str, corpus: str, length: int | None, names: Sequence[str]
) -> list[float]:
    """Draws the levels of reference rows across the panel, the ceiling's with its band; the levels drawn."""
    found = {name: reference_summary(references, name, metric, corpus, length) for name in names}
    known = {name: summary for name, summary in found.items() if summary is not None}
    for name, summary in known.items():
        reference_line(axis, summary.value, reference_dashes(name, references), name)
        if name == CEILING and summary.has_interval:
            axis.axhspan(summary.low, summary.high, **BAND)
    return [one.value for one in known.values()]


def reference_handles(references: Summaries, names: Sequence[str]) -> list[Any]:
    """Legend entries of those reference arms that the summaries hold."""
    from matplotlib.lines import Line2D

    style: dict[str, Any] = {"color": REFERENCE_COLOUR, "linewidth": 0.9}
    shown = [name for name in names if references.where(arm=name)]
    return [Line2D([], [], linestyle=reference_dashes(name, references), label=name, **style) for name in shown]
