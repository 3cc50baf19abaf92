"""Table of a study that varies the sampler: scores and seconds for each number of network calls."""

from __future__ import annotations

import pandas as pd

from bench.report.analysis.references import CEILING, reference_summary
from bench.report.analysis.samplers import varies_sampler, with_own_settings
from bench.report.rows.summaries import Summaries, quality_summaries, reference_summaries
from bench.report.tables.cost import joined, summary_entry
from bench.report.tables.quality import score_entry, seeds_entry
from bench.report.tables.table import Entry, Table, numbered
from metrics.headlines import SAMPLING
from metrics.quantities import quantity_of


def sampler_tables(frame: pd.DataFrame) -> list[Table]:
    """Sampler by T: network calls, seconds, overlap, entropy, outliers, density, grammar errors; below, the ceiling.

    One table a corpus and length; none where the study does not vary the sampler.
    """
    summaries, references = quality_summaries(frame), reference_summaries(frame)
    if not varies_sampler(summaries):
        return []
    sampled = {(one.corpus, one.length) for one in summaries if one.metric in SAMPLING}
    groups = [
        group for group in summaries.groups(lambda summary: (summary.corpus, summary.length)) if group[0] in sampled
    ]
    tables = []
    for position, ((corpus, length), rows) in enumerate(groups):
        tables.append(_table(rows, references, corpus, length, numbered("samplers", position, len(groups))))
    return tables


def _table(summaries: Summaries, references: Summaries, corpus: str, length: int | None, name: str) -> Table:
    metrics = [metric for metric in SAMPLING if summaries.where(metric=metric)]
    body = []
    groups = summaries.groups(lambda summary: (with_own_settings(summary), summary.sampler, summary.sample_steps))
    for (arm, sampler, steps), rows in groups:
        scores = [score_entry(rows.first(metric=metric), Entry("")) for metric in metrics]
        body.append((Entry(arm), Entry(sampler), Entry(str(steps)), joined(rows, "nfe"), *scores, seeds_entry(rows)))
    ceiling = [reference_summary(references, CEILING, metric, corpus, length) for metric in metrics]
    if any(ceiling):
        body.append((Entry(f"({CEILING})", reference=True), *[Entry("")] * 3, *map(summary_entry, ceiling), Entry("")))
    headings = [quantity_of(metric, _unit(summaries, metric)).heading for metric in metrics]
    title = f"Samplers, mean over seeds (corpus {corpus}, L = {length})"
    notes = (
        "NFE: network calls a piece. Seconds are those of all pieces of a cell together, beside whatever else ran: "
        "compare them with NFE, do not quote them.",
        "Brackets: 95 % Student-t interval over seeds; the ceiling's: 95 % range of redraws of its songs.",
    )
    return Table(name, title, ("arm", "sampler", "T", "NFE", *headings, "seeds"), tuple(body), notes)


def _unit(summaries: Summaries, metric: str) -> str:
    return next((one.unit for one in summaries.where(metric=metric) if one.unit), "")
