"""`report.md`: question, setting, tables and figures, how to read them, and failures."""

from __future__ import annotations

from collections.abc import Sequence

from bench.report.figures import FIGURES
from bench.report.pages.caveats import HOW_TO_READ, caveats
from bench.report.pages.content import NO_FAILURES, NOTHING_IN_SHORT, Content, Section, failures_table
from bench.report.rows.frame import study_name
from bench.report.rows.provenance import provenance
from bench.report.rows.study import study_notes, study_question
from bench.report.tables.table import Table, as_markdown

NONE_MEASURED = {
    Section.QUALITY: ["No quality cell was measured."],
    Section.COST: ["No efficiency cell was measured."],
}


def markdown_report(content: Content) -> str:
    """The report as text, with the figures and CSV files linked beside it."""
    frame, folder = content.frame, content.folder
    question, planned, failures = study_question(folder), study_notes(folder), failures_table(frame)
    lines = [f"# {as_markdown(study_name(frame, folder.name))}", ""]
    lines += [f"**Question.** {as_markdown(question)}", ""] if question else []
    lines += _section("In short", _bullets(content.in_short) or [NOTHING_IN_SHORT])
    run = [
        "| | |",
        "| :--- | :--- |",
        *(f"| {name} | {as_markdown(words, code=True)} |" for name, words in provenance(frame)),
    ]
    lines += _section("What was run", [*run, *(["", *_bullets(planned)] if planned else [])])
    for title in (Section.QUALITY, Section.SHARED, Section.TUNING, Section.COST, Section.ABLATION, Section.CLAIMS):
        lines += _tables_under(title, content.tables[title])
    shown: list[str] = []
    for figure in (FIGURES[name] for name in content.figures):
        shown += [f"### {figure.title}", "", f"![{figure.title}](figures/{figure.name}.png)", "", figure.caption, ""]
    shown += _bullets(content.notes)
    lines += _section("Figures", shown or ["Nothing to draw."])
    lines += _section("How to read this", _bullets(HOW_TO_READ))
    lines += _section("Caveats", _bullets(caveats(frame, together=content.together)))
    lines += _section("Failures", failures.to_markdown().splitlines() if failures.rows else [NO_FAILURES])
    lines += _tables_under(Section.DETAILS, content.tables[Section.DETAILS])
    return "\n".join(lines).rstrip() + "\n"


def _section(title: str, body: Sequence[str]) -> list[str]:
    return [f"## {title}", "", *body, ""]


def _bullets(sentences: Sequence[str]) -> list[str]:
    return [f"- {as_markdown(sentence, code=True)}" for sentence in sentences]


def _tables_under(title: Section, tables: Sequence[Table]) -> list[str]:
    """A section of tables; of quality and cost a sentence where there are none, of others nothing."""
    lines: list[str] = []
    for table in tables:
        lines += [table.under_title("###"), f"[{table.name}.csv](tables/{table.name}.csv)", ""]
    lines = lines or NONE_MEASURED.get(title, [])
    return _section(title, lines) if lines else []
