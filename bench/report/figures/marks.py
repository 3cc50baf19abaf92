"""Marks of a point in a figure: interval or single samples, labels that do not overlap, ticks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.report.rows.points import Point
from bench.report.rows.rounds import round_medians

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


Box = tuple[float, float, float, float]
"""Left, bottom, right, top."""
GAP = 3.5
"""Distance of a label from the middle of its marker, in points, at each side."""
MARKER = 6.0
OUTSIDE = 100.0
"""How much worse a place past the edge is than one that covers the same area of something else."""


def place_labels(
    points: Sequence[tuple[float, float]], size: tuple[float, float], room: tuple[float, float]
) -> list[tuple[float, float]]:
    """For each point the lower left corner of its label, seen from the point; everything in points of 1/72 inch.

    `size` is that of a label, `room` the panel that all points lie in. Each label in turn takes, of eight places
    around its point, the first that covers least of the markers, of earlier labels and of what lies past the edge.
    """
    width, height = size
    right, left, middle = GAP, -GAP - width, -width / 2
    above, below, beside = GAP, -GAP - height, -height / 2
    places = [(right, above), (left, above), (right, below), (left, below)]
    places += [(right + 1, beside), (left - 1, beside), (middle, above + 1), (middle, below - 1)]
    taken: list[Box] = [_around(x, y, MARKER, MARKER) for x, y in points]
    chosen = []
    for x, y in points:
        boxes = [(x + dx, y + dy, x + dx + width, y + dy + height) for dx, dy in places]
        costs = [sum(_shared(box, other) for other in taken) + OUTSIDE * _outside(box, room) for box in boxes]
        best = min(range(len(places)), key=costs.__getitem__)
        chosen.append(places[best])
        taken.append(boxes[best])
    return chosen


def _around(x: float, y: float, width: float, height: float) -> Box:
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


def _shared(one: Box, other: Box) -> float:
    """Area that two boxes share."""
    across = min(one[2], other[2]) - max(one[0], other[0])
    along = min(one[3], other[3]) - max(one[1], other[1])
    return across * along if across > 0 and along > 0 else 0.0


def _outside(box: Box, room: tuple[float, float]) -> float:
    whole = (box[2] - box[0]) * (box[3] - box[1])
    return whole - _shared(box, (0.0, 0.0, *room))


MOST_TICKS = 5
"""Lengths of four digits that fit under a panel of two inches."""


def length_axis(axis: Axes, lengths: list[int], most: int = MOST_TICKS) -> None:
    """A logarithmic axis of sequence lengths, see `tick_lengths`, and the values logarithmic too."""
    axis.set_xscale("log", base=2)
    axis.set_yscale("log")
    tick_lengths(axis, lengths, most)


def tick_lengths(axis: Axes, lengths: list[int], most: int = MOST_TICKS) -> None:
    """A tick at each length that was measured, at most `most` of them with a number; the axis has its scale already."""
    named = named_lengths(lengths, most)
    axis.set_xticks(named, [str(length) for length in named])
    axis.set_xticks([length for length in lengths if length not in named], minor=True)
    axis.set_xticklabels([], minor=True)
    axis.margins(x=0.08)
    axis.set_xlabel("length [tokens]")


def named_lengths(lengths: list[int], most: int) -> list[int]:
    """All lengths where there are at most `most`; else powers of two, every second, third ... back from the longest."""
    if len(lengths) <= most:
        return lengths
    powers = [length for length in lengths if length & (length - 1) == 0]
    chosen = powers if len(powers) > 1 else lengths
    step = -(-len(chosen) // most)
    return chosen[::-1][::step][::-1]


def few_decade_ticks(axis: Axes) -> None:
    """Plain numbers on a logarithmic axis, with ticks between the decades where it spans only a few."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

    low, high = axis.get_ylim()
    decades = math.log10(high / low)
    multiples = (1.0,) if decades > 2.5 else (1.0, 3.0) if decades > 1.2 else (1.0, 2.0, 5.0)
    ticks = [m * 10.0**power for power in range(-9, 10) for m in multiples]
    if sum(low <= tick <= high for tick in ticks) > 1:
        axis.yaxis.set_major_locator(LogLocator(base=10, subs=multiples, numticks=12))
    else:
        axis.yaxis.set_major_locator(MaxNLocator(nbins=4))
    axis.yaxis.set_minor_locator(NullLocator())
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
