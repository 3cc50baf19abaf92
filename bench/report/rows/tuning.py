"""Sweeps of a study as a report reads them: what was tried, what was chosen, what it cost; the two readings."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from bench.report.presentation import NOT_SHOWN
from bench.report.rows.arms import arm_order
from bench.report.rows.frame import OTHER_READING, QUALITY, TUNING, made_once, rows_of
from bench.report.rows.study import planned_cells, study_tune
from bench.study.tuning import FULL, SHARED, Choice, Key, Point, Tried, choose, key_of, shared_point
from metrics.cost.quantities import TRAINING_TIME, VALIDATION_BITS


@dataclass(frozen=True)
class Sweep:
    """The sweep of one arm at a corpus and length; `full`: points repeated with the whole budget."""

    arm: str
    corpus: str
    length: int | None
    choice: Choice
    full: tuple[Tried, ...]
    cell_ids: tuple[str, ...]

    @property
    def setting(self) -> tuple[str, int | None]:
        """Corpus and length."""
        return self.corpus, self.length


def sweeps(frame: pd.DataFrame, folder: Path) -> list[Sweep]:
    """The sweeps of a study, arms in the order of tables; points of which a seed is missing stay out."""
    return made_once(frame, f"sweeps {folder}", lambda: list(_sweeps(frame, folder)))


def _sweeps(frame: pd.DataFrame, folder: Path) -> Iterator[Sweep]:
    labels = planned_cells(folder)
    seeds = len(study_tune(folder).get("seeds", ()))
    rows = rows_of(frame, TUNING)
    rows = rows[rows["metric"] == VALIDATION_BITS]
    order = {arm: place for place, arm in enumerate(arm_order(frame))}
    groups: dict[tuple[str, str, int], list[int]] = {}
    for index, *key in zip(rows.index, rows["corpus"], rows["arm"], rows["length"], strict=True):
        groups.setdefault((str(key[0]), str(key[1]), int(key[2])), []).append(index)
    for corpus, arm, length in sorted(groups, key=lambda key: order.get(key[1], 0)):
        found = rows.loc[groups[corpus, arm, length]]
        tried = {role: _tried(part, labels) for role, part in found.groupby(found["reading"] == FULL)}
        whole = [one for one in tried.get(False, []) if len(one.bits) == seeds]
        if whole:
            cells = tuple(dict.fromkeys(found["cell_id"]))
            yield Sweep(arm, corpus, length, choose(whole), tuple(tried.get(True, [])), cells)


def _tried(rows: pd.DataFrame, labels: dict[str, dict[str, Any]]) -> list[Tried]:
    """The points behind these rows, each with the figures of its seeds."""
    points: dict[Key, Point] = {}
    bits: dict[Key, list[float]] = {}
    reasons: dict[Key, str] = {}
    for row in rows.sort_values("seed", kind="stable").itertuples():
        point = labels.get(str(row.cell_id), {}).get("point")
        if not isinstance(point, dict):
            continue
        key = key_of(point)
        points[key] = point
        value = float(row.value)  # type: ignore[arg-type]
        bits.setdefault(key, []).append(math.inf if math.isnan(value) else value)
        reasons[key] = reasons.get(key, "") or str(row.reason)
    return [Tried(points[key], tuple(bits[key]), reasons[key]) for key in points]


def shared_of(found: list[Sweep]) -> Point | None:
    """The point with the lowest mean over these arms."""
    return shared_point(sweep.choice for sweep in found)


def own_words(frame: pd.DataFrame) -> str:
    """The values at which each arm of the quality rows ran: `smdim lr 0.002; mamba lr 0.004`; "" without a sweep."""
    rows = rows_of(frame, QUALITY)[["arm", "tuned"]].drop_duplicates()
    words: dict[str, list[str]] = {}
    for arm, tuned in zip(rows["arm"], rows["tuned"], strict=True):
        if tuned:
            words.setdefault(str(arm), []).append(str(tuned))
    return "; ".join(f"{arm} {' / '.join(words[arm])}" for arm in arm_order(frame) if words.get(arm))


def shared_reading(frame: pd.DataFrame) -> pd.DataFrame | None:
    """The frame in which every arm runs at the values shared by all, in place of its own; None without such rows."""
    if not (frame["kind"] == OTHER_READING).any():
        return None

    def make() -> pd.DataFrame:
        kind = frame["kind"].str.removeprefix(NOT_SHOWN)  # arms that are not shown stay in the models of this reading
        own_alone = (kind == QUALITY) & (frame["tuned"] != "") & ~frame["reading"].str.contains(SHARED)
        kept = frame[~own_alone].copy()
        kept["kind"] = kept["kind"].replace({OTHER_READING: QUALITY, NOT_SHOWN + OTHER_READING: NOT_SHOWN + QUALITY})
        return kept.reset_index(drop=True)

    return made_once(frame, "shared reading", make)


@dataclass(frozen=True)
class TrainingCost:
    """Trainings of one part of a study: cells, steps and seconds."""

    cells: int
    steps: int
    seconds: float


def training_cost(frame: pd.DataFrame, *kinds: str) -> TrainingCost:
    """Cost of all trainings of these kinds of cell."""
    rows = frame[frame["kind"].isin(kinds) & (frame["metric"] == TRAINING_TIME)]
    return TrainingCost(rows["cell_id"].nunique(), int(rows["train_steps"].fillna(0).sum()), float(rows["value"].sum()))
