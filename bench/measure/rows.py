"""Measurements as rows of the result table, and the values of single pieces behind them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bench.store.vectors import WITHOUT, Vector
from metrics.cost.quantities import VALIDATION_BITS
from metrics.quantities import quantity_of

if TYPE_CHECKING:
    from metrics import MetricResult


def row(metric: str, value: float, **more: Any) -> dict[str, Any]:
    """One measurement in its registered unit; keys as in `bench.store.columns`, plus `raw`, the samples behind it."""
    return {"metric": metric, "value": float(value), "unit": quantity_of(metric).unit} | more


def missing(metric: str, reason: str, status: str = "done") -> dict[str, Any]:
    """The row of a measurement without a value, with the reason."""
    return row(metric, math.nan, n=0, reason=reason, status=status)


def metric_row(result: MetricResult) -> dict[str, Any]:
    """The row of a metric's result."""
    more = {name: getattr(result, name) for name in ("low", "high", "n", "songs", "reason", "definition")}
    return row(result.name, result.value, **more, parts=dict(result.parts))


def generated_vectors(results: Iterable[MetricResult], length: int) -> list[Vector]:
    """Values of generated pieces of `length` tokens, of every metric that has one a piece; of primary metrics what they
    are without each piece and without each song of the reference, by which arms are compared that no seed repeats."""
    from metrics.headlines import PRIMARY

    found = list(results)
    pieces = [
        Vector(result.name, "generated", piece, "", length, value)
        for result in found
        for piece, value in enumerate(result.values)
    ]
    return pieces + [
        Vector(result.name, side, place, "", length, float(value))
        for result in found
        if result.name in PRIMARY
        for side, values in zip(WITHOUT, result.without, strict=False)
        for place, value in enumerate(values)
    ]


def real_vectors(values: Mapping[str, Sequence[float]], songs: Sequence[str], length: int) -> list[Vector]:
    """Values of real pieces of `length` tokens by metric, and the song that each piece is an excerpt of."""
    return [
        Vector(metric, "real", piece, songs[piece], length, value)
        for metric, of_pieces in values.items()
        for piece, value in enumerate(of_pieces)
    ]


def missing_rows(reason: str, kind: str = "quality") -> list[dict[str, Any]]:
    """Rows of a quality or tuning cell that failed: NaN with the reason, so that it stays in sight."""
    from metrics.headlines import FAILED

    return [row(metric, math.nan, reason=reason) for metric in (FAILED if kind == "quality" else (VALIDATION_BITS,))]
