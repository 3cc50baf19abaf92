"""Table of a study that varies the sampler: what each number of network calls costs and gives."""

from __future__ import annotations

import math
from dataclasses import replace

import pandas as pd

from bench.report.analysis.aggregate import reference_point
from bench.report.analysis.samplers import CEILING, base_arm, network_calls, varies_sampler
from bench.report.rows.points import Point, Points, quality_points, reference_points
from bench.report.tables.cost_table import joined, point_entry
from bench.report.tables.numbers import number
from bench.report.tables.quality_table import seeds_entry
from bench.report.tables.table import Entry, Table
from metrics.headlines import SAMPLING
from metrics.music.attribute import OA_MEAN
from metrics.quantities import quantity_of


def sampler_tables(frame: pd.DataFrame) -> list[Table]:
    """Sampler by T: network calls, seconds, overlap, entropy, outliers, density, grammar errors; below, the ceiling.

    One table a corpus and length; none where the study does not vary the sampler.
    """
    points, references = quality_points(frame), reference_points(frame)
    if not varies_sampler(points):
        return []
    sampled = {(point.corpus, point.length) for point in points if point.metric in SAMPLING}
    groups = [group for group in points.groups(lambda point: (point.corpus, point.length)) if group[0] in sampled]
    tables = []
    for position, ((corpus, length), rows) in enumerate(groups):
        name = "samplers" + (f"_{position + 1}" if len(groups) > 1 else "")
        tables.append(_table(rows, references, corpus, length, name))
    return tables


def sampler_sentences(frame: pd.DataFrame) -> list[str]:
    """OA mean with the most network calls, and the fewest calls whose mean lies within its interval over seeds; one
    sentence a corpus and length, none where the study does not vary the sampler."""
    points = quality_points(frame)
    if not varies_sampler(points):
        return []
    words = []
    rows = Points(point for point in points.where(metric=OA_MEAN).measured() if network_calls(point))
    for (corpus, length), group in rows.groups(lambda point: (point.corpus, point.length)):
        by_calls = sorted(group, key=lambda point: network_calls(point) or 0.0)
        most = by_calls[-1]
        text = f"OA mean at {length} tokens of {corpus}: {_drawn(most)}"
        if most.interval == "seeds" and most.has_interval:
            fewest = next(point for point in by_calls if most.low <= point.value <= most.high)
            text += (
                f" [{number(most.low)}, {number(most.high)}]; the fewest calls within that interval: {_drawn(fewest)}"
            )
        words.append(text + ".")
    return words


def _drawn(point: Point) -> str:
    calls = network_calls(point) or math.nan
    return f"{number(point.value)} with {calls:.0f} calls ({point.sampler}, T = {point.sample_steps})"


def _table(points: Points, references: Points, corpus: str, length: int | None, name: str) -> Table:
    metrics = [metric for metric in SAMPLING if points.where(metric=metric)]
    body = []
    groups = points.groups(lambda point: (base_arm(point), point.sampler, point.sample_steps))
    for (arm, sampler, steps), rows in groups:
        scores = [_score(rows.first(metric=metric)) for metric in metrics]
        body.append((Entry(arm), Entry(sampler), Entry(str(steps)), joined(rows, "nfe"), *scores, seeds_entry(rows)))
    ceiling = [reference_point(references, CEILING, metric, corpus, length) for metric in metrics]
    if any(ceiling):
        body.append((Entry(f"({CEILING})"), *[Entry("")] * 3, *map(point_entry, ceiling), Entry("")))
    columns = (
        "arm",
        "sampler",
        "T",
        "NFE",
        *(quantity_of(metric, _unit(points, metric)).heading for metric in metrics),
    )
    title = f"Samplers, mean over seeds (corpus {corpus}, L = {length})"
    notes = (
        "NFE: network calls a piece. Seconds are those of all pieces of a cell together, beside whatever else ran: "
        "compare them with NFE, do not quote them.",
        "Brackets: 95 % Student-t interval over seeds; the ceiling's is over pieces.",
    )
    return Table(name, title, (*columns, "seeds"), tuple(body), notes)


def _score(point: Point | None) -> Entry:
    """A score with its interval over seeds; that within one cell stays out."""
    if point is not None and point.interval != "seeds":
        point = replace(point, low=math.nan, high=math.nan)
    return point_entry(point)


def _unit(points: Points, metric: str) -> str:
    return next((point.unit for point in points.where(metric=metric) if point.unit), "")
