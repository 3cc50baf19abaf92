"""Write a study's report: tables and figures as files, report.md and report.html."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from bench.errors import UserError
from bench.files import write_atomically
from bench.report.figures import FIGURES
from bench.report.pages.content import PAPER, Content, Section, gather
from bench.report.pages.html.page import html_report
from bench.report.pages.latex import ONE_COLUMN, to_latex
from bench.report.pages.markdown import markdown_report
from bench.report.presentation import Presentation, presentation_of
from bench.report.rows.frame import as_frame, summaries_kept
from bench.report.rows.provenance import provenance
from bench.store.table import load_results

REPORT_FILE, PAGE_FILE = "report.md", "report.html"
CSV_ALONE = (Section.COST, Section.DETAILS)
"""Sections whose tables are no part of a paper: `efficiency` has the costs."""
FOOTNOTES = ("device (timing)", "threads (timing)", "kernels", "seeds", "training steps", "corpus", "versions")


def read_table(results_folder: Path, table: Any = None, presentation: Presentation | None = None) -> pd.DataFrame:
    """The rows of `table`, else of a results folder's table, as `presentation` shows them.

    Raises UserError where there is none or it is empty.
    """
    if not results_folder.is_dir():
        raise UserError(f"results folder {results_folder}: does not exist; run the study first")
    frame = as_frame(load_results(results_folder) if table is None else table, presentation)
    if frame.empty:
        raise UserError(f"results folder {results_folder}: its table has no rows; run the study first")
    return frame


def write(
    results_folder: Path, table: Any = None, *, force: bool = False, presentation: Presentation | None = None
) -> Path:
    """See `bench.report.write_report`."""
    how = presentation or presentation_of(results_folder)
    with summaries_kept():
        frame = read_table(results_folder, table, how)
        content = gather(frame, results_folder, force=force, presentation=how)
        _write_parts(content)
        write_atomically(results_folder / PAGE_FILE, html_report(content))
        write_atomically(results_folder / REPORT_FILE, markdown_report(content))
    return results_folder / REPORT_FILE


def _write_parts(content: Content) -> None:
    """Every table as CSV, those outside `CSV_ALONE` as Markdown and LaTeX too; figures as PNG. A figure of before that
    is not drawn now is removed, unless cells are missing that it may have been drawn from."""
    run = [f"{name} {words}" for name, words in provenance(content.frame) if name in FOOTNOTES]
    footnotes = [f"Measured with {'; '.join(run)}."]
    for section, tables in content.tables.items():
        for table in tables:
            texts = {f"{table.name}.csv": table.to_csv()}
            if section not in CSV_ALONE:
                texts[f"{table.name}.md"] = table.under_title()
                texts[f"{table.name}.tex"] = to_latex(table, [] if table.caption else footnotes)
            if section == PAPER:
                narrow = replace(table, name=f"{table.name}-column")
                texts[f"{narrow.name}.tex"] = to_latex(narrow, form=ONE_COLUMN)
            for ending in ("md", "tex"):  # of an earlier version
                if f"{table.name}.{ending}" not in texts:
                    (content.folder / "tables" / f"{table.name}.{ending}").unlink(missing_ok=True)
            for name, text in texts.items():
                write_atomically(content.folder / "tables" / name, text)
    complete = all((content.folder / cell_id).is_dir() for cell_id in content.frame["cell_id"].unique())
    for name in FIGURES:
        for kind, drawn in ((".png", content.figures), (".csv", content.data)):
            path = content.folder / "figures" / f"{name}{kind}"
            if name in drawn:
                write_atomically(path, drawn[name])
            elif complete:
                path.unlink(missing_ok=True)
