"""Differences that the seeds of a planned study can show, from finished seeds, similar cells or documented defaults."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench.errors import UserError
from bench.files import canonical_hash
from bench.report.analysis.comparisons import Compared, compared
from bench.report.rows.frame import as_frame
from bench.report.rows.study import baseline_among, baseline_arm
from bench.run.estimate import training_of
from bench.store.table import load_results
from bench.study.grid import Cell
from metrics.cost.quantities import BITS
from metrics.headlines import PRIMARY
from metrics.music.two_samples import KERNEL_DISTANCE
from metrics.quantities import Margin, Quantity, quantity_of
from metrics.statistics.differences import FEWEST_SEEDS, Components, primary_level
from metrics.statistics.planning import Needed, needed, shown_from
from metrics.statistics.simultaneous import Family
from metrics.statistics.songs import SongModel

MOST_STUDIES = 5
"""Other studies that are searched for similar cells, newest first."""
Setting = tuple[str, int | None]
"""Corpus and length."""


@dataclass(frozen=True)
class Source:
    """Variance components of a difference between two arms and where they come from, in words."""

    components: Components
    songs: int
    words: str
    mean: float = math.nan

    @property
    def spread(self) -> float:
        """Standard deviation of one arm's error at one seed."""
        return math.sqrt(self.components.seed / 2)


@dataclass(frozen=True)
class Prospect:
    """What the comparisons with one baseline on one metric and setting can show.

    `shown_from`: the smallest true difference that gets called with chance 0.8, infinite under `FEWEST_SEEDS` seeds,
    NaN where no spread is known. `needed`: what would call a difference as small as the margin.
    """

    quantity: Quantity
    setting: Setting
    arms: int
    seeds: int
    source: Source | None
    margin: float | None
    shown_from: float
    needed: Needed | None


@dataclass(frozen=True)
class Done:
    """A results folder as its finished cells leave it: the baseline of its report and the comparisons so far."""

    folder: Path
    baseline: str = ""
    comparisons: tuple[Compared, ...] = ()


def done_in(folder: Path) -> Done:
    """What the folder holds so far; nothing compared in one that cannot be read."""
    try:
        frame = as_frame(load_results(folder))
        return Done(folder, baseline_arm(folder, frame), tuple(compared(frame, folder)))
    except UserError:
        return Done(folder)


def prospects(
    arms: Mapping[Setting, Mapping[str, int]], seeds: int, margins: Mapping[str, Margin], done: Done
) -> list[Prospect]:
    """The primary metrics in every setting of a study that is to run with `seeds` seeds in the folder of `done`.

    `arms`: setting -> primary metric -> number of arms that are compared; `margins`: those that the study states.
    """
    others = _Others(done.folder)
    found = []
    for setting, counts in arms.items():
        for metric, count in counts.items():
            if count < 2:
                continue
            quantity = quantity_of(metric)
            source = (
                _source_of(done.comparisons, quantity, setting, "seeds done in this study")
                or others.source(quantity, setting)
                or _assumed(quantity)
            )
            stated = margins.get(metric, quantity.margin)
            found.append(_prospect(quantity, setting, count, seeds, source, stated))
    return found


def _prospect(
    quantity: Quantity, setting: Setting, arms: int, seeds: int, source: Source | None, stated: Margin | None
) -> Prospect:
    if source is None:
        return Prospect(quantity, setting, arms, seeds, None, None, math.nan, None)
    margin = stated.at(source.mean) if stated else None
    margin = margin if margin and math.isfinite(margin) else None
    level = primary_level(len(PRIMARY))
    family = Family.together("baseline", arms, (arms - 1) * (max(seeds, FEWEST_SEEDS) - 1), level)
    least = shown_from(source.components, family, seeds, source.songs, level)
    more = None
    if margin is not None:
        more = needed(margin, None, source.components, family, seeds, source.songs, level)
    return Prospect(quantity, setting, arms, seeds, source, margin, least, more)


def _source_of(found: Sequence[Compared], quantity: Quantity, setting: Setting, words: str) -> Source | None:
    for one in found:
        if one.quantity == quantity and one.group[:2] == setting and one.block and one.block.freedom > 0:
            seeds = max(len(row) for row in one.block.values.values())
            mean = one.mean_of(one.arms)
            return Source(_components(one), one.songs, f"{seeds} {words}", mean)
    return None


