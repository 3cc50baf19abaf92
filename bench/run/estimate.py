"""Time, memory and disk of a plan, estimated from done cells."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.measure.quality.training import training_id
from bench.store.cells import CellFolder
from bench.study.grid import Cell
from metrics.cost.quantities import TRAINING_TIME

NEAREST = 5
"""Number of done cells, nearest in cost, that an estimate is made of."""
START_S = 10.0
"""Seconds in which a process imports torch, builds its model and makes its first calls; as many at once as cores."""
POINT_S = 5.0
"""Seconds of the memory, the FLOPs and the counts of an arm at a length: 2 to 10 s of a core at 12 mixers of width 32,
512 and 16384 tokens, nearly all of it Python's."""
FLOPS_A_WEIGHT = 6
"""FLOPs of a weight at a position of a training step: two in each of three forward passes."""
MOST_READ = 400
"""Number of done cells that are read, newest first."""


@dataclass(frozen=True)
class Estimate:
    """Estimates for one cell; NaN where no similar cell is done. training_s: the part of `time_s` that a cell with the
    same training as another does not take again."""

    time_s: float = math.nan
    training_s: float = 0.0
    memory_bytes: float = math.nan
    disk_bytes: float = math.nan


@dataclass(frozen=True)
class _Done:
    kind: str
    cost: float
    base_s: float
    training_s: float
    peak_bytes: float
    path: Path
    by_time: bool


def training_cost(kind: str, labels: dict[str, Any], settings: dict[str, Any]) -> float:
    """Parameters x positions of the training of a cell, to which its time is proportional; a position is `stride`
    tokens, and those of blocks count twice, noisy and clean. Of a budget in FLOPs as many as its weights take without
    attention. 1 for cells that do not train."""
    if kind not in ("quality", "tuning"):
        return 1.0
    train = settings.get("train", {})
    if train.get("flops"):
        return float(train["flops"]) / FLOPS_A_WEIGHT
    if not train.get("steps"):
        return 1.0
    length, block = float(settings["length"]), settings.get("diffusion", {}).get("block")
    streams = 2.0 if block and block < length else 1.0
    positions = float(train["batch"]) * length / float(settings.get("model", {}).get("stride", 1)) * streams
    return max(1.0, float(labels.get("parameters", 1))) * float(train["steps"]) * positions


class Estimator:
    """Estimates from the done cells of a results folder."""

    def __init__(self, results: Path) -> None:
        paths = [path for path in results.glob("*/*-*/status.json") if path.parent.parent.name[0] != "."]
        newest = sorted(paths, key=_written_s, reverse=True)[:MOST_READ]
        self.done = [done for path in newest if (done := _read(CellFolder(path.parent)))]

    def estimate(self, cell: Cell) -> Estimate:
        """Time, memory and disk of a cell: the median of the nearest done ones, time scaled with what is trained."""
        seconds = cell.settings.get("train", {}).get("seconds")
        cost = training_cost(cell.kind, cell.labels, cell.settings)
        alike = [done for done in self.done if done.kind == cell.kind and done.by_time == bool(seconds)]
        near = sorted(alike, key=lambda done: abs(math.log(done.cost / cost)))[:NEAREST]
        if not near:
            return Estimate(time_s=float(seconds) if seconds else math.nan)
        trained_s = [float(seconds) if seconds else done.training_s * cost / done.cost for done in near]
        times = [done.base_s + one for done, one in zip(near, trained_s, strict=True)]
        peaks = [done.peak_bytes for done in near if not math.isnan(done.peak_bytes)]
        return Estimate(
            statistics.median(times),
            statistics.median(trained_s),
            max(peaks, default=math.nan),
            statistics.median(_size(done.path) for done in near),
        )


def _read(folder: CellFolder) -> _Done | None:
    status, content = folder.status(quick=True), folder.configuration()
    if status.state != "done" or content is None or status.reused_from or math.isnan(status.elapsed_s):
        return None
    try:
        cost = training_cost(content["kind"], content["labels"], content["settings"])
        trained = [row["value"] for row in folder.rows() if row["metric"] == TRAINING_TIME]
    except (KeyError, TypeError, ValueError, OSError):
        return None
    training_s = trained[0] if trained and trained[0] <= status.elapsed_s else 0.0  # else another cell's
    base_s = status.elapsed_s - training_s
    peak = float(status.peak_bytes) if status.peak_bytes else math.nan
    by_time = bool(content["settings"].get("train", {}).get("seconds"))
    return _Done(content["kind"], cost, base_s, (trained or [0.0])[0], peak, folder.path, by_time)


