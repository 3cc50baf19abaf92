"""Summaries of tables and figures: the mean of the rows of one arm and metric under one setting, with its interval."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from bench.report.presentation import AXES, NOT_SHOWN, STUDY_ARM
from bench.report.rows.frame import EFFICIENCY, QUALITY, REFERENCE, Row, made_once, records
from metrics.quantities import quantity_of
from metrics.statistics.intervals import mean_interval

COST_KEYS = ("metric", "length", "arm", "kernel", "device", "threads", "batch")
QUALITY_KEYS = ("corpus", "length", "sampler", "sample_steps", "arm", "metric")
REFERENCE_KEYS = ("corpus", "length", "arm", "metric")


@dataclass(frozen=True)
class Summary:
    """The mean of the rows of one arm and metric under one setting.

    `value` is the mean of the figures that are there, `low` and `high` its 95 % interval: over seeds or repeats
    where there are two or more (`interval` is "seeds"), else the cell's own ("cell"), else NaN (""). `done` of
    `asked` rows have a figure. `n`, `nfe`, `train_steps` and `parameters` are texts: one number, or `low-high`
    where the rows differ. `study_arm` is what the study calls an arm that has a label, `axes` what it is on its axes of
    settings, a line each.
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
    songs: str = ""
    sd: float = math.nan
    auc: float = math.nan
    throttled: str = ""
    corpus: str = ""
    length: int | None = None
    sampler: str = ""
    sample_steps: int | None = None
    kernel: str = ""
    device: str = ""
    threads: int | None = None
    batch: int | None = None
    study_arm: str = ""
    axes: str = ""
    definitions: tuple[str, ...] = ()
    process: str = ""

    @property
    def measured(self) -> bool:
        """Whether there is a figure at all."""
        return math.isfinite(self.value)

    @property
    def has_interval(self) -> bool:
        """Whether both ends of the interval are known."""
        return math.isfinite(self.low) and math.isfinite(self.high)

    @property
    def setting(self) -> tuple[str, int | None, int | None]:
        """Device, threads and batch of a cost."""
        return self.device, self.threads, self.batch

    @property
    def span(self) -> tuple[float, float]:
        """The interval, or the value twice where there is none."""
        return (self.low, self.high) if self.has_interval else (self.value, self.value)


class Summaries(list[Summary]):
    """Summaries in the order of the table, with the selections that reports make; `apart`: those of arms that a
    presentation leaves out, for models of all arms."""

    apart: tuple[Summary, ...] = ()

    def of(self, some: Iterable[Summary]) -> Summaries:
        """Some of these summaries, with the same ones apart."""
        found = Summaries(some)
        found.apart = self.apart
        return found

    @cached_property
    def with_apart(self) -> Summaries:
        """These and the ones apart; made once, as the index of both is."""
        return Summaries([*self, *self.apart]) if self.apart else self

    def where(self, **equal: Any) -> Summaries:
        """Summaries whose fields equal the given values; a list or tuple of values means any of them."""
        metric, arm = equal.get("metric"), equal.get("arm")
        pool: Iterable[Summary] = self
        if isinstance(metric, str):
            pool = self._index.get((metric, arm if isinstance(arm, str) else None), [])
        tests = [(name, value if isinstance(value, list | tuple) else (value,)) for name, value in equal.items()]
        return self.of(one for one in pool if all(getattr(one, name) in allowed for name, allowed in tests))

    @cached_property
    def _index(self) -> dict[tuple[str, str | None], list[Summary]]:
        """Summaries by metric and arm, and of every arm under None; made once, for nothing is added after reading."""
        found: dict[tuple[str, str | None], list[Summary]] = {}
        for summary in self:
            found.setdefault((summary.metric, summary.arm), []).append(summary)
            found.setdefault((summary.metric, None), []).append(summary)
        return found

    def measured(self) -> Summaries:
        """Summaries that have a figure."""
        return self.of(one for one in self if one.measured)

    def first(self, **equal: Any) -> Summary | None:
        """The first of `where`, or None."""
        found = self.where(**equal)
        return found[0] if found else None

    def distinct(self, name: str) -> list[Any]:
        """The values of a field, each once, in order of appearance; None and "" left out."""
        return [value for value in dict.fromkeys(getattr(one, name) for one in self) if value not in (None, "")]

    def lengths(self) -> list[int]:
        """Lengths from short to long."""
        return sorted(self.distinct("length"))

    def by_length(self) -> Summaries:
        """Summaries that have a figure and a length, from short to long."""
        return Summaries(sorted((p for p in self.measured() if p.length), key=lambda summary: summary.length or 0))

    def beside(self, summary: Summary, arm: str) -> Summary | None:
        """The cost of another arm in the setting of `summary`; None where it has no figure."""
        found = self.first(metric=summary.metric, arm=arm, length=summary.length, setting=(summary.setting,))
        return found if found is not None and found.measured else None

    def kernels(self) -> list[str]:
        """Every kernel that ran behind these summaries."""
        return list(dict.fromkeys(kernel for one in self for kernel in one.kernels))

    def cell_ids(self) -> tuple[str, ...]:
        """Every cell behind these summaries."""
        return tuple(dict.fromkeys(cell for one in self for cell in one.cell_ids))

    def groups(self, key: Callable[[Summary], Hashable]) -> list[tuple[Any, Summaries]]:
        """Summaries grouped by `key`, groups in order of appearance."""
        found: dict[Hashable, Summaries] = {}
        for summary in self:
            found.setdefault(key(summary), Summaries()).append(summary)
        return list(found.items())