def _components(one: Compared) -> Components:
    """Components of a typical pair: the mean over all arms against the first."""
    assert one.model and one.block
    if not isinstance(one.model, SongModel):
        return Components(2 * one.block.sigma**2)
    parts = [found.components for found in one.model.against(one.arms[0]).values()]
    return Components(
        *(sum(getattr(part, name) for part in parts) / len(parts) for name in ("seed", "song", "residual"))
    )


class _Others:
    """Finished studies beside a results folder, read when first needed."""

    def __init__(self, folder: Path) -> None:
        tables = [path for path in folder.parent.glob("*/table.parquet") if path.parent != folder]
        self._left = iter(sorted(tables, key=lambda path: -path.stat().st_mtime)[:MOST_STUDIES])
        self._read: list[tuple[str, Sequence[Compared]]] = []

    def source(self, quantity: Quantity, setting: Setting) -> Source | None:
        """The newest study with this metric in this setting, or in this corpus."""
        for same_length in (True, False):
            for name, found in self._all():
                settings = {one.group[:2] for one in found if one.group[0] == setting[0]}
                for other in [setting] if same_length else sorted(settings, key=str):
                    source = _source_of(found, quantity, other, f"seeds of study {name}, L = {other[1]}")
                    if source is not None:
                        return source
        return None

    def _all(self) -> Iterator[tuple[str, Sequence[Compared]]]:
        yield from self._read
        for path in self._left:
            self._read.append((path.parent.name, done_in(path.parent).comparisons))
            yield self._read[-1]


def _assumed(quantity: Quantity) -> Source | None:
    if quantity.spread is None:
        return None
    return Source(Components(2 * quantity.spread**2), 0, "an assumption, no similar seeds are done")


def arms_compared(cells: Iterable[Cell], baseline: str) -> dict[Setting, dict[str, int]]:
    """Setting -> primary metric -> number of arms that are compared in it with the baseline that a report takes where
    the study states the arm `baseline`; 0 where that is not played. Arms that share a training have the same bits, and
    those that draw the same music too one kernel distance (see `Compared.repeats`)."""
    networks: dict[Setting, dict[str, dict[str, str]]] = {}
    for cell in cells:
        if cell.kind != "quality" or "seed" not in cell.labels:
            continue
        training = training_of(replace(cell, settings=cell.settings | {"seed": 0}))
        drawn = canonical_hash([training, cell.settings.get("sample")])
        corpus, length, arm = (cell.labels[name] for name in ("corpus", "length", "arm"))
        played = cell.settings.get("sample_lengths", (length,))
        for metric, network, lengths in ((BITS, training, (length,)), (KERNEL_DISTANCE, drawn, played)):
            for one in lengths:
                at = networks.setdefault((corpus, one), {name: {} for name in PRIMARY})
                at[metric].setdefault(arm, network)  # the first of the values that a sweep may choose
    first = baseline_among([arm for at in networks.values() for arms in at.values() for arm in arms], baseline)
    return {
        setting: {metric: len(set(arms.values())) if first in arms else 0 for metric, arms in at.items()}
        for setting, at in networks.items()
    }


def warnings(arms: Mapping[Setting, Mapping[str, int]], seeds: int) -> list[str]:
    """Why the study as it stands cannot decide its own question; [] where it can."""
    words = []
    if arms and max(count for counts in arms.values() for count in counts.values()) < 2:
        words.append("one arm: nothing is compared")
    elif seeds < FEWEST_SEEDS:
        words.append(f"{'1 seed decides' if seeds == 1 else f'{seeds} seeds decide'} nothing: at least {FEWEST_SEEDS}")
    return words


def done_so_far(done: Done) -> list[tuple[str, ...]]:
    """Verdicts that the finished seeds of a study give: metric, arm, seeds, difference and verdict, as texts."""
    rows: list[tuple[str, ...]] = []
    for one in done.comparisons:
        for arm in one.against(one.baseline(done.baseline)):
            if arm.difference is not None and arm.difference.seeds > 1:
                value = f"{arm.difference.value:+.4f}"
                seeds = str(arm.difference.seeds) if arm.difference.unit == "seed" else "none"
                rows.append((one.quantity.heading, arm.arm, seeds, value, arm.words))
    return rows
