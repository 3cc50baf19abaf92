"""Writes a study's report: tables and figures as files, and the texts that show them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from bench.errors import UserError
from bench.files import write_atomically
from bench.report.cost_table import cost_tables
from bench.report.figures import DOUBLE_COLUMN_IN, FIGURES, NothingToShow, draw, save_figure
from bench.report.frame import as_frame
from bench.report.markdown import markdown_report
from bench.report.provenance import baseline_arm
from bench.report.quality_table import comparison_tables, detail_tables, quality_tables

REPORT_FILE = "report.md"
FIGURE_TITLES = {
    "cost": "Cost against length",
    "quality": "Overlapping area by backbone",
    "bits": "Validation bits per token",
    "learning": "Learning curves",
    "rolls": "Piano rolls",
}


def read_table(results_folder: Path) -> pd.DataFrame:
    """The table of a results folder. Raises UserError where the folder has none or it is empty."""
    import bench

    if not results_folder.is_dir():
        raise UserError(f"results folder {results_folder}: does not exist; run the study first")
    frame = as_frame(bench.load_results(results_folder))
    if frame.empty:
        raise UserError(f"results folder {results_folder}: its table has no rows; run the study first")
    return frame


def write(results_folder: Path, table: Any = None) -> Path:
    """See `bench.report.write_report`."""
    frame = read_table(results_folder) if table is None else as_frame(table)
    baseline = baseline_arm(results_folder, frame)
    tables = [*cost_tables(frame), *quality_tables(frame), *comparison_tables(frame, baseline)]
    details = detail_tables(frame)
    for one in [*tables, *details]:
        write_atomically(results_folder / "tables" / f"{one.name}.csv", one.to_csv())
        write_atomically(results_folder / "tables" / f"{one.name}.md", f"{one.title}\n\n{one.to_markdown()}")
    shown, notes = _write_figures(frame, results_folder)
    text = markdown_report(frame, results_folder, tables, details, shown, notes, baseline)
    write_atomically(results_folder / REPORT_FILE, text)
    return results_folder / REPORT_FILE


def _write_figures(frame: pd.DataFrame, folder: Path) -> tuple[list[tuple[str, str, str]], list[str]]:
    """Draw every figure that the table has rows for; what was drawn, and a sentence for each that was not."""
    shown, notes = [], []
    for name, kind in FIGURES.items():
        path = folder / "figures" / f"{name}.png"
        try:
            save_figure(draw(name, frame, folder, width=DOUBLE_COLUMN_IN), path)
        except NothingToShow as error:
            path.unlink(missing_ok=True)
            notes.append(f"Not drawn: {error}.")
            continue
        shown.append((FIGURE_TITLES.get(name, name), f"figures/{name}.png", kind.caption))
    return shown, notes
