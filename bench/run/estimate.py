"""What a plan will take, judged by cells done before, and how many seeds its comparisons need."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.run.store import CellFolder, Store
from bench.study import Cell

if TYPE_CHECKING:
    import pandas as pd

NEAREST = 5
"""Done cells an estimate rests on: those whose cost is nearest."""
MOST_READ = 400
"""Done cells that are looked at, newest first."""
HEADLINES = ("validation_bits_per_token", "oa_mean")


@dataclass(frozen=True)
class Estimate:
    """What one cell will take; NaN where nothing like it was done before."""

    time_s: float = math.nan
    memory_bytes: float = math.nan
    disk_bytes: float = math.nan


@dataclass(frozen=True)
class _Done:
    kind: str
    cost: float
    base: float
    time_s: float
    peak_bytes: float
    path: Path


def training_cost(kind: str, labels: dict[str, Any], settings: dict[str, Any]) -> float:
    """Parameters x tokens that a cell trains on, which its time grows with; 1 for cells that do not train."""
    if kind != "quality":
        return 1.0
    train = settings.get("train", {})
    if not train.get("steps"):
        return 1.0
    return (
        float(labels.get("parameters", 1)) * float(train["steps"]) * float(train["batch"]) * float(settings["length"])
    )


class Estimator:
    """Knows the done cells of a results folder."""

    def __init__(self, results: Path) -> None:
        paths = [path for path in results.glob("*/*-*/status.json") if path.parent.parent.name[0] != "."]
        newest = sorted(paths, key=lambda path: path.stat().st_mtime, reverse=True)[:MOST_READ]
        self.done = [done for path in newest if (done := _read(CellFolder(path.parent)))]

    def estimate(self, cell: Cell) -> Estimate:
        """Time, memory and disk of a cell: the median of the nearest done ones, time scaled with what is trained."""
        seconds = cell.settings.get("train", {}).get("seconds")
        cost = training_cost(cell.kind, cell.labels, cell.settings)
        alike = [done for done in self.done if done.kind == cell.kind]
        near = sorted(alike, key=lambda done: abs(math.log(done.cost / cost)))[:NEAREST]
        if not near:
            return Estimate(time_s=float(seconds) if seconds else math.nan)
        times = [done.base + (done.time_s - done.base) * cost / done.cost for done in near]
        peaks = [done.peak_bytes for done in near if not math.isnan(done.peak_bytes)]
        return Estimate(
            statistics.median(times) + float(seconds or 0.0),
            max(peaks, default=math.nan),
            statistics.median(_size(done.path) for done in near),
        )


def _read(folder: CellFolder) -> _Done | None:
    status, content = folder.status(), folder.configuration()
    if status.state != "done" or content is None or status.reused_from or math.isnan(status.elapsed_s):
        return None
    try:
        cost = training_cost(content["kind"], content["labels"], content["settings"])
        trained = [row["value"] for row in folder.rows() if row["metric"] == "training_time"]
    except (KeyError, TypeError, ValueError, OSError):
        return None
    base = max(0.0, status.elapsed_s - trained[0]) if trained else status.elapsed_s
    peak = float(status.peak_bytes) if status.peak_bytes else math.nan
    return _Done(content["kind"], cost, base, status.elapsed_s, peak, folder.path)


def _size(folder: Path) -> float:
    return float(sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()))


def wall_time_s(cells: Iterable[tuple[Cell, Estimate]], jobs: int) -> float:
    """Seconds until all are done with `jobs` at once, the timing session first; NaN where one is not known."""
    training = [estimate.time_s for cell, estimate in cells if cell.kind != "efficiency"]
    session = [estimate.time_s for cell, estimate in cells if cell.kind == "efficiency"]
    return sum(training) / jobs + max(session, default=0.0)


@dataclass(frozen=True)
class SeedNeed:
    """What the pilot seeds of one comparison say."""

    metric: str
    arm: str
    reference: str
    pilots: int
    difference: float
    deviation: float
    seeds: int | None  # to find a difference as large as the one seen; None: beyond all reach, or nothing seen
    detectable: float  # smallest difference that the study's own number of seeds finds


def seeds_for_comparisons(store: Store, reference: str, planned: int) -> list[SeedNeed]:
    """For each arm against `reference`: the seeds needed, from two or more seeds that are done.

    Paired over seeds at the same corpus and length; chance of finding 0.8 at p 0.05 (`metrics.statistics.power`).
    """
    from bench.results import load_results
    from metrics.statistics.power import minimum_detectable_effect, seeds_needed

    frame = load_results(store.folder).frame
    frame = frame[(frame["kind"] == "quality") & (frame["status"] == "done")]
    needs = []
    for metric in HEADLINES:
        values = frame[frame["metric"] == metric].dropna(subset=["value"])
        for arm in values["arm"].unique():
            pairs = _paired(values, arm, reference) if arm != reference else []
            if len(pairs) < 2:
                continue
            mean, deviation = statistics.mean(pairs), statistics.stdev(pairs)
            needed = seeds_needed(mean, deviation)
            smallest = minimum_detectable_effect(deviation, planned)
            needs.append(SeedNeed(metric, arm, reference, len(pairs), mean, deviation, needed, smallest))
    return needs


def _paired(values: pd.DataFrame, arm: str, reference: str) -> list[float]:
    keys = ["corpus", "length", "seed"]
    mine, theirs = (values[values["arm"] == name].drop_duplicates(keys) for name in (arm, reference))
    joined = mine.merge(theirs, on=keys, suffixes=("", "_reference"))
    # one difference a seed, so that lengths and corpora of a seed are not taken for further seeds
    return list((joined["value"] - joined["value_reference"]).groupby(joined["seed"]).mean())
