"""How sure a point is, as figures draw it: an interval, or the few samples themselves where an interval says little."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.report.points import Point
from bench.report.rounds import round_medians

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FEWEST_SAMPLES = 5
"""Rounds or seeds from which an interval is drawn. Student's factor is 12.7 at two and 4.3 at three: such an interval
may span decades and hides that there were two samples; tables have it."""
MANY_ARMS = 5
"""Arms in one panel from which intervals are drawn thin."""
WIDEST_SHIFT = 0.2
"""Octaves over which the arms at one length are spread, so that their intervals lie beside each other."""


def samples_of(point: Point, folder: Path | None) -> list[float]:
    """The independent samples behind a point: figures a seed, or medians a round; [] where they were not kept."""
    if point.interval == "seeds":
        return [value for value in point.values if math.isfinite(value)]
    return round_medians(folder, point) if folder is not None else []


def dots_of(point: Point, folder: Path | None) -> list[float] | None:
    """What to draw instead of an interval: the samples where they are few, [] where few were not kept; else None."""
    samples = samples_of(point, folder)
    count = len(samples) or (int(point.n) if point.n.isdigit() else FEWEST_SAMPLES)
    return samples if count < FEWEST_SAMPLES else None


@dataclass(frozen=True)
class Spread:
    """How sure the value at the place `at` is: the ends of its interval, or `dots` to be drawn instead of it."""

    at: float
    value: float
    low: float
    high: float
    dots: Sequence[float] | None = None


def draw_spreads(
    axis: Axes, spreads: Sequence[Spread], colour: str, *, across: bool = False, thin: bool = False
) -> None:
    """Intervals with caps, and the dots of those that have them.

    across: along the horizontal axis. thin: without caps, for a panel that holds many of them.
    """
    dots = [(one.at, value) for one in spreads for value in one.dots or ()]
    if dots:
        places = list(zip(*dots, strict=True))
        style: dict[str, Any] = {"linestyle": "none", "marker": ".", "markersize": 3, "alpha": 0.75, "zorder": 4}
        axis.plot(*(reversed(places) if across else places), color=colour, **style)
    known = [one for one in spreads if one.dots is None and math.isfinite(one.low) and math.isfinite(one.high)]
    if known:
        lengths = [[max(one.value - one.low, 0) for one in known], [max(one.high - one.value, 0) for one in known]]
        at, values = [one.at for one in known], [one.value for one in known]
        place: dict[str, Any] = {"x": values, "y": at, "xerr": lengths} if across else {"x": at, "y": values}
        place |= {} if across else {"yerr": lengths}
        place |= {"elinewidth": 0.6, "capsize": 0, "alpha": 0.6} if thin else {"elinewidth": 0.9, "capsize": 1.8}
        axis.errorbar(**place, fmt="none", ecolor=colour, zorder=2)


def shift_of(place: int, count: int, lengths: Sequence[int]) -> float:
    """Factor on the length for arm `place` of `count`: its part of `WIDEST_SHIFT`; less where lengths are near."""
    if count < 2:
        return 1.0
    ordered = sorted(lengths)
    nearest = min((math.log2(b / a) for a, b in pairwise(ordered)), default=1.0)
    return 2 ** (min(WIDEST_SHIFT, 0.4 * nearest) * (place / (count - 1) - 0.5))
