"""Reports of a study: tables, figures and sentences from its result table. Nothing here loads a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table as RichTable

    from bench.report.presentation import Presentation

__all__ = ["answer_lines", "summary_table", "verdict_lines", "write_report"]


def write_report(
    results_folder: Path, *, table: Any = None, force: bool = False, presentation: Presentation | None = None
) -> Path:
    """Write a study's report into its results folder: `report.md` (whose path is returned), `report.html`, `tables/*`
    (CSV, those for papers Markdown and LaTeX too) and `figures/*.png`.

    `table` is a ResultTable or a frame; without it the folder's own table is read. What cannot be drawn is left out and
    named in the report, so that a study with failures still has one. `force` ranks costs of different kernels and
    marks them. `presentation`: how the study is shown, else as its own file has it. Raises UserError where there is no
    table at all.
    """
    from bench.report.pages.writer import write

    return write(Path(results_folder), table, force=force, presentation=presentation)


def summary_table(
    table: Any, folder: Path | None = None, *, force: bool = False, presentation: Presentation | None = None
) -> RichTable:
    """The table printed at the end of a run; `table` is a ResultTable or a frame, `folder` holds its cells, `force` and
    `presentation` as above."""
    from bench.report.pages.terminal import summary_table as build
    from bench.report.presentation import PLAIN

    return build(table, folder, force=force, presentation=presentation or PLAIN)


def answer_lines(results_folder: Path, table: Any, *, force: bool = False) -> list[str]:
    """The study's question and its answers, printed over the summary table; `table` and `force` as above."""
    from bench.report.pages.answers import answers
    from bench.report.rows.frame import as_frame
    from bench.report.rows.study import baseline_arm, kernels_together, study_question

    frame = as_frame(table)
    together = force or kernels_together(results_folder)
    found = answers(frame, baseline_arm(results_folder, frame), results_folder, together=together)
    return [*filter(None, [study_question(results_folder)]), *(f"{one.question} {one.words}" for one in found)]


def verdict_lines(results_folder: Path, table: Any) -> list[str]:
    """The verdicts on the primary scores as sentences, printed under the summary table; `table` as above."""
    from bench.report.pages.sentences import verdict_sentences
    from bench.report.rows.frame import as_frame
    from bench.report.rows.study import baseline_arm

    frame = as_frame(table)
    return verdict_sentences(frame, baseline_arm(results_folder, frame), results_folder)
