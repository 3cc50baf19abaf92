"""`report.md`: what was asked, what was run, the tables and figures, how to read them and what failed."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from bench.report.pages.content import ABLATION, CLAIMS, COST, DETAILS, QUALITY, Content
from bench.report.pages.provenance import caveats, provenance, study_notes, study_question
from bench.report.pages.sentences import in_short
from bench.report.rows.frame import FAILURE_COLUMNS, failures, study_name
from bench.report.tables.table import Table

HOW_TO_READ = (
    "An arm is one denoiser backbone; everything else (embedding, compression, diffusion, training, sampling) is the "
    "same for all arms.",
    "Figures in square brackets are 95 % intervals: over timed calls for cost, over seeds for quality, over pieces "
    "for reference rows.",
    "Bold in a cost table: the whole interval lies below that of every other arm; nothing is bold where kernels "
    "differ or intervals overlap.",
    "Bold in a quality table: significantly better than every other arm (exact test paired by seed, Holm-corrected "
    "over "
    "the primary metrics bits/token and OA mean); the other columns are descriptions and never bold.",
    "`n/a` is a figure that was not measured; the reason stands under the table. It never means zero.",
    "T is the number of denoising steps asked of the sampler, NFE the number of network calls it really made.",
    "bits/token is an upper bound on the negative log-likelihood (ELBO) of held-out music; lower is better.",
)


def markdown_report(content: Content) -> str:
    """The report as text, with the figures and CSV files linked beside it."""
    frame, folder = content.frame, content.folder
    question = study_question(folder)
    lines = [f"# {study_name(frame, folder.name)}", ""]
    lines += [f"**Question.** {question}", ""] if question else []
    summary = _bullets(in_short(frame, content.baseline, folder, together=content.together))
    lines += _section("In short", summary or ["Nothing here can be said in a sentence; see the tables."])
    run = ["| | |", "| :--- | :--- |", *(f"| {name} | {words} |" for name, words in provenance(frame))]
    planned = study_notes(folder)
    lines += _section("What was run", [*run, *(["", *_bullets(planned)] if planned else [])])
    lines += _section(QUALITY, _with_tables(content.tables[QUALITY]) or ["No quality cell was measured."])
    lines += _section(COST, _with_tables(content.tables[COST]) or ["No efficiency cell was measured."])
    lines += _section(ABLATION, _with_tables(content.tables[ABLATION])) if content.tables[ABLATION] else []
    lines += _section(CLAIMS, _with_tables(content.tables[CLAIMS])) if content.tables[CLAIMS] else []
    shown: list[str] = []
    for figure in content.figures:
        shown += [f"### {figure.title}", "", f"![{figure.title}](figures/{figure.name}.png)", "", figure.caption, ""]
    shown += _bullets(content.notes)
    lines += _section("Figures", shown or ["Nothing to draw."])
    lines += _section("How to read this", _bullets(HOW_TO_READ))
    lines += _section("Caveats", _bullets(caveats(frame, together=content.together)))
    lines += _section("Failures", _failures(frame))
    lines += _section(DETAILS, _with_tables(content.tables[DETAILS])) if content.tables[DETAILS] else []
    return "\n".join(lines).rstrip() + "\n"


def _section(title: str, body: Sequence[str]) -> list[str]:
    return [f"## {title}", "", *body, ""]


def _bullets(sentences: Sequence[str]) -> list[str]:
    return [f"- {sentence}" for sentence in sentences]


def _with_tables(tables: Sequence[Table]) -> list[str]:
    lines: list[str] = []
    for table in tables:
        lines += [f"### {table.title}", "", table.to_markdown(), f"[{table.name}.csv](tables/{table.name}.csv)", ""]
    return lines


def _failures(frame: pd.DataFrame) -> list[str]:
    rows = failures(frame)
    if not rows:
        return ["None: every row has its figure."]
    lines = ["| " + " | ".join(FAILURE_COLUMNS) + " |", "|" + " :--- |" * len(FAILURE_COLUMNS)]
    return lines + [
        "| " + " | ".join(word.replace("|", "\\|").replace("\n", " ") for word in row) + " |" for row in rows
    ]
