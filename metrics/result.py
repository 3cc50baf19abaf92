"""MetricResult: one value with its n, its interval and the definition it follows."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from metrics.quantities import Better, quantity_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class MetricResult:
    """One metric of one set of pieces.

    `name` is a registered one (`metrics.quantities`), from which unit, definition and which way is better are read.
    `value` is NaN with `reason` when it could not be computed; `n` counts the generated pieces behind it.
    `low` and `high` bound a 95 % interval over songs: where the value would lie had other pieces of the same two
    sources been drawn, n unchanged; NaN with a `reason` where there are too few songs for one. `songs` counts the songs
    that the `n` pieces are excerpts of (0: not known). `parts` are the figures behind the value, by name. `values` are
    the figure of each generated piece, in their order and NaN for a piece without one; empty for a metric that has none
    by piece. `without` are the figures of the set without each of its songs in turn (50 groups of songs above 50), then
    those with the reference without each of its own: what `metrics.statistics.sets` compares two sets by; empty where
    the figure has no such spread. `definition` is given only where options change the registered one.
    """

    name: str
    value: float
    n: int
    reason: str = ""
    low: float = math.nan
    high: float = math.nan
    parts: dict[str, float] = field(default_factory=dict)
    definition: str = ""
    songs: int = 0
    values: tuple[float, ...] = field(default=(), repr=False)
    without: tuple[NDArray[np.float64], ...] = field(default=(), repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.definition:
            object.__setattr__(self, "definition", quantity_of(self.name).definition)

    @property
    def measured(self) -> bool:
        """Whether there is a value."""
        return not math.isnan(self.value)

    @property
    def unit(self) -> str:
        """Unit of the value; "1" for shares and ratios."""
        return quantity_of(self.name).unit

    @property
    def better(self) -> Better:
        """Which way is better: "lower", "higher", "nearest" (to the held-out value) or "none"."""
        return quantity_of(self.name).better


def check_known(what: str, word: str, allowed: Iterable[str]) -> None:
    """Raise ValueError for a word that is not among the allowed ones; `what` it names stands in the message."""
    if word not in allowed:
        raise ValueError(f"{what} {word!r} is unknown; allowed: {', '.join(allowed)}")


def missing(name: str, n: int, reason: str, definition: str = "") -> MetricResult:
    """The result of a metric that could not be computed: NaN and why."""
    return MetricResult(name, math.nan, n, reason, definition=definition)