def _first(values: Iterable[str]) -> str:
    return next((value for value in values if value), "")


def _known(values: Iterable[float]) -> float:
    return next((value for value in values if math.isfinite(value)), math.nan)


def _distinct(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(value for value in values if value))


def _range(values: Iterable[int | None]) -> str:
    known = sorted({value for value in values if value is not None})
    if not known:
        return ""
    return str(known[0]) if len(known) == 1 else f"{known[0]}-{known[-1]}"


def _summary(rows: list[Row], key: dict[str, Any]) -> Summary:
    values = tuple(row["value"] for row in rows)
    interval = mean_interval(values)
    low, high, source = interval.low, interval.high, "seeds"
    lowest, highest = quantity_of(key["metric"]).bounds
    low, high = max(low, lowest), min(high, highest)
    missing = [row for row in rows if math.isnan(row["value"])]
    if interval.n < 2:
        measured = next((row for row in rows if math.isfinite(row["value"])), {"low": math.nan, "high": math.nan})
        low, high, source = measured["low"], measured["high"], "cell"
    return Summary(
        **key,
        value=interval.value,
        low=low,
        high=high,
        interval=source if math.isfinite(low) else "",
        done=interval.n,
        asked=len(values),
        values=values,
        seeds=tuple(row["seed"] for row in rows),
        cell_ids=_distinct(row["cell_id"] for row in rows),
        reason=_first(row["reason"] for row in missing),
        unit=_first(row["unit"] for row in rows),
        pattern=_first(row["pattern"] for row in rows),
        direction=_first(row["direction"] for row in rows),
        kernels=_distinct(row["kernel"] for row in rows),
        sessions=tuple(dict.fromkeys(row["session"] for row in rows)),
        n=_range(row["n"] for row in rows),
        parameters=_range(row["parameters"] for row in rows),
        nfe=_range(row["nfe"] for row in rows),
        train_steps=_range(row["train_steps"] for row in rows),
        songs=_range(row["songs"] for row in rows),
        sd=_known(row["sd"] for row in rows),
        auc=_known(row["auc"] for row in rows),
        throttled=_first(row["throttled"] for row in rows),
        study_arm=_first(row[STUDY_ARM] for row in rows),
        axes=_first(row[AXES] for row in rows),
        process=_first(row["process"] for row in rows),
        definitions=_distinct(row["definition"] for row in rows if math.isfinite(row["value"])),
    )


def _summaries(frame: pd.DataFrame, kind: str, keys: tuple[str, ...]) -> Summaries:
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in records(frame, kind):
        groups.setdefault(tuple(row[name] for name in keys), []).append(row)
    return Summaries(_summary(rows, dict(zip(keys, key, strict=True))) for key, rows in groups.items())


def cost_summaries(frame: pd.DataFrame) -> Summaries:
    """One summary per metric, length, arm, kernel, device, threads and batch of the efficiency cells.

    A row that failed may have no kernel; it is a summary of its own only where its arm and length have no figure
    at all.
    """
    return made_once(frame, EFFICIENCY, lambda: _cost_summaries(frame))


def _cost_summaries(frame: pd.DataFrame) -> Summaries:
    every = _summaries(frame, EFFICIENCY, COST_KEYS)
    done = {(one.metric, one.length, one.arm) for one in every if one.measured}
    found = Summaries(one for one in every if one.measured or (one.metric, one.length, one.arm) not in done)
    found.apart = tuple(_summaries(frame, NOT_SHOWN + EFFICIENCY, COST_KEYS))
    return found


def quality_summaries(frame: pd.DataFrame) -> Summaries:
    """One summary per corpus, length, sampler, T, arm and metric of the quality cells: the mean over seeds and
    its interval."""
    return made_once(frame, QUALITY, lambda: _summaries(frame, QUALITY, QUALITY_KEYS))


def reference_summaries(frame: pd.DataFrame) -> Summaries:
    """One summary per corpus, length, reference arm (ceiling, floor, baseline) and metric."""
    return made_once(frame, REFERENCE, lambda: _summaries(frame, REFERENCE, REFERENCE_KEYS))


Group = tuple[str, int | None, str, int | None]


def quality_group(summary: Summary) -> Group:
    """Corpus, length, sampler and T of a summary."""
    return summary.corpus, summary.length, summary.sampler, summary.sample_steps


def group_words(group: Group) -> str:
    """A group in words: `corpus demo/lieder, L = 512, cached sampler, T = 128`."""
    corpus, length, sampler, steps = group
    words = [f"corpus {corpus}"] if corpus else []
    words += [] if length is None else [f"L = {length}"]
    words += [f"{sampler} sampler"] if sampler else []
    words += [] if steps is None else [f"T = {steps}"]
    return ", ".join(words)


def distinct_words(groups: Iterable[Group]) -> dict[Group, str]:
    """Groups in the words by which they differ, `L = 256` and `L = 2048`; one alone in none."""
    words = {group: group_words(group).split(", ") for group in groups}
    shared = set[str]().union(*words.values()).intersection(*words.values())
    return {group: ", ".join(word for word in mine if word not in shared) for group, mine in words.items()}


def distinct_brackets(groups: Iterable[Group]) -> dict[Group, str]:
    """`distinct_words` as they stand behind a name: ` (L = 256)`, nothing for one group alone."""
    return {group: f" ({words})" if words else "" for group, words in distinct_words(groups).items()}
