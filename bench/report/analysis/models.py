"""Models behind comparisons, fitted to the figures of seeds, and to the windows of songs where the cells hold them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from bench.report.analysis.references import CEILING, reference_summary
from bench.report.rows.summaries import Summaries, Summary
from bench.store.vectors import is_test_window, read_vectors
from metrics.quantities import quantity_of
from metrics.statistics.blocks import BlockModel
from metrics.statistics.differences import Difference
from metrics.statistics.songs import SongModel, SongTotals, song_totals

BITS_PER_NAT = 1 / math.log(2)
Cells = Mapping[tuple[str, int], Path]
"""Arm and seed -> folder of a cell."""


def cells_of(summaries: Summaries, folder: Path) -> Cells:
    """Arm and seed -> folder of the cell behind that figure."""
    return {
        (summary.arm, seed): folder / cell
        for summary in summaries
        if len(summary.cell_ids) == len(summary.seeds)
        for seed, value, cell in zip(summary.seeds, summary.values, summary.cell_ids, strict=True)
        if seed is not None and math.isfinite(value)
    }


def by_seed(summary: Summary) -> dict[int, float]:
    """The figures of a summary by their seed; rows without a seed cannot be paired and stay out."""
    pairs = zip(summary.seeds, summary.values, strict=True)
    return {seed: value for seed, value in pairs if seed is not None and math.isfinite(value)}


def over_seeds(first: Mapping[int, float], second: Mapping[int, float]) -> Difference | None:
    """first - second over the seeds that both have; None where there is none."""
    shared = sorted(first.keys() & second.keys())
    if not shared:
        return None
    sides = {"first": {seed: first[seed] for seed in shared}, "second": {seed: second[seed] for seed in shared}}
    return BlockModel.fit(sides).against("second")["first"]


def scores(summaries: Summaries, references: Summaries) -> dict[str, dict[int, float]]:
    """Arm -> seed -> figure, for summaries of one metric; for a metric that is best near real music the distance to
    the ceiling row.

    Arms stay out where they have no figure of a seed, where that row is missing and where no way is better.
    """
    found: dict[str, dict[int, float]] = {}
    for summary in summaries:
        quantity, mine = quantity_of(summary.metric), by_seed(summary)
        if quantity.better == "none":
            continue
        if quantity.better == "nearest":
            ceiling = reference_summary(references, CEILING, summary.metric, summary.corpus, summary.length)
            held_out = math.nan if ceiling is None else ceiling.value
            mine = {seed: quantity.loss(value, held_out) for seed, value in mine.items()}
        found |= {summary.arm: mine} if any(map(math.isfinite, mine.values())) else {}
    return found


def song_model(cells: Cells) -> tuple[SongModel | None, str]:
    """Seeds and songs of bits/token from the windows that the cells hold; None, and what is missing, without them."""
    totals: dict[str, dict[int, dict[str, tuple[float, float]]]] = {}
    lacking = 0
    for (arm, seed), cell in cells.items():
        found = _totals_of(cell)
        lacking += not found
        totals.setdefault(arm, {})[seed] = found
    if lacking or not cells:
        words = f"{lacking} of {len(cells)} cells hold no windows of bits/token (results of an earlier version)"
        return None, f"{words}: songs are taken as fixed, the verdict is about these songs alone"
    return _fitted(totals)


def _fitted(totals: SongTotals) -> tuple[SongModel | None, str]:
    try:
        model = SongModel.fit(totals, BITS_PER_NAT)
    except ValueError as error:
        return None, f"{error}: songs are taken as fixed"
    return model, ""


def _totals_of(cell: Path) -> dict[str, tuple[float, float]]:
    """Nats and tokens of the held-out windows of a cell by song; {} where it holds none."""
    vectors = read_vectors(cell)
    if vectors is None:
        return {}
    rows = vectors[is_test_window(vectors)]
    return song_totals(list(rows["song"]), list(rows["value"]), list(rows["tokens"]))
