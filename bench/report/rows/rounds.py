"""Raw timings of a cost summary, replicate by replicate and round by round, from the cell folders."""

from __future__ import annotations

import statistics
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

from bench.report.rows.summaries import Summary
from bench.store.cells import CellFolder
from metrics.statistics.replicates import replicate_time

Raw = tuple[list[float], list[int], list[int]]
"""Timed calls, calls in each round, rounds in each replicate."""


def replicates_of(folder: Path, summary: Summary) -> list[list[list[float]]]:
    """Timed calls behind a summary, a list a replicate (one process) of lists a round, in the unit of the summary;
    empty where no raw samples are kept. Results without `replicate_sizes` are of one process."""
    for cell_id in summary.cell_ids:
        path = folder / cell_id
        try:
            written = (path / "measurements.jsonl").stat()
            found = _timed(path, written.st_mtime_ns, written.st_size).get((summary.metric, summary.length))
        except (OSError, ValueError):
            continue
        if found is not None:
            raw, round_sizes, replicate_sizes = found
            return _split(_split(raw, round_sizes), replicate_sizes)
    return []


def rounds_of(folder: Path, summary: Summary) -> list[list[float]]:
    """Timed calls behind a summary, a list a round, of all replicates."""
    return [one for rounds in replicates_of(folder, summary) for one in rounds]


def replicate_times(folder: Path, summary: Summary) -> list[float]:
    """The time of each replicate behind a summary, NaN for one without a round; empty where no raw samples are kept."""
    replicates = replicates_of(folder, summary)
    return list(_times(tuple(tuple(tuple(calls) for calls in rounds) for rounds in replicates)))


@lru_cache(maxsize=4096)
def _times(replicates: tuple[tuple[tuple[float, ...], ...], ...]) -> tuple[float, ...]:
    """The time of each replicate; made once, for a report asks for one of each pair of arms."""
    return tuple(replicate_time(rounds) for rounds in replicates)


@lru_cache(maxsize=256)
def _timed(path: Path, _modified: int, _size: int) -> dict[tuple[str, int | None], Raw]:
    """Raw samples by metric and length: a report reads those of one cell many times."""
    rows = [row for row in CellFolder(path).rows() if row.get("round_sizes")]
    return {
        (row["metric"], row.get("length")): (
            row.get("raw", []),
            row["round_sizes"],
            row.get("replicate_sizes", [len(row["round_sizes"])]),
        )
        for row in reversed(rows)
    }


def is_replicated(folder: Path, summary: Summary) -> bool:
    """Whether two or more processes stand behind a summary, so that its interval is one over replicates."""
    return sum(time > 0 for time in replicate_times(folder, summary)) > 1


def round_medians(folder: Path, summary: Summary) -> list[float]:
    """Median of the timed calls of each round behind a summary; empty where no raw samples are kept."""
    return [statistics.median(one) for one in rounds_of(folder, summary) if one]


def _split(content: list[Any], sizes: list[int]) -> list[list[Any]]:
    items = iter(content)
    return [list(islice(items, size)) for size in sizes] if sum(sizes) == len(content) else []
