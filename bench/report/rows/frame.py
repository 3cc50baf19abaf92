"""The result table as a report reads it: its rows by kind, and its failures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

import pandas as pd

from bench.errors import UserError
from bench.report.presentation import (
    AXES,
    PLAIN,
    STUDY_ARM,
    Presentation,
    is_presented,
    presentation_of,
    presented,
    shown_rows,
)
from bench.store.columns import COLUMNS, NEEDED, SCHEMA, typed
from bench.study.tuning import SHARED
from bench.versions import number_of
from metrics.cost.quantities import BITS_PER_BEAT, BITS_PER_NOTE, STATE_DEPENDENT_BITS

EFFICIENCY, QUALITY, REFERENCE, TUNING = "efficiency", "quality", "reference", "tuning"
OTHER_READING = "quality, shared values"
"""Kind of quality rows that were run at the values shared by all arms alone: they stand in a reading of their own."""
Row = dict[str, Any]
TEST_SIDE_SINCE = 4
"""Version of the metrics since which likelihoods are of the test side."""
OTHER_SIDE = f"of the validation side in versions before metrics{TEST_SIDE_SINCE}: not mixed with the test side"


Made = TypeVar("Made")
_kept: ContextVar[dict[tuple[int, str], tuple[pd.DataFrame, Any]] | None] = ContextVar("kept", default=None)


@contextmanager
def summaries_kept() -> Iterator[None]:
    """Until the block ends the summaries of a frame, and what `made_once` makes of it, are made once; it must not be
    changed meanwhile. Within another such block it is that one's.

    Every table and figure of a report uses the same ones; making them again took most of the time of a large study.
    """
    if _kept.get() is not None:
        yield
        return
    token = _kept.set({})
    try:
        yield
    finally:
        _kept.reset(token)


def made_once(frame: pd.DataFrame, name: str, make: Callable[[], Made]) -> Made:
    """What `make` returns for this frame under this name; within `summaries_kept` it is called once."""
    kept = _kept.get()
    if kept is None:
        return make()
    if (id(frame), name) not in kept:  # the frame is held too, so that its id stays its own
        kept[id(frame), name] = (frame, make())
    made: Made = kept[id(frame), name][1]
    return made


def as_frame(table: Any, presentation: Presentation | None = None) -> pd.DataFrame:
    """The rows of a ResultTable (anything with a `.frame`) or of a frame, with every column of the schema, typed, and
    with its arms as the presentation has them; without one as the `study.json` beside a ResultTable records it.

    A missing optional column becomes empty, so that a table of an older version still gives a partial report. A frame
    that was made so before keeps its presentation. Raises UserError where a column of NEEDED is missing.
    """
    frame = table if isinstance(table, pd.DataFrame) else table.frame
    if is_presented(frame):
        return frame
    folder = getattr(table, "folder", None)
    how = presentation or (presentation_of(folder) if folder else PLAIN)
    missing = [name for name in NEEDED if name not in frame.columns]
    if missing:
        raise UserError(f"result table: no column {', '.join(missing)}; needed are {', '.join(NEEDED)}")
    return made_once(
        frame, f"typed {how}", lambda: presented(_one_side(_own_reading(typed(frame).reset_index(drop=True))), how)
    )


def _own_reading(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame in which rows of a study that tunes are of kind quality only where each arm runs at its own values."""
    frame.loc[(frame["kind"] == QUALITY) & (frame["reading"] == SHARED), "kind"] = OTHER_READING
    return frame


def of_validation_side(version: str) -> bool:
    """Whether the likelihoods of rows of this version are of the validation side: since metrics4 they are of the test
    side, under names of their own or the same."""
    return (number_of("metrics", version) or TEST_SIDE_SINCE) < TEST_SIDE_SINCE


def _one_side(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with the likelihoods of older versions that share a name with those of the test side left out, with
    the reason."""
    older = frame["version"].map({version: of_validation_side(version) for version in frame["version"].unique()})
    chosen = older.astype(bool) & frame["metric"].isin((BITS_PER_NOTE, BITS_PER_BEAT, STATE_DEPENDENT_BITS))
    if chosen.any():
        frame.loc[chosen, ["value", "low", "high"]] = float("nan")
        frame.loc[chosen, "reason"] = OTHER_SIDE
    return frame


def rows_of(frame: pd.DataFrame, kind: str) -> pd.DataFrame:
    """The rows of one kind of cell: "efficiency", "quality" or "reference"."""
    return frame[frame["kind"] == kind]


def records(frame: pd.DataFrame, kind: str) -> Iterator[Row]:
    """The rows of one kind as dictionaries of plain Python values, with the study's name of an arm that has a label; a
    whole number that is missing is None."""
    rows = rows_of(frame, kind)
    columns: dict[str, list[Any]] = {}
    for name in COLUMNS:
        column = rows[name].astype(object)
        columns[name] = list(column.where(column.notna(), None)) if SCHEMA[name].type is int else list(column)
    for name in (STUDY_ARM, AXES):
        columns[name] = list(rows[name].fillna("")) if name in rows.columns else [""] * len(rows)
    for values in zip(*columns.values(), strict=True):
        yield dict(zip(columns, values, strict=True))


MOST_NAMED = 4
FAILURE_COLUMNS = ("arms", "status", "reason", "without a figure", "cells")


def failures(frame: pd.DataFrame) -> list[tuple[str, str, str, str, str]]:
    """Missing figures with their reasons, one row per status and reason: arms with lengths, status, reason, metrics,
    cells (the first three by name). Cells that ended badly come before figures that finished cells could not give.
    """
    frame = shown_rows(frame)
    missing = frame[frame["value"].isna()].sort_values("status", key=lambda column: column == "done", kind="stable")
    found = []
    everyone = set(frame.loc[frame["kind"] != REFERENCE, "arm"])
    for (status, reason), rows in missing.groupby(["status", "reason"], sort=False):
        cells = rows["cell_id"].unique()
        shown = ", ".join(cells[:3]) + (f" and {len(cells) - 3} more" if len(cells) > 3 else "")
        lengths = sorted(rows["length"].dropna().unique())
        at = f" (L = {', '.join(map(str, lengths))})" if lengths else ""
        found.append(
            (
                _arms_named(list(rows["arm"].unique()), everyone) + at,
                str(status) or "n/a",
                str(reason) or "no reason recorded",
                ", ".join(rows["metric"].unique()),
                shown,
            )
        )
    return found


def _arms_named(names: Sequence[str], everyone: set[str]) -> str:
    """Arms by name; "all n arms" where they are many and all."""
    if len(names) > MOST_NAMED and set(names) == everyone:
        return f"all {len(names)} arms"
    return ", ".join(names)


def study_name(frame: pd.DataFrame, default: str = "study") -> str:
    """The study's name as its rows give it."""
    names = [name for name in frame["study"].unique() if name]
    return names[0] if names else default
