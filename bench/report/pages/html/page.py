"""`report.html`: one file that shows a study without network, code or the results folder beside it."""

from __future__ import annotations

import json
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd

from bench.report.pages.content import ABLATION, CLAIMS, COST, DETAILS, QUALITY, Content
from bench.report.pages.html.configuration import configuration_html
from bench.report.pages.html.elements import bullets, figure_html, plain_table, sample_html, section, slug, table_html
from bench.report.pages.markdown import HOW_TO_READ
from bench.report.pages.provenance import caveats, provenance, study_notes, study_question
from bench.report.pages.sentences import in_short
from bench.report.rows.arms import arm_order, looks
from bench.report.rows.frame import FAILURE_COLUMNS, failures, study_name
from bench.report.rows.pieces import Piece, real_pieces, samples_by_arm

HERE = Path(__file__).parent
LONGEST_BEATS = 128.0
MOST_ARMS_HEARD = 24
SAMPLES_EACH = 2
REAL_COLOURS = ("#333333", "#cccccc")


def html_report(content: Content) -> str:
    """The page as text."""
    frame, folder = content.frame, content.folder
    shown, pieces = _samples(frame, folder)
    planned = bullets(study_notes(folder))
    summary = bullets(in_short(frame, content.baseline, folder, together=content.together))
    sections = {"Summary": summary or "<p>Nothing here can be said in a sentence; see the tables.</p>"}
    for title in (CLAIMS, QUALITY, COST, ABLATION):
        if content.tables[title]:
            sections[title] = "\n".join(map(table_html, content.tables[title]))
    figures = "\n".join(figure_html(one.title, one.caption, one.png) for one in content.figures)
    sections["Figures"] = figures + bullets(content.notes, "notes")
    sections["Listen"] = shown
    sections["What was run"] = plain_table("run", "Settings", ("setting", "value"), provenance(frame)) + planned
    sections["How to read this"] = bullets(HOW_TO_READ)
    sections["Caveats"] = bullets(caveats(frame, together=content.together))
    sections["Failures"] = _failures(frame)
    if content.tables[DETAILS]:
        sections[DETAILS] = "\n".join(map(table_html, content.tables[DETAILS]))
    sections["Configuration"] = configuration_html(folder, frame["cell_id"].unique())
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
    heard = samples_by_arm(frame, folder, arms[:MOST_ARMS_HEARD], each=SAMPLES_EACH)
    if not heard:
        return "<p>No cell left a readable MIDI file.</p>", []
    colours = looks(arms)
    chosen = [(piece, REAL_COLOURS) for piece in real_pieces(frame, folder, each=SAMPLES_EACH)]
    chosen += [(piece, (colours[arm].colour, colours[arm].on_dark)) for arm in heard for piece in heard[arm]]
    data = [_piece_data(piece, pair) for piece, pair in chosen]
    rolls = "\n".join(
        sample_html(index, piece.title, len(entry["notes"]), entry["beats"], len(piece.notes) > len(entry["notes"]))
        for index, ((piece, _), entry) in enumerate(zip(chosen, data, strict=True))
    )
    left_out = len(arms) - len(arms[:MOST_ARMS_HEARD])
    words = "The first samples of each arm's first seed, not selected, beside real music of the corpus."
    words += f" {left_out} further arms are in the results folder." if left_out else ""
    return f'<p>{words}</p><div class="samples">{rolls}</div>', data


def _piece_data(piece: Piece, colours: tuple[str, str]) -> dict[str, Any]:
    notes = [note for note in piece.notes if note[0] < LONGEST_BEATS]
    return {
        "notes": [[round(onset, 3), round(duration, 3), pitch, velocity] for onset, duration, pitch, velocity in notes],
        "beats": round(min(LONGEST_BEATS, max(note[0] + note[1] for note in notes)), 2),
        "tempo": min(max(piece.beats_per_minute, 30.0), 300.0),
        "low": min(note[2] for note in notes),
        "high": max(note[2] for note in notes),
        "colour": colours[0],
        "dark": colours[1],
    }


def _failures(frame: pd.DataFrame) -> str:
    rows = failures(frame)
    if not rows:
        return "<p>None: every row has its figure.</p>"
    return plain_table("failures", "Without a figure", FAILURE_COLUMNS, rows)
