"""Published absolute figures beside what a study measured: shown with ceiling and floors, never compared by a test."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from bench.report.analysis.references import reference_summary
from bench.report.claims.paper import Paper, PublishedFigure
from bench.report.rows.arms import reference_order
from bench.report.rows.study import study_tokenizer
from bench.report.rows.summaries import Summary, group_words, quality_group, quality_summaries, reference_summaries
from bench.report.tables.numbers import number, with_interval
from bench.report.tables.table import Entry, Table
from metrics.music.table import CEILING


@dataclass(frozen=True)
class Beside:
    """A published figure, an arm's measured one, and the reference rows of the same metric: ceiling first, then
    floors."""

    figure: PublishedFigure
    measured: Summary
    references: tuple[Summary, ...]
    tokenizer: str

    @property
    def words(self) -> dict[str, str]:
        """What is shown of it, by name."""
        one, known = self.measured, {row.arm: row for row in self.references}
        ceiling = known.pop(CEILING, None)
        seeds = f", {len(one.seeds)} seeds" if len(one.seeds) > 1 else ""
        return {
            "published": f"{number(self.figure.value)} ({self.figure.source}); {self.figure.setting}",
            "measured": f"{one.arm}: {with_interval(one.value, one.low, one.high)}",
            "n": f"{one.n} pieces a seed{seeds}" + (f"; {ceiling.n} real pieces" if ceiling else ""),
            "ceiling": f"{CEILING} {with_interval(ceiling.value, ceiling.low, ceiling.high)}" if ceiling else "",
            "floors": ", ".join(f"{name} {number(row.value)}" for name, row in known.items()),
            "where": f"{group_words(quality_group(one))}, tokenizer {self.tokenizer}",
        }


def figures_beside(paper: Paper, frame: pd.DataFrame, folder: Path) -> Iterator[Beside]:
    """Every published figure for which the study measured the same metric on its corpus, in tokens of its kind."""
    quality, references = quality_summaries(frame), reference_summaries(frame)
    tokenizer = study_tokenizer(folder)
    for figure in paper.figures:
        if not figure.metric or not figure.corpus or (figure.tokenizer and figure.tokenizer != tokenizer):
            continue
        for one in quality.where(metric=figure.metric, corpus=figure.corpus).measured():
            rows = (
                reference_summary(references, arm, figure.metric, one.corpus, one.length)
                for arm in reference_order(references)
            )
            yield Beside(figure, one, tuple(row for row in rows if row is not None), tokenizer)


def beside_table(paper: Paper, found: list[Beside]) -> Table:
    """One row a published figure and arm that measured it."""
    columns = ("figure", "published", "measured", "n", "ceiling", "floors", "where")
    rows = []
    for one in found:
        cells, words = one.measured.cell_ids, one.words
        shown = Entry.figure(one.measured.value, one.measured.low, one.measured.high, cell_ids=cells)
        known = {"measured": shown, "published": Entry(number(one.figure.value), one.figure.value)}
        rows.append(
            (Entry(f"{one.figure.what}: {one.measured.arm}"), *(known.get(c, Entry(words[c])) for c in columns[1:]))
        )
    notes = [
        "Shown beside each other, compared by no test: definition, n and sizes behind the published figures are not "
        "known to us.",
        *dict.fromkeys(f"{one.figure.what}, {number(one.figure.value)}: {one.figure.setting}" for one in found),
    ]
    return Table(
        f"beside_{paper.name}", f"Figures of {paper.title}, and those of this study", columns, tuple(rows), tuple(notes)
    )
