"""What a run counts as it goes; with the weights, all that the next step depends on."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from bench.diffusion.evaluation import BitsPerToken

TALLY = ("loss", "elbo_bits_per_token", "masked_cross_entropy", "gradient_norm")


@dataclass
class Ledger:
    """Counters of a run; `tally` holds sums since the last line of the learning curve."""

    step: int = 0
    tokens: int = 0  # PAD not counted
    elapsed_s: float = 0.0  # training time, validation not counted
    averaged: int = 0  # updates of the averaged weights
    tally: list[float] = field(default_factory=lambda: [0.0] * len(TALLY))
    tallied: int = 0  # steps in the tally
    tally_tokens: int = 0  # tokens when the tally began
    tally_elapsed_s: float = 0.0
    first_cross_entropy: float | None = None  # nats per masked token on the first line of the curve
    best_bits: float | None = None
    worse: int = 0  # validations since the best
    validated: int = 0  # validations of the budget that are done
    latest_bits: float | None = None
    stopped: str = ""  # why the run ended, "" while it goes on
    final: BitsPerToken | None = None
    scaler: dict[str, Any] | None = None  # of the float16 loss

    def note_bits(self, bits: float) -> None:
        """Take in a validation."""
        self.latest_bits = bits
        if self.best_bits is None or bits < self.best_bits:
            self.best_bits, self.worse = bits, 0
        else:
            self.worse += 1

    def restart_tally(self) -> None:
        """Begin the next line of the learning curve."""
        self.tally, self.tallied = [0.0] * len(TALLY), 0
        self.tally_tokens, self.tally_elapsed_s = self.tokens, self.elapsed_s

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it; an interrupted run is one that goes on."""
        return asdict(self) | {"stopped": "" if self.stopped == "interrupted" else self.stopped}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Ledger:
        """The reverse of `to_dict`. Raises KeyError where something is missing."""
        kept = {one.name: values[one.name] for one in fields(cls)}
        return cls(**kept | {"final": None if kept["final"] is None else BitsPerToken(**kept["final"])})


def or_nan(value: float | None) -> float:
    """`value`, or NaN for None."""
    return math.nan if value is None else value
