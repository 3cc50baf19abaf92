"""Axes of figures: logarithmic lengths, ticks that do not overlap, limits around what is shown."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import XAxis, YAxis

MOST_TICKS = 5
"""Lengths of four digits that fit under a panel of two inches."""


def length_axis(axis: Axes, lengths: list[int], most: int = MOST_TICKS) -> None:
    """A logarithmic axis of sequence lengths: a tick at each one, at most `most` of them with a number."""
    axis.set_xscale("log", base=2)
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
    """Plain numbers on a logarithmic y axis, with ticks between the decades where it spans only a few."""
    _plain_decades(axis.yaxis, *axis.get_ylim())


def few_decade_ticks_below(axis: Axes) -> None:
    """The same on a logarithmic x axis."""
    _plain_decades(axis.xaxis, *axis.get_xlim())


def _plain_decades(axis: XAxis | YAxis, low: float, high: float) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

    decades = math.log10(high / low)
    multiples = (1.0,) if decades > 2.5 else (1.0, 3.0) if decades > 1.2 else (1.0, 2.0, 5.0)
    ticks = [m * 10.0**power for power in range(-9, 10) for m in multiples]
    if sum(low <= tick <= high for tick in ticks) > 1:
        axis.set_major_locator(LogLocator(base=10, subs=multiples, numticks=12))
    else:
        axis.set_major_locator(MaxNLocator(nbins=4))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def limits_around(values: Iterable[float], share: float, least: float) -> tuple[float, float]:
    """Limits with a margin of `share` of the values' range on both sides, `least` where they are all the same."""
    known = [value for value in values if math.isfinite(value)]
    margin = share * (max(known) - min(known)) or least
    return min(known) - margin, max(known) + margin
