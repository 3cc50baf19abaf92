"""The points that tables and figures show: rows of one arm and metric brought together, with the mean and
its interval."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from bench.report.frame import EFFICIENCY, QUALITY, REFERENCE, rows_of
from metrics.statistics import mean_interval

COST_KEYS = ("metric", "length", "arm", "kernel", "device", "threads", "batch")
QUALITY_KEYS = ("corpus", "length", "sampler", "sample_steps", "arm", "metric")
REFERENCE_KEYS = ("corpus", "length", "arm", "metric")


@dataclass(frozen=True)
class Point:
    """What the rows of one arm and metric under one setting come to.

    `value` is the mean of the figures that are there, `low` and `high` its 95 % interval: over seeds or repeats
    where there are two or more (`interval` is "seeds"), else the cell's own ("cell"), else NaN (""). `done` of
    `asked` rows have a figure. `n`, `nfe`, `train_steps` and `parameters` are texts: one number, or `low-high`
    where the rows differ.
    """

    metric: str
    arm: str
    value: float
    low: float
    high: float
    interval: str
    done: int
    asked: int
    values: tuple[float, ...]
    seeds: tuple[int | None, ...]
    cell_ids: tuple[str, ...]
    reason: str
    unit: str
    pattern: str
    direction: str
    kernels: tuple[str, ...]
    sessions: tuple[str, ...]
    n: str
    parameters: str
    nfe: str
    train_steps: str
    corpus: str = ""
    length: int | None = None
    sampler: str = ""
    sample_steps: int | None = None
    kernel: str = ""
    device: str = ""
    threads: int | None = None
    batch: int | None = None

    @property
    def measured(self) -> bool:
        """Whether there is a figure at all."""
        return math.isfinite(self.value)

    @property
    def has_interval(self) -> bool:
        """Whether both ends of the interval are known."""
        return math.isfinite(self.low) and math.isfinite(self.high)

    @property
    def span(self) -> tuple[float, float]:
        """The interval, or the value twice where there is none."""
        return (self.low, self.high) if self.has_interval else (self.value, self.value)


class Points(list[Point]):
    """Points in the order of the table, with the few questions that reports ask of them."""

    def where(self, **equal: Any) -> Points:
        """Points whose fields equal the given values; a list or tuple of values means any of them."""
        return Points(
            point
            for point in self
            if all(
                getattr(point, name) in wanted if isinstance(wanted, list | tuple) else getattr(point, name) == wanted
                for name, wanted in equal.items()
            )
        )

    def measured(self) -> Points:
        """Points that have a figure."""
        return Points(point for point in self if point.measured)

    def first(self, **equal: Any) -> Point | None:
        """The first of `where`, or None."""
        found = self.where(**equal)
        return found[0] if found else None

    def distinct(self, name: str) -> list[Any]:
        """The values of a field, each once, in order of appearance; None and "" left out."""
        return [value for value in dict.fromkeys(getattr(point, name) for point in self) if value not in (None, "")]

    def lengths(self) -> list[int]:
        """Lengths from short to long."""
        return sorted(self.distinct("length"))

    def kernels(self) -> list[str]:
        """Every kernel that ran behind these points."""
        return list(dict.fromkeys(kernel for point in self for kernel in point.kernels))

    def groups(self, key: Callable[[Point], Hashable]) -> list[tuple[Any, Points]]:
        """Points grouped by `key`, groups in order of appearance."""
        found: dict[Hashable, Points] = {}
        for point in self:
            found.setdefault(key(point), Points()).append(point)
        return list(found.items())


def _first(values: pd.Series) -> str:
    return next((value for value in values if value), "")


def _distinct(values: pd.Series) -> tuple[str, ...]:
    return tuple(dict.fromkeys(value for value in values if value))


def _range(values: pd.Series) -> str:
    known = sorted({int(value) for value in values.dropna()})
    if not known:
        return ""
    return str(known[0]) if len(known) == 1 else f"{known[0]}-{known[-1]}"


def _whole(value: Any) -> Any:
    """A key of a group as plain Python: None for a missing number, int for a whole one."""
    if isinstance(value, str):
        return value
    return None if pd.isna(value) else int(value)


def _point(part: pd.DataFrame, key: dict[str, Any]) -> Point:
    values = tuple(float(value) for value in part["value"])
    interval = mean_interval(values)
    low, high, source = interval.low, interval.high, "seeds"
    missing = part["value"].isna()
    if interval.n < 2:
        measured = part[~missing]
        low = float(measured["low"].iloc[0]) if interval.n else math.nan
        high = float(measured["high"].iloc[0]) if interval.n else math.nan
        source = "cell"
    return Point(
        **key,
        value=interval.value,
        low=low,
        high=high,
        interval=source if math.isfinite(low) else "",
        done=interval.n,
        asked=len(values),
        values=values,
        seeds=tuple(_whole(seed) for seed in part["seed"]),
        cell_ids=_distinct(part["cell_id"]),
        reason=_first(part.loc[missing, "reason"]),
        unit=_first(part["unit"]),
        pattern=_first(part["pattern"]),
        direction=_first(part["direction"]),
        kernels=_distinct(part["kernel"]),
        sessions=tuple(dict.fromkeys(part["session"])),
        n=_range(part["n"]),
        parameters=_range(part["parameters"]),
        nfe=_range(part["nfe"]),
        train_steps=_range(part["train_steps"]),
    )


def _points(rows: pd.DataFrame, keys: tuple[str, ...]) -> Points:
    found = Points()
    for key, part in rows.groupby(list(keys), dropna=False, sort=False):
        found.append(_point(part, {name: _whole(value) for name, value in zip(keys, key, strict=True)}))
    return found


def cost_points(frame: pd.DataFrame) -> Points:
    """One point per metric, length, arm, kernel, device, threads and batch of the efficiency cells.

    A row that failed may not know its kernel; it is a point of its own only where its arm and length have no figure
    at all.
    """
    points = _points(rows_of(frame, EFFICIENCY), COST_KEYS)
    done = {(point.metric, point.length, point.arm) for point in points if point.measured}
    return Points(point for point in points if point.measured or (point.metric, point.length, point.arm) not in done)


def quality_points(frame: pd.DataFrame) -> Points:
    """One point per corpus, length, sampler, T, arm and metric of the quality cells: the mean over seeds and
    its interval."""
    return _points(rows_of(frame, QUALITY), QUALITY_KEYS)


def reference_points(frame: pd.DataFrame) -> Points:
    """One point per corpus, length, reference arm (ceiling, floor, baseline) and metric."""
    return _points(rows_of(frame, REFERENCE), REFERENCE_KEYS)
