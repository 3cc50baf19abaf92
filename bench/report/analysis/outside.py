"""Arms that no seed repeats, such as another system's music, compared over the songs of their pieces."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Sized
from pathlib import Path

from bench.report.rows.summaries import Summaries, Summary
from bench.store.vectors import WITHOUT, read_vectors
from metrics.music.resample import MOST_GROUPS
from metrics.statistics.differences import Difference
from metrics.statistics.sets import SetFigure, set_difference
from metrics.statistics.simultaneous import Family

NO_SONGS = "its cells hold no figure without single songs (a table alone, or results of an earlier version)"
Figures = Mapping[str, Sequence[SetFigure]]
"""Arm -> its figure, one per seed of a trained arm."""


def is_outside(summary: Summary) -> bool:
    """Whether no seed repeats the arm: the music of another system."""
    return all(seed is None for seed in summary.seeds)


def set_figures(summaries: Summaries, folder: Path) -> Figures:
    """The figures of each arm of `summaries`, of one metric in one setting, where an arm among them is outside."""
    if not any(map(is_outside, summaries)):
        return {}
    return {
        summary.arm: [
            _figure(summary, place, folder) for place, value in enumerate(summary.values) if math.isfinite(value)
        ]
        for summary in summaries
    }


def _figure(summary: Summary, place: int, folder: Path) -> SetFigure:
    value = summary.values[place]
    if summary.seeds[place] is not None and summary.done == 1:
        return SetFigure(value, reason="1 seed")
    vectors = read_vectors(folder / summary.cell_ids[place]) if len(summary.cell_ids) == len(summary.values) else None
    if vectors is None:
        return SetFigure(value, reason=NO_SONGS)
    mine = vectors[(vectors["metric"] == summary.metric) & (vectors["length"] == summary.length)]
    sides = (mine[mine["side"] == side].sort_values("piece")["value"].to_numpy() for side in WITHOUT)
    found = tuple(values for values in sides if len(values))
    return SetFigure(value, found, "" if found else NO_SONGS, _songs(summary, found))


def _songs(summary: Summary, without: Sequence[Sized]) -> int:
    """Songs of the smaller side: as many as its figures, or those of the pieces where both sides are in groups, since
    a table does not hold the songs of the reference."""
    grouped = min(map(len, without), default=0) == MOST_GROUPS
    return int(summary.songs) if grouped and summary.songs.isdigit() else 0


def outside_difference(
    figures: Figures, arm: str, baseline: str, comparisons: int, level: float
) -> tuple[Difference | None, str]:
    """arm - baseline as one of `comparisons` such differences (Bonferroni); None and the reason where it has none."""
    sides = [figures.get(name, ()) for name in (arm, baseline)]
    if not all(sides):
        return None, "not repeated over seeds"
    family = Family("chosen", 2, 1 / comparisons)
    found = set_difference(sides[0], sides[1], (arm, baseline), family, level)
    return (None, found.interval.reason) if found.interval.reason else (found, "")
