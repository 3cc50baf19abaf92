"""Growth of a cost with length: local exponents, closed forms, and the length at which two arms cost the same."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize

from metrics.statistics.intervals import Interval, mean_interval


@dataclass(frozen=True)
class LengthPolynomial:
    """y = constant + linear L + quadratic L^2, with the largest relative error at a fitted length."""

    constant: float
    linear: float
    quadratic: float
    worst_error: float = 0.0

    def __call__(self, length: float) -> float:
        """The cost at a length, in the unit of the fitted values."""
        return self.constant + self.linear * length + self.quadratic * length**2


@dataclass(frozen=True)
class Crossover:
    """Length at which the first arm stops being cheaper than the second, or the other way round.

    `length` is NaN when it is not reached between the measured lengths; `low` and `high` bound it (0 and infinity where
    the measured lengths do not); `words` is a sentence for a table.
    """

    length: float
    low: float
    high: float
    words: str


def check_rounds(lengths: Sequence[float], rounds_RL: Sequence[Sequence[float]] | np.ndarray) -> np.ndarray:
    """`rounds_RL` as a float64 array (rounds, lengths) that fits rising, positive lengths. Raises ValueError."""
    values = np.atleast_2d(np.asarray(rounds_RL, dtype=np.float64))
    if values.ndim != 2 or values.shape[1] != len(lengths):
        raise ValueError(f"scaling: {values.shape} values do not fit {len(lengths)} lengths; one row a round")
    if len(lengths) < 2 or min(lengths) <= 0 or (np.diff(np.asarray(lengths, dtype=np.float64)) <= 0).any():
        raise ValueError(f"scaling: lengths {list(lengths)} must be two or more, positive and rising")
    if not (values > 0).all():
        raise ValueError("scaling: every value must be positive; leave out lengths that were not measured")
    return values


def local_slopes(
    lengths: Sequence[float], rounds_RL: Sequence[Sequence[float]] | np.ndarray, level: float = 0.95
) -> list[Interval]:
    """d log y / d log L between each length and the next, one value a round, with a t interval over rounds: 1 is
    linear, 2 quadratic growth.

    `rounds_RL` (rounds, lengths): the median of each round. One round (FLOPs, computed memory) gives slopes without
    intervals. Raises ValueError for values that are not positive.
    """
    values = check_rounds(lengths, rounds_RL)
    steps = np.diff(np.log(np.asarray(lengths, dtype=np.float64)))
    slopes = np.diff(np.log(values), axis=1) / steps  # R L -> R L-1
    return [mean_interval(of_rounds, level) for of_rounds in slopes.T]


def growth_exponent(
    lengths: Sequence[float], rounds_RL: Sequence[Sequence[float]] | np.ndarray, level: float = 0.95
) -> Interval:
    """Exponent k of y = a L^k over all lengths: least squares in logarithms within each round, t interval over rounds.

    A summary for a figure's legend. Where growth is not a power law, it averages over the exponents of `local_slopes`.
    """
    values = check_rounds(lengths, rounds_RL)
    logarithm = np.log(np.asarray(lengths, dtype=np.float64))
    centred = logarithm - logarithm.mean()
    return mean_interval(np.log(values) @ centred / (centred @ centred), level)


def length_polynomial(lengths: Sequence[float], values: Sequence[float]) -> LengthPolynomial:
    """The closed form constant + b L + c L^2, no term negative, that fits best in relative error.

    FLOPs of these backbones are exactly b L + c L^2, so `worst_error` is rounding there; for time and memory it is
    the distance of such a form from the measured values. Needs three lengths. Raises ValueError for fewer.
    """
    y = check_rounds(lengths, [values])[0]
    if len(lengths) < 3:
        raise ValueError(f"length_polynomial: {len(lengths)} lengths cannot fix three terms; 3 or more are needed")
    x = np.asarray(lengths, dtype=np.float64) / max(lengths)
    design = np.stack([np.ones_like(x), x, x**2], axis=1) / y[:, None]
    terms, _ = optimize.nnls(design, np.ones_like(y))
    scaled = terms / float(max(lengths)) ** np.arange(3)
    worst = float(np.abs(design @ terms - 1).max())
    return LengthPolynomial(float(scaled[0]), float(scaled[1]), float(scaled[2]), worst)


def crossover(
    lengths: Sequence[float],
    first_RL: Sequence[Sequence[float]] | np.ndarray,
    second_RL: Sequence[Sequence[float]] | np.ndarray,
    *,
    names: tuple[str, str] = ("first", "second"),
    level: float = 0.95,
) -> Crossover:
    """The length at which two arms measured in the same rounds cost the same, with an interval.

    The logarithm of their ratio, one value a round and length, has a t interval at each length; both are drawn as lines
    in log L. The estimate is where the mean passes 0 (the last passage, if there are several); the interval holds the
    lengths around it at which 0 lies within the band. Raises ValueError when rounds do not pair up.
    """
    first, second = check_rounds(lengths, first_RL), check_rounds(lengths, second_RL)
    if first.shape != second.shape:
        raise ValueError(f"crossover: {first.shape[0]} and {second.shape[0]} rounds do not pair up")
    ratio = np.log(first / second)
    bands = [mean_interval(ratio[:, i], level) for i in range(len(lengths))]
    mean = np.array([band.value for band in bands])
    passages = [i for i in range(len(mean) - 1) if mean[i] * mean[i + 1] < 0 or (mean[i] == 0 and i > 0)]
    shortest, longest = lengths[0], lengths[-1]
    if not passages or not mean.any():
        return _not_reached(bands, mean, names, shortest, longest)
    position = np.log(np.asarray(lengths, dtype=np.float64))
    at = passages[-1]
    estimate = _zero(position[at : at + 2], mean[at : at + 2])
    if first.shape[0] == 1:
        low = high = math.nan
    else:
        low, high = _undecided_stretch(position, bands, estimate)
    cheaper = names[0] if mean[-1] < 0 else names[1]
    words = f"{cheaper} is cheaper beyond {math.exp(estimate):.0f}"
    if not math.isnan(low):
        words += f" ({_bound(low, shortest, longest)} to {_bound(high, shortest, longest)})"
    if len(passages) > 1:
        words += f"; the order changes {len(passages)} times"
    return Crossover(math.exp(estimate), low, high, words)


def _bound(length: float, shortest: float, longest: float) -> str:
    if length == 0:
        return f"under {shortest:g}"
    return f"over {longest:g}" if math.isinf(length) else f"{length:.0f}"


def _not_reached(
    bands: list[Interval], mean: np.ndarray, names: tuple[str, str], shortest: float, longest: float
) -> Crossover:
    """The answer where one arm is cheaper at every measured length, with what the band leaves open."""
    words = f"not reached from {shortest:g} to {longest:g}: {names[0] if mean.sum() < 0 else names[1]} is cheaper"
    if not mean.any():
        words = f"equal from {shortest:g} to {longest:g}"
    elif any(band.low <= 0 <= band.high for band in bands):
        words += ", though not significantly at every length"
    return Crossover(math.nan, math.nan, math.nan, words)


def _zero(x: np.ndarray, y: np.ndarray) -> float:
    """Where the line through two points passes 0."""
    return float(x[0] - y[0] * (x[1] - x[0]) / (y[1] - y[0])) if y[1] != y[0] else float(x[0])


def _undecided_stretch(position: np.ndarray, bands: list[Interval], estimate: float) -> tuple[float, float]:
    """Lengths between which the band around the mean holds 0, next to the estimate; 0 or infinity past the edges."""
    low_line, high_line = (np.array([getattr(band, side) for band in bands]) for side in ("low", "high"))
    edges = [
        _zero(position[i : i + 2], line[i : i + 2])
        for line in (low_line, high_line)
        for i in range(len(position) - 1)
        if line[i] * line[i + 1] < 0
    ]
    below = [edge for edge in edges if edge <= estimate]
    above = [edge for edge in edges if edge > estimate]
    return (math.exp(max(below)) if below else 0.0, math.exp(min(above)) if above else math.inf)
