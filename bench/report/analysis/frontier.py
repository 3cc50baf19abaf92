"""Ways of drawing a piece by the bits of their sampler and what a piece costs: curves through tokens a call, the
frontier of those that nothing beats, and the cost at equal bits."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import pandas as pd

from bench.report.analysis.models import by_seed
from bench.report.analysis.samplers import base_arm
from bench.report.rows.frame import made_once
from bench.report.rows.summaries import Summaries, Summary, quality_summaries
from metrics.cost.quantities import PIECE_CALLS, SAMPLER_BITS, likelihood_kind
from metrics.headlines import PIECE
from metrics.statistics.blocks import BlockModel

EXACT, AUTOREGRESSIVE = "exact", "autoregressive"
EQUAL_BITS = 0.05
"""Bits/token above the baseline's autoregression at which seconds and FLOPs are compared; fixed before any run."""
Place = tuple[float, float]
"""Cost and bits of a way of drawing."""


@dataclass(frozen=True)
class Way:
    """One way of drawing from one training: its bits/token under the sampler, and the costs of a piece by quantity."""

    arm: str
    bits: Summary
    costs: Mapping[str, Summary]

    def place(self, cost: str) -> Place | None:
        """Mean cost and mean bits; None where that cost has no figure."""
        return (self.costs[cost].value, self.bits.value) if cost in self.costs else None


@dataclass(frozen=True)
class Curve:
    """The ways of one arm and process, from few tokens a call to many. `kind`: exact, or importance estimate, which
    lies above the exact figure on average."""

    name: str
    process: str
    kind: str
    ways: tuple[Way, ...]

    def places(self, cost: str, seed: int | None = None) -> list[Place]:
        """Cost and bits of each way that has both, of the means or of one seed."""
        if seed is None:
            return [place for way in self.ways if (place := way.place(cost))]
        found = []
        for way in self.ways:
            bits, spent = by_seed(way.bits), by_seed(way.costs[cost]) if cost in way.costs else {}
            found += [(spent[seed], bits[seed])] if seed in bits and seed in spent else []
        return found

    @property
    def seeds(self) -> list[int]:
        """Seeds with a figure of bits."""
        return sorted({seed for way in self.ways for seed in by_seed(way.bits)})

    def at(self, cost: str, bits: float, seed: int | None = None) -> float:
        """The cost at which this curve reaches `bits`, see `cost_at`."""
        return cost_at(self.places(cost, seed), bits)


@dataclass(frozen=True)
class Ways:
    """The curves of one corpus and length. `bounds`: arm and process whose bits are known as a bound alone."""

    corpus: str
    length: int | None
    curves: tuple[Curve, ...]
    bounds: tuple[str, ...]

    @cached_property
    def exact(self) -> tuple[Curve, ...]:
        """Curves of exact figures, which alone may be ranked."""
        return tuple(curve for curve in self.curves if curve.kind == EXACT)

    def equal_bits(self, baseline: str, seed: int | None = None) -> float:
        """Bits/token at which costs are compared: `EQUAL_BITS` above the autoregression of the baseline, else of the
        first arm, on average or in one seed; NaN where none was measured."""
        found = [curve for curve in self.exact if curve.process == AUTOREGRESSIVE]
        chosen = next((one for one in found if one.name == baseline), next(iter(found), None))
        if chosen is None:
            return math.nan
        bits = chosen.ways[0].bits
        return EQUAL_BITS + (bits.value if seed is None else by_seed(bits).get(seed, math.nan))

    def log_costs(self, cost: str, baseline: str) -> BlockModel | None:
        """Log cost at equal bits of each exact curve and seed; a curve that does not reach them in one seed is left
        out. None where no curve reaches them."""
        values = {}
        for curve in self.exact:
            found = {seed: curve.at(cost, self.equal_bits(baseline, seed), seed) for seed in curve.seeds}
            if found and all(map(math.isfinite, found.values())):
                values[curve.name] = {seed: math.log(value) for seed, value in found.items()}
        return BlockModel.fit(values) if values else None


def cost_at(places: Sequence[Place], bits: float) -> float:
    """Cost at which a curve of (cost, bits) reaches `bits`: log cost linear in bits between neighbours on its frontier,
    the cheapest place where all are good enough; NaN where none is.

    >>> round(cost_at([(8.0, 1.0), (2.0, 3.0)], 2.0), 9), cost_at([(8.0, 1.0), (2.0, 3.0)], 4.0)
    (4.0, 2.0)
    """
    front = frontier(places)
    if not front or front[-1][1] > bits:
        return math.nan
    if front[0][1] <= bits:
        return front[0][0]
    for (cheap, worse), (dear, better) in pairwise(front):
        if better <= bits:
            share = (worse - bits) / (worse - better)
            return math.exp(math.log(cheap) + share * (math.log(dear) - math.log(cheap)))
    return math.nan


def frontier(places: Sequence[Place]) -> list[Place]:
    """The places that no other beats, from cheap to dear: none is as cheap and as good, and better on one.

    >>> frontier([(3, 1.0), (1, 2.0), (2, 2.5), (4, 1.0)])
    [(1, 2.0), (3, 1.0)]
    """
    found: list[Place] = []
    for place in sorted(set(places)):
        if not found or place[1] < found[-1][1]:
            found.append(place)
    return found


def ways_of(frame: pd.DataFrame) -> Ways | None:
    """The ways of drawing of the first corpus and length that has any; None where no sampler's bits were measured."""
    return made_once(frame, "ways of drawing", lambda: _ways(quality_summaries(frame)))


def _ways(summaries: Summaries) -> Ways | None:
    costed = summaries.where(metric=PIECE).measured()
    if not costed:
        return None
    corpus, length = costed[0].corpus, costed[0].length
    here = summaries.where(corpus=corpus, length=length)
    bits = here.where(metric=SAMPLER_BITS).measured()
    found: dict[str, list[Way]] = {}
    for one in bits:
        costs = {name: spent for name in PIECE if (spent := here.first(metric=name, arm=one.arm)) and spent.measured}
        if costs:
            found.setdefault(base_arm(one), []).append(Way(one.arm, one, costs))
    known = {way.arm for ways in found.values() for way in ways}
    bounds = dict.fromkeys(base_arm(one) for one in costed.where(corpus=corpus, length=length) if one.arm not in known)
    curves = tuple(_curve(name, ways) for name, ways in found.items())
    return Ways(corpus, length, curves, tuple(name for name in bounds if name not in found))


def _curve(name: str, ways: Sequence[Way]) -> Curve:
    def calls(way: Way) -> float:
        return -way.costs[PIECE_CALLS].value if PIECE_CALLS in way.costs else math.nan

    kind = likelihood_kind(*(words for way in ways for words in way.bits.definitions))
    return Curve(name, ways[0].bits.process, kind, tuple(sorted(ways, key=calls)))
