"""Sweeps over settings of each arm: points of a grid, the choice by validation bits/token, the point shared by all."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Point = dict[str, Any]
"""Dotted setting -> value."""
Key = tuple[tuple[str, Any], ...]
GEOMETRIC = 0.02
"""Relative difference of the ratios of neighbours up to which a grid is geometric."""
SHORT = {"learning_rate": "lr"}
OWN, SHARED = "own", "shared"
"""Readings of a tuned study: each arm at its own values, every arm at those that are best for all."""
FULL = "full length"
"""Cells that repeat the baseline's choice and its neighbours with the whole budget."""


def key_of(point: Mapping[str, Any]) -> Key:
    """The point as a key of mappings."""
    return tuple((name, _hashable(value)) for name, value in point.items())


def _hashable(value: Any) -> Any:
    if isinstance(value, dict):
        return tuple(sorted(value.items()))
    return tuple(value) if isinstance(value, list) else value


def point_words(point: Mapping[str, Any]) -> str:
    """The point as tables show it: `lr 0.002`, `lr 0.002, batch 8`."""
    return ", ".join(f"{setting_word(name)} {value_words(value)}" for name, value in point.items())


def setting_word(name: str) -> str:
    """Short name of a dotted setting."""
    last = name.rpartition(".")[2]
    return SHORT.get(last, last)


def value_words(value: Any) -> str:
    """A value as tables show it."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def is_number(value: Any) -> bool:
    """Whether a value has an order, so that a grid of such values has edges."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def points_of(grid: Mapping[str, Sequence[Any]]) -> list[Point]:
    """Every combination of the grid's values."""
    return [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]


@dataclass(frozen=True)
class Tried:
    """A point of a sweep: validation bits/token of each tuning seed, infinite where a training gave none, and why."""

    point: Point
    bits: tuple[float, ...]
    reason: str = ""

    @property
    def mean(self) -> float:
        """Mean over the tuning seeds; infinite where one gave no figure."""
        return statistics.fmean(self.bits) if all(map(math.isfinite, self.bits)) else math.inf


@dataclass(frozen=True)
class Choice:
    """The choice of one arm from the points that were tried; `best` is None where none gave a figure."""

    tried: tuple[Tried, ...]
    best: Tried | None
    second: Tried | None
    edges: Mapping[str, int]
    """Settings whose chosen value is the smallest (-1) or the largest (1) that was tried."""

    def at(self, point: Point) -> Tried | None:
        """What was tried at a point."""
        return next((one for one in self.tried if key_of(one.point) == key_of(point)), None)

    @property
    def gap(self) -> float:
        """Bits/token between the best and the second best; NaN without two figures."""
        return self.second.mean - self.best.mean if self.best and self.second else math.nan

    @property
    def gap_error(self) -> float:
        """Standard error of the gap over tuning seeds, which both share; NaN with one seed."""
        if not self.best or not self.second or len(self.best.bits) < 2:
            return math.nan
        differences = [b - a for a, b in zip(self.best.bits, self.second.bits, strict=True)]
        return statistics.stdev(differences) / math.sqrt(len(differences))

    @property
    def why(self) -> str:
        """How sure the choice is, or why there is none."""
        if self.best is None:
            return f"nothing to choose from: {self.tried[0].reason}" if self.tried else "nothing was tried"
        if self.second is None:
            return "no other value gave a figure" if len(self.tried) > 1 else "one value: nothing to choose"
        words = f"chosen by {self.gap:.3f} bits"
        if math.isnan(self.gap_error):
            return f"{words}, one seed: no standard error"
        return f"{words}, se {self.gap_error:.3f}" + (": flat optimum" if self.gap < 2 * self.gap_error else "")


def choose(tried: Iterable[Tried]) -> Choice:
    """The point of the lowest mean; of equal ones the one with the smaller values."""
    points = tuple(tried)
    found = sorted((one for one in points if math.isfinite(one.mean)), key=lambda one: (one.mean, order_of(one.point)))
    best = found[0] if found else None
    return Choice(points, best, found[1] if len(found) > 1 else None, _edges(points, best) if best else {})


