"""How long until all cells of a run have ended: from what its own cells took, and until one has, from like ones."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Unfinished:
    """The cells of one kind that have not ended. Seconds everywhere; NaN for what is not known.

    took: of cells of the kind that ended well in this study. running: of each that runs, how long it has run and how
    long it says it still will. like: of a cell like these in earlier studies. together: all are timed in one session,
    which ends for all at once.
    """

    count: int
    took: Sequence[float] = ()
    running: Sequence[tuple[float, float]] = ()
    like: float = math.nan
    together: bool = False

    def cell_s(self) -> float:
        """What one cell takes: the mean of those that ended; else what like ones took; else what the running say."""
        took = [seconds for seconds in self.took if not math.isnan(seconds)]
        if took:
            return statistics.mean(took)
        if not math.isnan(self.like):
            return self.like
        said = [spent + left for spent, left in self.running if not math.isnan(left)]
        return max(said, default=math.nan)

    def left_s(self) -> float:
        """Seconds of one runner's work that are left: what is said of cells that run, the mean for the others."""
        whole = self.cell_s()
        if self.together:
            return max(0.0, whole - max((spent for spent, _ in self.running), default=0.0))
        said = [left if not math.isnan(left) else max(0.0, whole - spent) for spent, left in self.running]
        return sum(said) + (self.count - len(self.running)) * whole if self.count > len(self.running) else sum(said)


def time_left_s(kinds: Iterable[Unfinished], at_once: int = 1) -> float:
    """Seconds until all have ended, as many at once as run now or as have run (`at_once`: between the end of a cell
    and the start of the next there is one less); NaN where one kind gives no clue."""
    total = 0.0
    for kind in kinds:
        if kind.count:
            runners = max(1, len(kind.running), min(at_once, kind.count))
            total += kind.left_s() / (1 if kind.together else runners)
    return total
