"""Data of a drawn figure as CSV: one row per point, interval, cell of a heat map, bar or note that it shows."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, WeakSet

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = ("panel", "x axis", "y axis", "series", "mark", "x", "y", "low", "high")
"""Title and axes of a panel; arm or reference; kind of mark (point; sample: one seed or round; interval; level of a
reference; missing); its place; ends of an interval, a bar or a note."""
Row = tuple[str, str, "float | str | None", "float | str | None", "float | None", "float | None"]
_stated: WeakKeyDictionary[Axes, list[Row]] = WeakKeyDictionary()
_across: WeakSet[Any] = WeakSet()
_moved: WeakKeyDictionary[Axes, dict[str, tuple[float, float]]] = WeakKeyDictionary()


def state_data(
    axes: Axes,
    series: str,
    mark: str,
    x: float | str | None = None,
    y: float | str | None = None,
    low: float | None = None,
    high: float | None = None,
) -> None:
    """Add a row for what the lines of a panel do not hold: a cell of a heat map, a bar, a note."""
    _stated.setdefault(axes, []).append((series, mark, x, y, low, high))


def state_moved(axes: Axes, series: str, *, times: float = 1.0, plus: float = 0.0) -> None:
    """Say that a series is drawn a little beside its places: at `times` * x + `plus`."""
    _moved.setdefault(axes, {})[series] = (times, plus)


def state_across(bars: Any) -> None:
    """Say that intervals lie along the horizontal axis."""
    _across.add(bars)


def figure_csv(figure: Figure) -> str:
    """What the figure shows, in numbers of nine digits: lines and intervals that have a label, and stated rows."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    for axes in (one for one in figure.axes if one.axison):
        head = [_written(_in_grid(axes, *one)) for one in HEAD]
        writer.writerows([*head, *map(_written, row)] for row in (*_drawn(axes), *_stated.get(axes, ())))
    return buffer.getvalue()


def _title(axes: Axes) -> str:
    return axes.get_title() or axes.get_title(loc="left")


HEAD: tuple[tuple[Callable[[Axes], str], str], ...] = (
    (_title, "colspan"),
    (lambda axes: axes.get_xlabel(), "colspan"),
    (lambda axes: axes.get_ylabel(), "rowspan"),
)
"""Texts of a panel, and what it shares with the panel of its grid that has the text for all."""


def _in_grid(axes: Axes, text: Callable[[Axes], str], shared: str) -> str:
    """A text of a panel, else that of a panel of the same column or row of its grid."""
    own = axes.get_subplotspec()
    if text(axes) or own is None:
        return text(axes)
    for other in axes.figure.axes:
        place = other.get_subplotspec()
        if place is None or not other.axison or place.get_gridspec() is not own.get_gridspec():
            continue
        if getattr(place, shared) == getattr(own, shared) and text(other):
            return text(other)
    return ""


def _written(value: Any) -> str:
    if isinstance(value, str):
        return " ".join(value.split())
    return f"{value:.9g}" if value is not None and math.isfinite(value) else ""


def _drawn(axes: Axes) -> Iterator[Row]:
    """Rows of the lines, markers and intervals of one panel."""
    from matplotlib.collections import LineCollection

    for line in filter(_is_named, axes.lines):
        name, transform = str(line.get_label()), line.get_transform()
        xs, ys = np.asarray(line.get_xdata(orig=False)), np.asarray(line.get_ydata(orig=False))
        if transform == axes.get_yaxis_transform():
            yield name, "level", None, float(ys[0]), None, None
        elif transform == axes.get_xaxis_transform():
            yield from ((name, "missing", _place(axes, name, x), None, None, None) for x in xs)
        else:
            mark = "sample" if line.get_marker() == "." else "point"
            places = zip(xs, ys, strict=True)
            yield from ((name, mark, _place(axes, name, x), float(y), None, None) for x, y in places)
    for bars in (one for one in axes.collections if isinstance(one, LineCollection) and _is_named(one)):
        name = str(bars.get_label())
        for (x0, y0), (x1, y1) in (one[:2] for one in map(np.asarray, bars.get_segments()) if len(one)):
            if bars in _across:
                yield name, "interval", None, float(y0), float(x0), float(x1)
            else:
                yield name, "interval", _place(axes, name, x0), None, float(y0), float(y1)


def _place(axes: Axes, series: str, x: float) -> float:
    times, plus = _moved.get(axes, {}).get(series, (1.0, 0.0))
    return (float(x) - plus) / times


def _is_named(artist: Any) -> bool:
    return not str(artist.get_label()).startswith("_")
