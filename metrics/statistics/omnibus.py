"""Exact permutation test of "all arms are equal", arms permuted within seeds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import permutations

import numpy as np

from metrics.statistics.blocks import ArmValues

MOST_ARRANGEMENTS = 50_000
"""Up to so many arrangements all are counted; beyond, `DRAWS` are drawn."""
DRAWS = 20_000


@dataclass(frozen=True)
class Omnibus:
    """p of "all arms are equal"; NaN where no two arms share two seeds. `exact`: all `arrangements` were counted."""

    p_value: float
    arrangements: int
    exact: bool


def omnibus(values: ArmValues, *, seed: int = 0) -> Omnibus:
    """Permutation test of all arms at once over the seeds that all of them have; reported, never a gate.

    Statistic: sum of squared arm means about their mean. One seed's arms may stay in place, as only relative order
    counts, so 4 arms at 3 seeds have 24^2 = 576 arrangements. Beyond
    `MOST_ARRANGEMENTS` (1 + hits) / (1 + draws) of seeded draws. Sources: Fisher (1935), The Design of Experiments,
    section 21; Phipson and Smyth (2010), doi 10.2202/1544-6115.1585.
    """
    kept = {arm: {s: v for s, v in row.items() if math.isfinite(v)} for arm, row in values.items()}
    kept = {arm: row for arm, row in kept.items() if row}
    seeds = sorted(set.intersection(*(set(row) for row in kept.values()))) if kept else []
    if len(kept) < 2 or len(seeds) < 2:
        return Omnibus(math.nan, 0, exact=True)
    table_SA = np.array([[row[one] for row in kept.values()] for one in seeds])
    table_SA = table_SA - table_SA.mean(axis=1, keepdims=True)
    observed = float((table_SA.sum(axis=0) ** 2).sum())
    threshold = observed - 1e-12 * float((table_SA**2).sum()) * len(seeds)
    count = math.factorial(len(kept)) ** (len(seeds) - 1)
    if count <= MOST_ARRANGEMENTS:
        sums_NA = table_SA[:1]
        for row in table_SA[1:]:
            orders_PA = np.array(list(permutations(row)))
            sums_NA = (sums_NA[:, None, :] + orders_PA).reshape(-1, len(kept))
        return Omnibus(float(((sums_NA**2).sum(axis=1) >= threshold).mean()), count, exact=True)
    generator = np.random.default_rng(seed)
    sums_NA = np.zeros((DRAWS, len(kept)))
    for row in table_SA:
        sums_NA += generator.permuted(np.tile(row, (DRAWS, 1)), axis=1)
    hits = int(((sums_NA**2).sum(axis=1) >= threshold).sum())
    return Omnibus((1 + hits) / (1 + DRAWS), count, exact=False)
