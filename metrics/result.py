"""MetricResult: one figure with its unit, its n, its interval and the definition it follows."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Literal

Direction = Literal["higher", "lower", "none"]


@dataclass(frozen=True)
class MetricResult:
    """One metric of one set of pieces.

    `value` is NaN with `reason` when it could not be computed; `n` counts the generated pieces behind it. `direction`
    says which way is better; "none" marks a description that is only to be compared with the held-out row.
    `low` and `high` bound a 95 % interval over pieces: where the value would lie had other pieces of the same two
    sources been drawn, n unchanged. `parts` are the figures behind the value, by name.
    """

    name: str
    value: float
    unit: str
    n: int
    direction: Direction
    definition: str
    reason: str = ""
    low: float = math.nan
    high: float = math.nan
    parts: dict[str, float] = field(default_factory=dict)

    @property
    def measured(self) -> bool:
        """Whether there is a value."""
        return not math.isnan(self.value)

    def named(self, name: str) -> MetricResult:
        """The same figure under another name."""
        return replace(self, name=name)


def missing(name: str, unit: str, n: int, direction: Direction, definition: str, reason: str) -> MetricResult:
    """The row of a metric that could not be computed: NaN and why."""
    return MetricResult(name, math.nan, unit, n, direction, definition, reason)
