"""The content of a report, gathered once: the same tables, figures and words go into report.md and report.html."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from pathlib import Path

import pandas as pd

from bench.report.analysis.samplers import most_calls
from bench.report.claims.beside import beside_table, figures_beside
from bench.report.claims.paper import PAPERS_FOLDER, load_paper
from bench.report.claims.verdict import NOT_COMPARABLE, claims_table, figures_table, fixed_before, judge, save_verdicts
from bench.report.figures import FIGURES
from bench.report.figures.data import figure_csv
from bench.report.figures.style import DOUBLE_COLUMN_IN, NothingToShow, render
from bench.report.pages.sentences import in_short
from bench.report.presentation import PLAIN, NumberStyle, Presentation
from bench.report.rows.frame import FAILURE_COLUMNS, TUNING, failures
from bench.report.rows.study import baseline_arm, kernels_together
from bench.report.tables.ablation import ablation_tables
from bench.report.tables.audit import audit_tables
from bench.report.tables.comparisons import comparison_tables, rank_tables
from bench.report.tables.cost import cost_tables
from bench.report.tables.growth import growth_tables, scaling_table
from bench.report.tables.quality import detail_tables, quality_tables
from bench.report.tables.samplers import sampler_tables
from bench.report.tables.table import Table
from bench.report.tables.tuning import shared_tables, tuning_tables, with_values

NOTHING_IN_SHORT = "Nothing here can be said in a sentence; see the tables."
NO_FAILURES = "None: every row has its figure."


class Section(StrEnum):
    """Headings over the tables of a report."""

    QUALITY = "Quality"
    TUNING = "Tuning"
    SHARED = "Quality with every arm at the shared values"
    COST = "Cost"
    ABLATION = "Ablation"
    CLAIMS = "Claims"
    DETAILS = "All metrics"


@dataclass(frozen=True)
class Content:
    """A study's report before it is written down: tables by section, PNG files and their data as CSV by name of the
    figure, notes on figures that could not be drawn."""

    frame: pd.DataFrame
    folder: Path
    baseline: str
    tables: dict[str, list[Table]]
    figures: dict[str, bytes]
    notes: list[str]
    data: Mapping[str, str] = field(default_factory=dict)
    presentation: Presentation = PLAIN
    together: bool = False
    """Whether costs of different kernels are ranked against each other, marked."""

    def all_tables(self) -> list[Table]:
        """The tables of every section."""
        return [table for tables in self.tables.values() for table in tables]

    @cached_property
    def in_short(self) -> list[str]:
        """The result in a few sentences."""
        return in_short(self.frame, self.baseline, self.folder, together=self.together)


def gather(frame: pd.DataFrame, folder: Path, *, force: bool = False, presentation: Presentation = PLAIN) -> Content:
    """Tables, figures and notes of a study; claims are judged, and their verdicts saved beside the results. `force`
    ranks costs of different kernels, marked, as a study may ask for too."""
    baseline, together = baseline_arm(folder, frame), force or kernels_together(folder)
    drawn, notes = draw_all(frame, folder, presentation)
    figures, data = {name: png for name, (png, _) in drawn.items()}, {name: csv for name, (_, csv) in drawn.items()}
    tables = report_tables(frame, folder, baseline, force=together)
    if presentation.numbers != NumberStyle():
        tables = {name: [one.written(presentation.numbers) for one in section] for name, section in tables.items()}
    return Content(frame, folder, baseline, tables, figures, notes, data, presentation, together)


def report_tables(frame: pd.DataFrame, folder: Path, baseline: str, *, force: bool = False) -> dict[str, list[Table]]:
    """Every table of a report by its section; where samplers vary, one table of them instead of one for each, and
    their differences from the one with the most network calls."""
    sampling = sampler_tables(frame)

    def quality(rows: pd.DataFrame) -> list[Table]:
        return [
            *(sampler_tables(rows) or quality_tables(rows, folder)),
            *comparison_tables(rows, most_calls(rows) if sampling else baseline, folder),
            *([] if sampling else rank_tables(rows, folder)),
        ]

    return {
        Section.QUALITY: with_values(quality(frame), frame, folder),
        Section.TUNING: tuning_tables(frame, folder),
        Section.SHARED: shared_tables(frame, folder, quality),
        Section.COST: [
            *cost_tables(frame, folder, force=force),
            *scaling_table(frame, folder, baseline),
            *audit_tables(frame, folder, baseline),
            *growth_tables(frame, folder),
        ],
        Section.ABLATION: with_values(ablation_tables(frame, folder), frame, folder),
        Section.CLAIMS: claims_tables(frame, folder),
        Section.DETAILS: [] if sampling else with_values(detail_tables(frame), frame, folder),
    }


def all_tables(frame: pd.DataFrame, folder: Path) -> list[Table]:
    """Every table of a report, without drawing anything."""
    sections = report_tables(frame, folder, baseline_arm(folder, frame), force=kernels_together(folder))
    return [table for tables in sections.values() for table in tables]


def failures_table(frame: pd.DataFrame) -> Table:
    """Rows without a figure, by status and reason."""
    return Table.of_words("failures", "Without a figure", FAILURE_COLUMNS, failures(frame))


def claims_tables(frame: pd.DataFrame, folder: Path) -> list[Table]:
    """The claims of every shipped paper of which this study measures at least one, and the paper's published
    figures."""
    tables = []
    for path in sorted(PAPERS_FOLDER.glob("*.yaml")):
        paper = load_paper(path.stem)
        judged = judge(paper, frame, folder)
        if any(one.verdict != NOT_COMPARABLE for one in judged):
            save_verdicts(folder, paper, judged)
            table = claims_table(paper, judged)
            tables += [replace(table, notes=(fixed_before(folder, paper), *table.notes)), figures_table(paper)]
        if beside := list(figures_beside(paper, frame, folder)):
            tables.append(beside_table(paper, beside))
    return tables


def draw_all(
    frame: pd.DataFrame, folder: Path, presentation: Presentation = PLAIN
) -> tuple[dict[str, tuple[bytes, str]], list[str]]:
    """The PNG file and the data (CSV) of every figure that the table has rows for, and a sentence for each of the
    others; one for all that need a kind of cell which the study does not have."""
    drawn: dict[str, tuple[bytes, str]] = {}
    notes = []
    kinds = set(frame["kind"])
    lacking = [one.name for one in FIGURES.values() if one.needs not in kinds | {TUNING}]
    if lacking:
        notes.append(f"Not drawn, for the study has no such cells: {', '.join(lacking)}.")
    for figure in (one for one in FIGURES.values() if one.needs in kinds):
        try:
            shown = figure.draw(frame, folder, DOUBLE_COLUMN_IN, presentation)
            drawn[figure.name] = (render(shown), figure_csv(shown))
        except NothingToShow as error:
            notes.append(f"Not drawn: {error}.")
    return drawn, notes
