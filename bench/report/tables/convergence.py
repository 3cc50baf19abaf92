"""Verdict on convergence: whether the learning curve still falls in the last quarter of the training."""

from __future__ import annotations

from bench.report.rows.summaries import Summaries, Summary
from metrics.cost.quantities import LAST_QUARTER_FALL

FLAT_BITS = 0.02
"""Bits/token; an interval that reaches further to either side does not show that a curve is flat."""


def convergence_notes(summaries: Summaries) -> list[str]:
    """One sentence on all arms of a quality table; none where no cell has a learning curve."""
    found = summaries.where(metric=LAST_QUARTER_FALL).measured()
    if not found:
        return []
    words = "; ".join(f"{one.arm} {convergence(one)}" for one in found)
    return [f"Validation bits/token in the last quarter of the training, on one grid of windows and masks: {words}."]


def convergence(fall: Summary) -> str:
    """The verdict on one arm, from its fall over seeds: still falling or rising where the interval excludes 0, flat
    within a bound of at most FLAT_BITS, else open.

    One seed has no interval: its own fall is given and nothing is concluded, unless it is above FLAT_BITS.
    """
    size = f"{abs(fall.value):.3f}"
    if fall.interval != "seeds":
        if fall.value > FLAT_BITS:
            return f"still falling by {size} (one seed)"
        return f"{'fell' if fall.value >= 0 else 'rose'} by {size} (one seed)"
    if fall.low > 0:
        return f"still falling by {size} [{fall.low:.3f}, {fall.high:.3f}]"
    if fall.high < 0:
        return f"rising by {size} [{-fall.high:.3f}, {-fall.low:.3f}]"
    bound = max(-fall.low, fall.high)
    if bound <= FLAT_BITS:
        return f"flat within {bound:.3f}"
    return f"open, a fall of {fall.value:.3f} [{fall.low:.3f}, {fall.high:.3f}]"
