"""`report.md`: question, answer, summary, figures, and everything else in folds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from bench.report.figures import FIGURES
from bench.report.pages.caveats import HOW_TO_READ, caveats
from bench.report.pages.content import NO_FAILURES, NOTHING_IN_SHORT, PURPOSES, Content, Section, failures_table
from bench.report.rows.frame import study_name
from bench.report.rows.provenance import provenance
from bench.report.rows.study import study_notes, study_question
from bench.report.tables.table import Table, as_markdown

NONE_MEASURED = {
    Section.QUALITY: ["No quality cell was measured."],
    Section.COST: ["No efficiency cell was measured."],
}
LISTEN = "Samples to play beside real music are in `report.html`."


def markdown_report(content: Content) -> str:
    """The report as text, with the figures and CSV files linked beside it."""
    frame, folder = content.frame, content.folder
    question = study_question(folder)
    lines = [f"# {as_markdown(study_name(frame, folder.name))}", ""]
    lines += [f"**Question.** {as_markdown(question)}", ""] if question else []
    for answer in content.answers:
        lines += [f"**{as_markdown(answer.question)}** {as_markdown(answer.words)}", ""]
    lines += [content.caution, ""] if content.caution else []
    lines += _tables(content.summary)
    lines += _figures(content.first_figures)
    lines += [LISTEN, ""] if content.played else []
    for section, body in _folds(content).items():
        lines += _fold(section, body) if body else []
    return "\n".join(lines).rstrip() + "\n"


def _folds(content: Content) -> dict[Section, list[str]]:
    """What stands in each fold, in the order of the sections."""
    frame, failures = content.frame, failures_table(content.frame)
    run = [
        "| | |",
        "| :--- | :--- |",
        *(f"| {name} | {as_markdown(words, code=True)} |" for name, words in provenance(frame)),
    ]
    planned = study_notes(content.folder)
    bodies = {section: _tables(content.tables_of(section)) or NONE_MEASURED.get(section, []) for section in Section}
    bodies |= {
        Section.VERDICTS: _bullets(content.in_short) or [NOTHING_IN_SHORT],
        Section.FIGURES: [*_figures(content.further_figures), *_bullets(content.notes)],
        Section.RUN: [*run, *(["", *_bullets(planned)] if planned else [])],
        Section.READ: _bullets(HOW_TO_READ),
        Section.CAVEATS: _bullets(caveats(frame, together=content.together)),
        Section.FAILURES: failures.to_markdown().splitlines() if failures.rows else [NO_FAILURES],
    }
    return bodies


def _fold(section: Section, body: Sequence[str]) -> list[str]:
    summary = f"<summary><strong>{escape(section)}</strong>: {escape(PURPOSES[section])}</summary>"
    return ["<details>", summary, "", *body, "", "</details>", ""]


def _figures(names: Iterable[str]) -> list[str]:
    lines: list[str] = []
    for figure in (FIGURES[name] for name in names):
        lines += [f"### {figure.title}", "", f"![{figure.title}](figures/{figure.name}.png)", "", figure.caption, ""]
    return lines


def _bullets(sentences: Sequence[str]) -> list[str]:
    return [f"- {as_markdown(sentence, code=True)}" for sentence in sentences]


def _tables(tables: Sequence[Table]) -> list[str]:
    lines: list[str] = []
    for table in tables:
        lines += [table.under_title("###"), f"[{table.name}.csv](tables/{table.name}.csv)", ""]
    return lines
