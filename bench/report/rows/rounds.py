"""Raw timings of a cost summary, replicate by replicate and round by round, from the cell folders."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

from bench.report.rows.summaries import Summary
from bench.store.cells import CellFolder
from metrics.statistics.replicates import replicate_time
from metrics.statistics.rounds import grouped


@dataclass(frozen=True, eq=False)
class Timed:
    """Timed calls of one metric and length of a cell, calls in each round, rounds in each replicate."""

    raw: list[float]
    round_sizes: list[int]
    replicate_sizes: list[int]

    @cached_property
    def replicates(self) -> list[list[list[float]]]:
        """A list a replicate of lists a round."""
        return grouped(grouped(self.raw, self.round_sizes), self.replicate_sizes)

    @cached_property
    def times(self) -> list[float]:
        """The time of each replicate; a report asks for them with each pair of arms."""
        return [replicate_time(rounds) for rounds in self.replicates]


def _timed(folder: Path, summary: Summary) -> Timed | None:
    """The raw samples behind a summary; None where none are kept."""
    for cell_id in summary.cell_ids:
        path = folder / cell_id
        try:
            written = (path / "measurements.jsonl").stat()
            found = _all_timed(path, written.st_mtime_ns, written.st_size).get((summary.metric, summary.length))
        except (OSError, ValueError):
            continue
        if found is not None:
            return found
    return None


def replicates_of(folder: Path, summary: Summary) -> list[list[list[float]]]:
    """Timed calls behind a summary, a list a replicate (one process) of lists a round, in the unit of the summary;
    empty where no raw samples are kept. Results without `replicate_sizes` are of one process."""
    found = _timed(folder, summary)
    return found.replicates if found else []


def rounds_of(folder: Path, summary: Summary) -> list[list[float]]:
    """Timed calls behind a summary, a list a round, of all replicates."""
    return [one for rounds in replicates_of(folder, summary) for one in rounds]


def replicate_times(folder: Path, summary: Summary) -> list[float]:
    """The time of each replicate behind a summary, NaN for one without a round; empty where no raw samples are kept."""
    found = _timed(folder, summary)
    return found.times if found else []


@lru_cache(maxsize=256)
def _all_timed(path: Path, _modified: int, _size: int) -> dict[tuple[str, int | None], Timed]:
    """Raw samples by metric and length: a report reads those of one cell many times."""
    rows = [row for row in CellFolder(path).rows() if row.get("round_sizes")]
    return {
        (row["metric"], row.get("length")): Timed(
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
    """Median of the timed calls of each round behind a summary, NaN for one that was left out, so that rounds of two
    summaries pair; empty where no raw samples are kept."""
    return [statistics.median(one) if one else math.nan for one in rounds_of(folder, summary)]
