"""Several sets of pieces against one reference, compared in pairs: differences of their figures, and verdicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from metrics.headlines import PRIMARY
from metrics.quantities import Quantity, quantity_of
from metrics.result import MetricResult
from metrics.statistics.differences import Difference
from metrics.statistics.sets import SetFigure, set_pairs
from metrics.statistics.verdict import Verdict, verdict


@dataclass(frozen=True)
class Pair:
    """A metric of two sets: first - second. `verdict`: on the primary metric alone, None for a description."""

    name: str
    difference: Difference
    verdict: Verdict | None

    @property
    def quantity(self) -> Quantity:
        """The metric."""
        return quantity_of(self.name)

    @property
    def words(self) -> str:
        """The verdict as it is printed; empty for a description, for which there may be a reason."""
        return self.verdict.text if self.verdict else self.difference.interval.reason


def compare_pairs(tables: Mapping[str, Sequence[MetricResult]], level: float = 0.95) -> list[Pair]:
    """Every two sets on every metric, from their quality tables against the same reference, metric by metric.

    Intervals of one metric cover together, over songs of both sets and of the reference. Only the primary metrics of
    music have a verdict, so that no table can look for the metric that happens to differ.
    """
    figures: dict[str, dict[str, SetFigure]] = {}
    for label, results in tables.items():
        for one in results:
            songs = min(one.songs, int(one.parts.get("songs_reference", one.songs)))
            figures.setdefault(one.name, {})[label] = SetFigure(one.value, one.without, one.reason, songs)
    found = []
    for name, by_set in figures.items():
        for (_, second), difference in set_pairs(by_set, level).items():
            found.append(Pair(name, difference, judged(name, difference, by_set[second].value)))
    return found


def judged(name: str, difference: Difference, compared_with: float) -> Verdict | None:
    """The verdict on a difference from a set whose figure is `compared_with`; None for a metric that is described
    alone."""
    quantity = quantity_of(name)
    if name not in PRIMARY or quantity.better not in ("lower", "higher"):
        return None
    margin = quantity.margin.at(compared_with) if quantity.margin else None
    return verdict(difference, better="higher" if quantity.better == "higher" else "lower", margin=margin)
