"""`report.html`: one file that shows a study without network, code or the results folder beside it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any

from bench.files import read_json
from bench.report.figures import FIGURES
from bench.report.pages.caveats import HOW_TO_READ, caveats
from bench.report.pages.content import (
    MOST_ARMS_PLAYED,
    NO_FAILURES,
    NOTHING_IN_SHORT,
    PURPOSES,
    SAMPLES_EACH,
    Content,
    Section,
    failures_table,
)
from bench.report.pages.html.elements import (
    bullets,
    figure_html,
    fold,
    plain_table,
    roll_data,
    sample_html,
    table_html,
)
from bench.report.rows.arms import looks_of
from bench.report.rows.frame import study_name
from bench.report.rows.pieces import real_pieces
from bench.report.rows.provenance import provenance
from bench.report.rows.study import STUDY_FILE, study_notes, study_question
from bench.store.cells import CellFolder

HERE = Path(__file__).parent
LONGEST_BEATS = 128.0
REAL_COLOURS = ("#333333", "#cccccc")
LARGEST_BYTES = 2_000_000  # of all cells together; beyond it the page names the files instead
NO_SAMPLES = "<p>No music to play: these results were passed on without it, or no cell left a readable MIDI file.</p>"


def html_report(content: Content) -> str:
    """The page as text: question, answer, summary, two figures and samples, then a fold for each section."""
    frame, folder = content.frame, content.folder
    first, further, pieces = _samples(content)
    answers = "".join(f"<p><strong>{escape(one.question)}</strong> {escape(one.words)}</p>" for one in content.answers)
    caution = f'<p class="caution">{escape(content.caution)}</p>' if content.caution else ""
    parts = [
        f'<p class="question">{escape(study_question(folder))}</p>',
        f'<section id="answer">{answers}{caution}</section>',
        *map(table_html, content.summary),
        *_figures(content, content.first_figures),
        first or NO_SAMPLES,
        *(fold(title, PURPOSES[title], body) for title, body in _folds(content, further).items() if body),
    ]
    return document(study_name(frame, folder.name), "\n".join(parts), pieces)


def _folds(content: Content, samples: str) -> dict[Section, str]:
    """What stands in each fold, in the order of the sections."""
    frame, failures = content.frame, failures_table(content.frame)
    bodies = {section: "\n".join(map(table_html, content.tables_of(section))) for section in Section}
    settings = plain_table("run", "Settings", ("setting", "value"), provenance(frame))
    return bodies | {
        Section.VERDICTS: bullets(content.in_short) or f"<p>{NOTHING_IN_SHORT}</p>",
        Section.FIGURES: "\n".join(_figures(content, content.further_figures)) + bullets(content.notes, "notes"),
        Section.SAMPLES: samples,
        Section.RUN: settings + bullets(study_notes(content.folder)),
        Section.READ: bullets(HOW_TO_READ),
        Section.CAVEATS: bullets(caveats(frame, together=content.together)),
        Section.FAILURES: table_html(failures) if failures.rows else f"<p>{NO_FAILURES}</p>",
        Section.CONFIGURATION: _configuration(content.folder, frame["cell_id"].unique()),
    }


def _figures(content: Content, names: Iterable[str]) -> list[str]:
    drawn = [(FIGURES[name], content.figures[name]) for name in names]
    return [figure_html(figure.title, figure.caption, png) for figure, png in drawn]


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


def _samples(content: Content) -> tuple[str, str, list[dict[str, Any]]]:
    """The piano rolls above the folds (real music and `first_played`), those of further pieces, and the notes behind
    all of them."""
    if not content.played:
        return "", "", []
    colours = {arm: (look.colour, look.on_dark) for arm, look in looks_of(content.frame).items()}
    real = [(piece, REAL_COLOURS) for piece in real_pieces(content.frame, content.folder, each=SAMPLES_EACH)]
    chosen = [*real[:1], *((piece, colours[arm]) for arm, piece in content.first_played)]
    first, shown = len(chosen), {id(piece) for piece, _ in chosen}
    drawn = [(piece, colours[arm]) for arm, pieces in content.played.items() for piece in pieces]
    chosen += [one for one in (*real, *drawn) if id(one[0]) not in shown]
    data = [
        roll_data(piece.notes, piece.beats_per_minute, LONGEST_BEATS, colour=light, dark=dark)
        for piece, (light, dark) in chosen
    ]
    rolls = [
        sample_html(index, piece.title, len(entry["notes"]), entry["beats"], len(piece.notes) > len(entry["notes"]))
        for index, ((piece, _), entry) in enumerate(zip(chosen, data, strict=True))
    ]
    left_out = len(content.arms) - len(content.arms[:MOST_ARMS_PLAYED])
    more = f"<p>{left_out} further arms are in the results folder.</p>" if left_out else ""
    words = "The first samples of an arm's first seed, not selected, beside real music of the corpus."
    return f"<h3>Listen</h3><p>{words}</p>{_grid(rolls[:first])}", _grid(rolls[first:]) + more, data


def _grid(rolls: Sequence[str]) -> str:
    return f'<div class="samples">{"".join(rolls)}</div>' if rolls else ""


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
