"""One rule that turns a difference with its interval into a verdict: better, worse, same within d, or open."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from metrics.statistics.differences import FEWEST_SEEDS, Components, Difference, Direction
from metrics.statistics.planning import POWER, Needed, needed

Word = Literal["better", "worse", "higher", "lower", "same", "open"]


@dataclass(frozen=True)
class Verdict:
    """The verdict on first - second.

    Parameters
    ----------
    word
        "better" or "worse" ("higher" or "lower" where no way is better), "same", or "open".
    small
        A difference that is there and surely smaller than the margin: "by less than matters".
    margin
        d, in the unit of the difference; None where none is stated.
    reason
        Why the verdict is open: "2 seeds", "no seed in common", ...; "" where only the width of the interval is.
    needed
        The seeds or songs that would decide an open comparison; None for any other.
    """

    word: Word
    small: bool = False
    margin: float | None = None
    reason: str = ""
    needed: Needed | None = None

    @property
    def differs(self) -> bool:
        """Whether a difference is called."""
        return self.word not in ("same", "open")

    @property
    def text(self) -> str:
        """For a table: "better", "worse by less than matters", "same within 0.03", "open: 7 seeds would decide",
        "open (2 seeds): 4 seeds would decide"."""
        if self.differs:
            return f"{self.word} by less than matters" if self.small else self.word
        if self.word == "same":
            return f"same within {self.margin:.3g}"
        if self.needed is None:
            return f"open: {self.reason}"
        return f"open{f' ({self.reason})' if self.reason else ''}: {self.needed.text} would decide"


def verdict(
    difference: Difference, *, better: Direction | None, margin: float | None = None, power: float = POWER
) -> Verdict:
    """The verdict on a difference by its simultaneous interval and nothing else.

    The interval excludes 0: better or worse, and "by less than matters" if it lies inside +-margin. It contains 0 and
    lies inside +-margin: the same within margin. Else open. Under `FEWEST_SEEDS` seeds it is open whatever the
    interval. `better` says which values are better, None that neither way is. A margin is in the unit of the
    difference (a relative one on natural logarithms by `log_margin`); 0, a negative one or NaN raises ValueError.
    """
    check_margin(margin)
    interval = difference.interval
    unit = difference.unit
    if math.isnan(interval.low) and (difference.seeds != 1 or unit == "song"):
        return Verdict("open", margin=margin, reason=interval.reason)
    inside = margin is not None and -margin < interval.low and interval.high < margin
    if difference.seeds >= FEWEST_SEEDS and not math.isnan(interval.low):
        if difference.side:
            return Verdict(_word(difference.side > 0, better), small=inside, margin=margin)
        if inside:
            return Verdict("same", margin=margin)
    few = difference.seeds < FEWEST_SEEDS
    reason = f"{difference.seeds} {unit}{'s' if difference.seeds > 1 else ''}" if few else ""
    if math.isnan(interval.low):
        return Verdict("open", margin=margin, reason=reason)
    parts, seeds, songs = difference.components, difference.seeds, difference.songs
    if unit == "song":
        parts, seeds, songs = Components(0.0, parts.seed), FEWEST_SEEDS, difference.seeds
    found = needed(difference.value, margin, parts, difference.family, seeds, songs, interval.level, power, more=True)
    if unit == "song":
        found = Needed(None, found.songs, "songs")
    return Verdict("open", margin=margin, reason=reason, needed=found)


def check_margin(margin: float | None) -> None:
    """Refuse a margin that is not above 0."""
    if margin is not None and not (margin > 0 and math.isfinite(margin)):
        raise ValueError(f"margin = {margin}: what matters is a finite number above 0")


def log_margin(share: float) -> float:
    """The margin on natural logarithms for a ratio within `share` (0.02: within 2 %): log(1 + share)."""
    check_margin(share)
    return math.log1p(share)


def _word(above: bool, better: Direction | None) -> Word:
    if better is None:
        return "higher" if above else "lower"
    return "better" if above == (better == "higher") else "worse"
