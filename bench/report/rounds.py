"""Raw timings of a cost point, round by round, from the cell folders."""

from __future__ import annotations

import statistics
from pathlib import Path

from bench.report.points import Point
from bench.run.store import CellFolder


def rounds_of(folder: Path, point: Point) -> list[list[float]]:
    """Timed calls behind a point, a list a round, in the unit of the point; empty where no raw samples are kept."""
    for cell_id in point.cell_ids:
        try:
            rows = CellFolder(folder / cell_id).rows()
        except (OSError, ValueError):
            continue
        for row in rows:
            if row.get("metric") == point.metric and row.get("length") == point.length and row.get("round_sizes"):
                return _split(row.get("raw", []), row["round_sizes"])
    return []


def round_medians(folder: Path, point: Point) -> list[float]:
    """Median of the timed calls of each round behind a point; empty where no raw samples are kept."""
    return [statistics.median(one) for one in rounds_of(folder, point) if one]


def _split(raw: list[float], sizes: list[int]) -> list[list[float]]:
    rounds, start = [], 0
    for size in sizes:
        rounds.append(raw[start : start + size])
        start += size
    return rounds if start == len(raw) else []
