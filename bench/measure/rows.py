"""Measurements as rows of the result table."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from metrics import MetricResult

QUALITY_HEADLINES = (
    ("validation_bits_per_token", "bits/token"),
    ("oa_mean", "1"),
    ("pitch_outliers_percentile", "1"),
    ("chord_density_onset_mean", "pitches"),
)


def row(metric: str, value: float, unit: str, **more: Any) -> dict[str, Any]:
    """One measurement; keys as in `bench.store.table`, plus `raw` for the samples behind it."""
    return {"metric": metric, "value": float(value), "unit": unit} | more


def missing(metric: str, unit: str, reason: str, status: str = "done") -> dict[str, Any]:
    """A missing figure with its reason."""
    return row(metric, math.nan, unit, n=0, reason=reason, status=status)


def metric_row(result: MetricResult) -> dict[str, Any]:
    """The row of a metric's result."""
    return row(
        result.name,
        result.value,
        result.unit,
        low=result.low,
        high=result.high,
        n=result.n,
        reason=result.reason,
        definition=result.definition,
        parts=dict(result.parts),
    )


def missing_rows(reason: str) -> list[dict[str, Any]]:
    """Rows of a quality cell that failed: NaN with the reason for each headline metric."""
    return [row(metric, math.nan, unit, reason=reason) for metric, unit in QUALITY_HEADLINES]
