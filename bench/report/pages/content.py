"""The content of a report, gathered once: the same tables, figures and words go into report.md and report.html."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from pathlib import Path

import pandas as pd

from bench.report.analysis.samplers import most_calls, varies_sampler, varies_sampler_alone
from bench.report.claims.beside import beside_table, figures_beside
from bench.report.claims.paper import PAPERS_FOLDER, load_paper
from bench.report.claims.verdict import NOT_COMPARABLE, claims_table, figures_table, fixed_before, judge, save_verdicts
from bench.report.figures import FIGURES
from bench.report.figures.data import figure_csv
from bench.report.figures.style import DOUBLE_COLUMN_IN, NothingToShow, render
from bench.report.pages.answers import Answer, answers
from bench.report.pages.sentences import failure_sentence, in_short
from bench.report.presentation import PLAIN, NumberStyle, Presentation, presentation_of
from bench.report.rows.arms import arm_order
from bench.report.rows.frame import FAILURE_COLUMNS, TUNING, failures
from bench.report.rows.pieces import Piece, samples_by_arm
from bench.report.rows.study import baseline_arm, kernels_together
from bench.report.rows.summaries import quality_summaries
from bench.report.tables.ablation import ablation_tables
from bench.report.tables.audit import audit_tables
from bench.report.tables.comparisons import comparison_tables, rank_tables
from bench.report.tables.cost import cost_tables
from bench.report.tables.efficiency import efficiency_lengths, efficiency_tables
from bench.report.tables.frontier import frontier_tables
from bench.report.tables.growth import growth_tables, scaling_table
from bench.report.tables.quality import detail_tables, quality_tables
from bench.report.tables.samplers import sampler_tables
from bench.report.tables.summary import shown_summary
from bench.report.tables.table import Table
from bench.report.tables.tuning import shared_tables, tuning_tables, with_values

NOTHING_IN_SHORT = "Nothing here can be said in a sentence; see the tables."
NO_FAILURES = "None: every row has its figure."


class Section(StrEnum):
    """Parts of a report below its answer, summary, first figures and samples, in their order; each is a fold."""

    VERDICTS = "Verdicts"
    QUALITY = "Quality"
    SHARED = "Quality with every arm at the shared values"
    TUNING = "Tuning"
    COST = "Cost"
    ABLATION = "Ablation"
    FIGURES = "Figures"
    SAMPLES = "More samples"
    CLAIMS = "Claims"
    RUN = "What was run"
    READ = "How to read this"
    CAVEATS = "Caveats"
    FAILURES = "Failures"
    DETAILS = "All metrics"
    CONFIGURATION = "Configuration"


PURPOSES = {
    Section.VERDICTS: "every comparison with its interval, and what would decide an open one",
    Section.QUALITY: "every score beside real music and floors, differences from the baseline, ranks",
    Section.SHARED: "the same with one learning rate for all arms, where each arm was tuned",
    Section.TUNING: "which values were tried, what they cost, which were chosen",
    Section.COST: "each cost at each length, ratios with a verdict, growth with length, checks of the counts",
    Section.ABLATION: "which property of the arms goes with a better score",
    Section.FIGURES: "learning curves, shares of a step, drift along a piece and the like",
    Section.SAMPLES: "further pieces of every arm to play",
    Section.CLAIMS: "published claims, checked against this study",
    Section.RUN: "device, kernels, sizes, seeds and versions",
    Section.READ: "what brackets, bold figures and verdicts mean",
    Section.CAVEATS: "what to say beside a figure that is quoted",
    Section.FAILURES: "what has no figure, and why",
    Section.DETAILS: "every metric of every arm, for looking one up",
    Section.CONFIGURATION: "settings and environment of every cell, for running it again",
}
"""Section -> what it is for, in a line."""
SUMMARY, PAPER = "Summary", "Paper"
"""Tables above the folds, and those that are written for papers alone."""
FIRST_FIGURES = ("cost", "pareto")
"""Figures above the folds: one of cost, one of quality against cost."""
FIRST_SAMPLES, SAMPLES_EACH, MOST_ARMS_PLAYED = 3, 2, 24
"""Samples above the folds, samples of an arm in all, and arms of which any are played."""


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
    together: bool = False
    """Whether costs of different kernels are ranked against each other, marked."""

    @property
    def summary(self) -> list[Table]:
        """The tables above the folds."""
        return self.tables.get(SUMMARY, [])

    def tables_of(self, section: Section) -> list[Table]:
        """The tables in a fold; the one for papers opens those of cost."""
        return [*(self.tables.get(PAPER, []) if section == Section.COST else []), *self.tables.get(section, [])]

    @property
    def first_figures(self) -> list[str]:
        """Names of the figures above the folds that were drawn."""
        return [name for name in FIRST_FIGURES if name in self.figures]

    @property
    def further_figures(self) -> list[str]:
        """Names of the other figures."""
        return [name for name in self.figures if name not in FIRST_FIGURES]

    @cached_property
    def in_short(self) -> list[str]:
        """The result in a few sentences."""
        return in_short(self.frame, self.baseline, self.folder, together=self.together)

    @cached_property
    def answers(self) -> list[Answer]:
        """The question of the study, answered."""
        return answers(self.frame, self.baseline, self.folder, together=self.together)

    @cached_property
    def played(self) -> dict[str, list[Piece]]:
        """Samples by arm, of very many arms the first ones."""
        return samples_by_arm(self.frame, self.folder, self.arms[:MOST_ARMS_PLAYED], each=SAMPLES_EACH)

    @property
    def first_played(self) -> list[tuple[str, Piece]]:
        """The samples above the folds with their arm, the baseline's among them: of one arm each while there are
        enough arms."""
        arms = [arm for arm in self.played if arm != self.baseline]
        arms = arms[: FIRST_SAMPLES - (self.baseline in self.played)]
        shown = [arm for arm in self.played if arm in (*arms, self.baseline)]
        turns = [
            (arm, self.played[arm][turn])
            for turn in range(SAMPLES_EACH)
            for arm in shown
            if turn < len(self.played[arm])
        ]
        return turns[:FIRST_SAMPLES]

    @cached_property
    def arms(self) -> list[str]:
        """Arms in the order of every table."""
        return arm_order(self.frame)

    @cached_property
    def caution(self) -> str:
        """How many cells gave no figure; "" where all did."""
        return failure_sentence(self.frame)


def gather(frame: pd.DataFrame, folder: Path, *, force: bool = False, presentation: Presentation = PLAIN) -> Content:
    """Tables, figures and notes of a study; claims are judged, and their verdicts saved beside the results. `force`
    ranks costs of different kernels, marked, as a study may ask for too."""
    baseline, together = baseline_arm(folder, frame), force or kernels_together(folder)
    drawn, notes = draw_all(frame, folder, presentation)
    figures, data = {name: png for name, (png, _) in drawn.items()}, {name: csv for name, (_, csv) in drawn.items()}
    tables = report_tables(frame, folder, baseline, force=together, presentation=presentation)
    return Content(frame, folder, baseline, tables, figures, notes, data, together)


def report_tables(
    frame: pd.DataFrame, folder: Path, baseline: str, *, force: bool = False, presentation: Presentation = PLAIN
) -> dict[str, list[Table]]:
    """Every table of a report by its section; where samplers vary, one table of them instead of one for each, and
    where nothing else does their differences from the one with the most network calls."""
    everything = quality_summaries(frame)
    sampling = varies_sampler_alone(everything)
    measured = efficiency_lengths(frame)
    lengths = [length for length in presentation.lengths if length in measured]

    def quality(rows: pd.DataFrame) -> list[Table]:
        return [
            *frontier_tables(rows, folder, baseline),
            *(sampler_tables(rows) or quality_tables(rows, folder)),
            *comparison_tables(rows, most_calls(rows) if sampling else baseline, folder),
            *([] if sampling else rank_tables(rows, folder)),
        ]

    tables = {
        SUMMARY: [shown_summary(frame, folder, force=force, presentation=presentation)],
        PAPER: efficiency_tables(frame, folder, lengths=lengths or None, force=force),
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
        Section.DETAILS: [] if varies_sampler(everything) else with_values(detail_tables(frame), frame, folder),
    }
    if presentation.numbers == NumberStyle():
        return tables
    return {name: [one.written(presentation.numbers) for one in section] for name, section in tables.items()}


def all_tables(frame: pd.DataFrame, folder: Path) -> list[Table]:
    """Every table of a report as the study's own presentation has them, without drawing anything."""
    how = presentation_of(folder)
    sections = report_tables(
        frame, folder, baseline_arm(folder, frame), force=kernels_together(folder), presentation=how
    )
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
