"""Raw timings of a cost summary, round by round, from the cell folders."""

from __future__ import annotations

import statistics
from functools import lru_cache
from itertools import islice
from pathlib import Path

from bench.report.rows.summaries import Summary
from bench.store.cells import CellFolder


def rounds_of(folder: Path, summary: Summary) -> list[list[float]]:
    """Timed calls behind a summary, a list a round, in the unit of the summary; empty where no raw samples are kept."""
    for cell_id in summary.cell_ids:
        path = folder / cell_id
        try:
            written = (path / "measurements.jsonl").stat()
            found = _timed(path, written.st_mtime_ns, written.st_size).get((summary.metric, summary.length))
        except (OSError, ValueError):
            continue
        if found is not None:
            return _split(*found)
    return []


@lru_cache(maxsize=256)
def _timed(path: Path, _modified: int, _size: int) -> dict[tuple[str, int | None], tuple[list[float], list[int]]]:
    """Raw samples and sizes of the rounds by metric and length: a report reads those of one cell many times."""
    rows = [row for row in CellFolder(path).rows() if row.get("round_sizes")]
    return {(row["metric"], row.get("length")): (row.get("raw", []), row["round_sizes"]) for row in reversed(rows)}


def round_medians(folder: Path, summary: Summary) -> list[float]:
    """Median of the timed calls of each round behind a summary; empty where no raw samples are kept."""
    return [statistics.median(one) for one in rounds_of(folder, summary) if one]


def _split(raw: list[float], sizes: list[int]) -> list[list[float]]:
    calls = iter(raw)
    return [list(islice(calls, size)) for size in sizes] if sum(sizes) == len(raw) else []