def _written_s(path: Path) -> float:
    """When a file was written; 0 where a runner has just taken it away."""
    with suppress(OSError):
        return path.stat().st_mtime
    return 0.0


def _size(folder: Path) -> float:
    """Bytes of the files of a cell, of those that stay while they are counted."""
    total = 0
    for path in folder.rglob("*"):
        with suppress(OSError):
            total += path.stat().st_size if path.is_file() else 0
    return float(total)


def session_s(arms: int, lengths: int, replicates: int, time_cap_s: float, cores: int) -> tuple[float, float]:
    """Seconds that a timing session takes at least and at most, beside calls of seconds each: its rounds and samples
    from one time cap to `PATIENCE`, the starts of its processes, memory and counts of each arm at each length.

    >>> session_s(arms=5, lengths=3, replicates=2, time_cap_s=60, cores=16)
    (155.0, 275.0)
    """
    from bench.measure.efficiency.session import PATIENCE

    beside_s = replicates * math.ceil(arms / cores) * START_S + arms * lengths * POINT_S
    return time_cap_s + beside_s, PATIENCE * time_cap_s + beside_s


def wall_time_s(cells: Iterable[tuple[Cell, Estimate]], jobs: int, trained: Iterable[str] = ()) -> float:
    """Seconds until all are done with `jobs` at once, the timing session first; NaN where one is not known. Of cells
    with the same training one trains, and none of those `trained`, ids of finished trainings."""
    known, total, session = set(trained), 0.0, 0.0
    for cell, estimate in cells:
        if cell.kind == "efficiency":
            session = max(session, estimate.time_s)
            continue
        total += estimate.time_s
        training = training_of(cell)
        if training and training in known:
            total -= estimate.training_s
        known.add(training)
    return total / jobs + session


def training_of(cell: Cell) -> str:
    """Id of the training of a quality cell, "" for other cells; see `training_id`."""
    return training_id(cell.settings) if cell.kind == "quality" and "parts" in cell.settings else ""


@dataclass(frozen=True)
class Unfinished:
    """The cells of one kind that have not ended. Seconds everywhere; NaN for what is not known.

    took: durations of done cells of the kind in this study. running: elapsed time of each running cell, and its own
    estimate of the time left. like: duration of a similar cell in earlier studies. together: all are timed in one
    session, which ends for all at once.
    """

    count: int
    took: Sequence[float] = ()
    running: Sequence[tuple[float, float]] = ()
    like: float = math.nan
    together: bool = False

    def cell_s(self) -> float:
        """Duration of one cell: the mean of the done ones; else of similar ones; else the longest running one's."""
        took = [seconds for seconds in self.took if not math.isnan(seconds)]
        if took:
            return statistics.mean(took)
        if not math.isnan(self.like):
            return self.like
        said = [spent + left for spent, left in self.running if not math.isnan(left)]
        return max(said, default=math.nan)

    def left_s(self) -> float:
        """Seconds of work left for one runner: estimates of running cells themselves, the mean for the others."""
        whole = self.cell_s()
        if self.together:
            return max(0.0, whole - max((spent for spent, _ in self.running), default=0.0))
        said = [left if not math.isnan(left) else max(0.0, whole - spent) for spent, left in self.running]
        return sum(said) + (self.count - len(self.running)) * whole if self.count > len(self.running) else sum(said)


def time_left_s(kinds: Iterable[Unfinished], at_once: int = 1) -> float:
    """Seconds until all have ended, as many at once as run now or as have run (`at_once`: between the end of a cell
    and the start of the next there is one less); NaN where a kind has no estimate."""
    total = 0.0
    for kind in kinds:
        if kind.count:
            runners = max(1, len(kind.running), min(at_once, kind.count))
            total += kind.left_s() / (1 if kind.together else runners)
    return total