def order_of(point: Point) -> tuple[tuple[float, str], ...]:
    """Sorts points: numbers by size, other values by their text."""
    return tuple((float(value), "") if is_number(value) else (0.0, str(value)) for value in point.values())


def values_of(tried: Iterable[Tried], name: str) -> list[Any]:
    """Values of a setting that were tried, numbers in their order."""
    values = list({key_of({name: one.point[name]}): one.point[name] for one in tried}.values())
    return sorted(values) if all(map(is_number, values)) else values


def _edges(tried: Sequence[Tried], best: Tried) -> dict[str, int]:
    edges = {}
    for name, value in best.point.items():
        values = values_of(tried, name)
        if len(values) > 1 and all(map(is_number, values)) and value in (values[0], values[-1]):
            edges[name] = -1 if value == values[0] else 1
    return edges


def beyond(values: Sequence[float], side: int) -> float:
    """The value one step below (-1) or above (1) sorted ones: by their ratio where it is one, else by the last step.

    >>> beyond([1, 2, 4], 1), beyond([0.5, 0.75], -1), beyond([0, 1, 3], 1)
    (8.0, 0.3333333333333333, 5.0)
    """
    last, before = (values[0], values[1]) if side < 0 else (values[-1], values[-2])
    if values[0] > 0:
        ratios = [b / a for a, b in itertools.pairwise(values)]
        if max(ratios) / min(ratios) <= 1 + GEOMETRIC:
            return float(last * (last / before))
    return float(last + (last - before))


def extensions(choice: Choice, allowed: Callable[[Point], Point | None]) -> list[Point]:
    """The points one value beyond each edge at which the choice lies; `allowed` gives the point as its settings read
    it, None where they refuse it."""
    found: dict[Key, Point] = {}
    known = {key_of(one.point) for one in choice.tried}
    for name, side in choice.edges.items():
        assert choice.best
        values = values_of(choice.tried, name)
        value = beyond(values, side)
        if all(isinstance(one, int) for one in values):
            value = round(value)
        point = allowed(choice.best.point | {name: _rounded(value)})
        if point is not None and key_of(point) not in known:
            found[key_of(point)] = point
    return list(found.values())


def _rounded(value: float) -> float:
    """A value without the last bits of a product, so that it can be written in a file."""
    return value if isinstance(value, int) else float(f"{value:.6g}")


def shared_point(choices: Iterable[Choice]) -> Point | None:
    """The point with the lowest mean over arms, of those that all arms tried and at which each gave a figure; of equal
    ones the smaller. Arms without any figure do not count. None where there is none."""
    counted = [choice for choice in choices if choice.best is not None]
    means: dict[Key, list[float]] = {}
    points: dict[Key, Point] = {}
    for choice in counted:
        for one in choice.tried:
            means.setdefault(key_of(one.point), []).append(one.mean)
            points[key_of(one.point)] = one.point
    whole = {key: statistics.fmean(found) for key, found in means.items() if len(found) == len(counted)}
    finite = [key for key, mean in whole.items() if math.isfinite(mean)]
    return points[min(finite, key=lambda key: (whole[key], order_of(points[key])))] if finite else None


def neighbours(choice: Choice) -> list[Point]:
    """The points beside the chosen one that were tried: along each setting the next smaller and the next larger."""
    found = []
    assert choice.best
    tried = {key_of(one.point) for one in choice.tried}
    for name, value in choice.best.point.items():
        values = values_of(choice.tried, name)
        if not all(map(is_number, values)):
            continue
        place = values.index(value)
        for other in (*values[max(place - 1, 0) : place], *values[place + 1 : place + 2]):
            point = choice.best.point | {name: other}
            if key_of(point) in tried:
                found.append(point)
    return found
