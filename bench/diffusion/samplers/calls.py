"""Network calls and FLOPs of a piece, predicted before it is drawn: by blocks, token by token, or on whole rows."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

FLOAT_BYTES = 4


class NetworkCost(NamedTuple):
    """Cost of a piece by the formulas of a network. flops: NaN with a `reason` where there is no formula; state_bytes:
    of the cached state at the end, NaN where nothing is cached."""

    flops: float
    reason: str
    state_bytes: float


@dataclass(frozen=True)
class CallPlan:
    """Calls of the network for one piece of MASK alone, `length` tokens.

    block    tokens that a call is given: a block, 1 token by token, or the whole row
    drawing  denoising calls of a block
    commits  whether each block but the last takes one more call, without the network's head
    most     whether a sampler may leave out calls in which nothing is revealed, so that these are its most
    """

    length: int
    block: int
    drawing: int
    commits: bool = False
    most: bool = False

    @property
    def blocks(self) -> int:
        """Number of blocks."""
        return -(-self.length // self.block)

    @property
    def calls(self) -> int:
        """Network calls of a piece, commits included."""
        return self.blocks * self.drawing + self.commits * (self.blocks - 1)

    def of_network(self, network: Any) -> NetworkCost:
        """FLOPs and cached state of a piece, by formulas."""
        reason = getattr(network, "uncounted", "")
        reason = reason or ("" if hasattr(network, "flops") else "the model has no formula of its own")
        kept = self.blocks > 1
        return NetworkCost(
            math.nan if reason else self.flops(network),
            reason,
            FLOAT_BYTES * network.state_size(self.length) if kept else math.nan,
        )

    def flops(self, network: Any) -> float:
        """FLOPs of a piece by the formulas of a backbone, which needs no weights for them; a multiply-add is two."""
        if self.blocks == 1:
            return self.drawing * float(network.flops(self.length).total)

        def drawn(index: int) -> float:
            return float(network.extend_flops(index * self.block, self.block).total)

        def committed(index: int) -> float:
            return float(network.extend_flops(index * self.block, self.block, head=False).total)

        total = self.drawing * summed(drawn, self.blocks)
        return total + summed(committed, self.blocks - 1) if self.commits else total


def summed(cost: Callable[[int], float], count: int) -> float:
    """Sum of cost(0) .. cost(count - 1), from 1 on a concave function (as the cost of a call behind ever more tokens):
    linear stretches are summed by their ends, so that a thousand calls cost some tens of evaluations.

    >>> summed(lambda index: 3.0 + min(index, 700), 10_000) == sum(3.0 + min(index, 700) for index in range(10_000))
    True
    """

    def stretch(first: int, last: int, low: float, high: float) -> float:
        """The sum without `last`, whose ends are known."""
        middle = (first + last) // 2
        if middle == first:
            return low
        at = cost(middle)
        expected = low + (high - low) * (middle - first) / (last - first)
        if abs(at - expected) <= 1e-9 * abs(at):
            return (last - first) * (low + high) / 2 - (high - low) / 2
        return stretch(first, middle, low, at) + stretch(middle, last, at, high)

    if count < 3:
        return sum(cost(index) for index in range(count))
    low, high = cost(1), cost(count - 1)
    return cost(0) + stretch(1, count - 1, low, high) + high
