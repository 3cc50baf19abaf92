"""`report.html`: one file that shows a study without network, code or the results folder beside it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd

from bench.files import read_json
from bench.report.figures import FIGURES
from bench.report.pages.caveats import HOW_TO_READ, caveats
from bench.report.pages.content import NO_FAILURES, NOTHING_IN_SHORT, Content, Section, failures_table
from bench.report.pages.html.elements import (
    bullets,
    figure_html,
    plain_table,
    roll_data,
    sample_html,
    section,
    slug,
    table_html,
)
from bench.report.rows.arms import arm_order, looks_of
from bench.report.rows.frame import study_name
from bench.report.rows.pieces import real_pieces, samples_by_arm
from bench.report.rows.provenance import provenance
from bench.report.rows.study import STUDY_FILE, study_notes, study_question
from bench.store.cells import CellFolder

HERE = Path(__file__).parent
LONGEST_BEATS = 128.0
MOST_ARMS_PLAYED = 24
SAMPLES_EACH = 2
REAL_COLOURS = ("#333333", "#cccccc")
LARGEST_BYTES = 2_000_000  # of all cells together; beyond it the page names the files instead


def html_report(content: Content) -> str:
    """The page as text."""
    frame, folder = content.frame, content.folder
    shown, pieces = _samples(frame, folder)
    planned, failures = bullets(study_notes(folder)), failures_table(frame)
    sections = {"Summary": bullets(content.in_short) or f"<p>{NOTHING_IN_SHORT}</p>"}
    for title in (Section.CLAIMS, Section.QUALITY, Section.SHARED, Section.TUNING, Section.COST, Section.ABLATION):
        if content.tables[title]:
            sections[title] = "\n".join(map(table_html, content.tables[title]))
    drawn = ((FIGURES[name], png) for name, png in content.figures.items())
    figures = "\n".join(figure_html(figure.title, figure.caption, png) for figure, png in drawn)
    sections["Figures"] = figures + bullets(content.notes, "notes")
    sections["Listen"] = shown
    sections["What was run"] = plain_table("run", "Settings", ("setting", "value"), provenance(frame)) + planned
    sections["How to read this"] = bullets(HOW_TO_READ)
    sections["Caveats"] = bullets(caveats(frame, together=content.together))
    sections["Failures"] = table_html(failures) if failures.rows else f"<p>{NO_FAILURES}</p>"
    if content.tables[Section.DETAILS]:
        sections[Section.DETAILS] = "\n".join(map(table_html, content.tables[Section.DETAILS]))
    sections["Configuration"] = _configuration(folder, frame["cell_id"].unique())
    links = "".join(f'<a href="#{slug(title)}">{escape(title)}</a>' for title in sections)
    body = "\n".join(section(title, inner) for title, inner in sections.items())
    question = f'<p class="question">{escape(study_question(folder))}</p>'
    return document(study_name(frame, folder.name), f"{question}<nav>{links}</nav>\n{body}", pieces)


def document(name: str, body: str, pieces: list[dict[str, Any]]) -> str:
    """A whole page around a body; `pieces` are what its canvases draw and play. A note whose fifth figure is 1 has the
    piece's `second` colour."""
    style = (HERE / "page.css").read_text(encoding="utf-8")
    script = (HERE / "page.js").read_text(encoding="utf-8")
    data = json.dumps(pieces, separators=(",", ":")).replace("</", "<\\/")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<link rel="icon" href="data:,">'
        f"<title>{escape(name)}</title><style>\n{style}</style></head>\n<body><h1>{escape(name)}</h1>\n{body}\n"
        f'<script type="application/json" id="pieces">{data}</script>\n<script>\n{script}</script></body></html>\n'
    )


def _samples(frame: pd.DataFrame, folder: Path) -> tuple[str, list[dict[str, Any]]]:
    """The piano rolls of real pieces and of every arm, and the notes behind them."""
    arms = arm_order(frame)
    played = samples_by_arm(frame, folder, arms[:MOST_ARMS_PLAYED], each=SAMPLES_EACH)
    if not played:
        return "<p>No cell left a readable MIDI file.</p>", []
    colours = looks_of(frame)
    chosen = [(piece, REAL_COLOURS) for piece in real_pieces(frame, folder, each=SAMPLES_EACH)]
    chosen += [(piece, (colours[arm].colour, colours[arm].on_dark)) for arm in played for piece in played[arm]]
    data = [
        roll_data(piece.notes, piece.beats_per_minute, LONGEST_BEATS, colour=light, dark=dark)
        for piece, (light, dark) in chosen
    ]
    rolls = "\n".join(
        sample_html(index, piece.title, len(entry["notes"]), entry["beats"], len(piece.notes) > len(entry["notes"]))
        for index, ((piece, _), entry) in enumerate(zip(chosen, data, strict=True))
    )
    left_out = len(arms) - len(arms[:MOST_ARMS_PLAYED])
    words = "The first samples of each arm's first seed, not selected, beside real music of the corpus."
    words += f" {left_out} further arms are in the results folder." if left_out else ""
    return f'<p>{words}</p><div class="samples">{rolls}</div>', data


def _configuration(folder: Path, cell_ids: Iterable[str]) -> str:
    """The study, the environments that cells ran in (each once, with its cells), and every cell's settings."""
    parts = []
    study = read_json(folder / STUDY_FILE)
    if study is not None:
        content = {key: value for key, value in study.items() if key != "cells"}
        parts.append(_folded("Study", content))
    cells = [(cell_id, CellFolder(folder / cell_id)) for cell_id in cell_ids]
    parts += _environments(cells)
    settings = {cell_id: found for cell_id, cell in cells if (found := cell.configuration()) is not None}
    size = len(json.dumps(settings))
    if settings and size <= LARGEST_BYTES:
        inner = "".join(_folded(cell_id, content) for cell_id, content in settings.items())
        parts.append(f"<details><summary>Settings of the {len(settings)} cells</summary>{inner}</details>")
    elif settings:
        parts.append(f"<p>Settings of the {len(settings)} cells: in <code>cell.json</code> of each cell's folder.</p>")
    return "\n".join(parts) or "<p>The results folder keeps no configuration.</p>"


def _environments(cells: Iterable[tuple[str, CellFolder]]) -> list[str]:
    seen: dict[str, list[str]] = {}
    for cell_id, cell in cells:
        environment = cell.environment()
        if environment:
            seen.setdefault(json.dumps(environment, indent=2, sort_keys=True), []).append(cell_id)
    return [
        f"<details><summary>Environment of {len(ids)} cells "
        f"({escape(', '.join(ids[:3]))}{', ...' if len(ids) > 3 else ''})"
        f"</summary><pre>{escape(text)}</pre></details>"
        for text, ids in seen.items()
    ]


def _folded(title: str, content: Any) -> str:
    text = json.dumps(content, indent=2, ensure_ascii=False)
    return f"<details><summary>{escape(title)}</summary><pre>{escape(text)}</pre></details>"
