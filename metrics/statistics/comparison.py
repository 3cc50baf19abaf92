"""Paired tests of two arms that name what few seeds cannot decide."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from metrics.statistics.intervals import Interval, mean_interval

ENUMERATED_PAIRS = 20
"""Up to this many pairs all 2^n sign patterns are counted; beyond it a seeded sample of them is drawn."""
SAMPLED_PATTERNS = 200_000


@dataclass(frozen=True)
class PairedDifference:
    """Mean of first - second over the seeds both have, its interval, and the p value of the exact paired test."""

    difference: Interval
    p_value: float


def smallest_p_value(pairs: int) -> float:
    """The smallest two-sided p that a sign-flip test can give with `pairs` pairs: 2 of 2^n patterns, so 2^(1 - n)."""
    return math.nan if pairs < 1 else 2.0 ** (1 - pairs)


def sign_flip_p_value(differences: Sequence[float] | np.ndarray, *, seed: int = 0) -> float:
    """Two-sided p of "the differences are symmetric around 0", by flipping signs in all 2^n ways.

    Exact at every n up to `ENUMERATED_PAIRS`; beyond, (1 + hits) / (1 + draws) of seeded random patterns, which is
    valid too. Source: Fisher (1935), The Design of Experiments, section 21; for the sampled form Phipson and Smyth
    (2010), doi 10.2202/1544-6115.1585.
    """
    kept = np.asarray(differences, dtype=np.float64)
    kept = kept[~np.isnan(kept)]
    n = kept.size
    if n == 0:
        return math.nan
    observed = abs(kept.sum())
    # Sums that differ only by rounding count as ties, else a permutation of the same numbers could change p.
    threshold = observed - 1e-12 * np.abs(kept).sum()
    if n <= ENUMERATED_PAIRS:
        sums = np.zeros(1)
        for value in kept:
            sums = np.concatenate([sums + value, sums - value])
        return float(np.mean(np.abs(sums) >= threshold))
    signs = np.random.default_rng(seed).integers(0, 2, (SAMPLED_PATTERNS, n), dtype=np.int8) * 2 - 1
    hits = int((np.abs(signs @ kept) >= threshold).sum())
    return (1 + hits) / (1 + SAMPLED_PATTERNS)


def paired_difference(
    first: Mapping[int, float] | Sequence[float] | np.ndarray,
    second: Mapping[int, float] | Sequence[float] | np.ndarray,
    level: float = 0.95,
) -> PairedDifference:
    """first - second over paired seeds (same data, same noise): mean, t interval and exact sign-flip p.

    Mappings seed -> value are paired by key (seeds that only one arm has are left out); sequences are paired by
    position and must be equally long. A pair with a NaN is left out.
    """
    differences = pair_values(first, second)
    differences = differences[~np.isnan(differences)]
    return PairedDifference(mean_interval(differences, level), sign_flip_p_value(differences))


def pair_values(
    first: Mapping[int, float] | Sequence[float] | np.ndarray,
    second: Mapping[int, float] | Sequence[float] | np.ndarray,
) -> np.ndarray:
    """The differences first - second, paired by key for mappings and by position for sequences."""
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        shared = sorted(set(first) & set(second))
        return np.array([first[key] - second[key] for key in shared], dtype=np.float64)
    if isinstance(first, Mapping) or isinstance(second, Mapping):
        raise ValueError("paired values: give two mappings (seed -> value) or two sequences, not one of each")
    if len(first) != len(second):
        raise ValueError(
            f"paired values: {len(first)} and {len(second)} values do not pair up; give mappings seed -> value"
        )
    return np.asarray(first, dtype=np.float64) - np.asarray(second, dtype=np.float64)


def holm(p_values: Sequence[float] | np.ndarray) -> np.ndarray:
    """Holm's step-down adjusted p values, in the order given; NaN stay NaN and do not count as comparisons.

    Calling every adjusted p <= alpha keeps the chance of any false call in the family at alpha, whatever the
    dependence between tests. Source: Holm (1979), "A simple sequentially rejective multiple test procedure".
    """
    given = np.asarray(p_values, dtype=np.float64)
    adjusted = np.full(given.shape, math.nan)
    tested = np.flatnonzero(~np.isnan(given))
    order = tested[np.argsort(given[tested], kind="stable")]
    running = 0.0
    for rank, index in enumerate(order):
        running = max(running, min(1.0, (order.size - rank) * given[index]))
        adjusted[index] = running
    return adjusted
