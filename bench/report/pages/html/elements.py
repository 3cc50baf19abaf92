"""Parts of the page: tables that sort, figures inside the file, lists. Every text from outside is escaped here."""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from bench.report.tables.numbers import number
from bench.report.tables.table import Entry, Table

LONG_WORDS = 48
CODE = re.compile("`([^`]+)`")


def slug(title: str) -> str:
    """A title as an anchor."""
    return "".join(char if char.isalnum() else "-" for char in title.casefold()).strip("-")


def section(title: str, body: str) -> str:
    """A section with its heading and anchor."""
    return f'<section id="{slug(title)}"><h2>{escape(title)}</h2>\n{body}\n</section>'


def fold(title: str, purpose: str, body: str) -> str:
    """A part of the page that is closed at first: its title, what it is for, its content."""
    return (
        f'<details class="fold" id="{slug(title)}"><summary><span class="title">{escape(title)}</span> '
        f'<span class="purpose">{escape(purpose)}</span></summary>\n{body}\n</details>'
    )


def bullets(sentences: Iterable[str], kind: str = "") -> str:
    """A list of sentences; nothing where there are none."""
    shown = (CODE.sub(r"<code>\1</code>", escape(sentence)) for sentence in sentences)
    items = "".join(f"<li>{sentence}</li>" for sentence in shown)
    return f'<ul class="{kind}">{items}</ul>' if items else ""


def table_html(table: Table) -> str:
    """A table with sortable columns in a box that scrolls sideways, and its notes."""
    numeric = [table.is_numeric(index) for index in range(len(table.columns))]
    heads = "".join(
        f'<th scope="col"{" class=figure" if right else ""}><button type="button">{escape(name)}</button></th>'
        for name, right in zip(table.columns, numeric, strict=True)
    )
    rows = "\n".join(_row(row, numeric) for row in table.rows)
    return (
        f"<h3>{escape(table.title)}</h3>\n"
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(table.title)}">'
        f'<table class="sortable" id="table-{escape(table.name)}"><thead><tr>{heads}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>\n{bullets(filter(None, (table.caption, *table.notes)), 'notes')}"
    )


def _row(row: Sequence[Entry], numeric: Sequence[bool]) -> str:
    kind = ' class="reference"' if row[0].reference else ""
    return f"<tr{kind}>" + "".join(map(_cell, row, numeric)) + "</tr>"


def _cell(entry: Entry, numeric: bool) -> str:
    value = f' data-value="{entry.value!r}"' if math.isfinite(entry.value) else ""
    words = "figure" if numeric else "long" if len(entry.text) > LONG_WORDS else "words"
    hover = entry.reason or (f"cells: {' '.join(entry.cell_ids)}" if entry.cell_ids else "")
    title = f' title="{escape(hover)}"' if hover else ""
    return f'<td class="{words}"{value}{title}>{_text(entry)}</td>'


def _text(entry: Entry) -> str:
    text = escape(entry.text)
    if math.isfinite(entry.low) and entry.text.endswith("]") and "[" in entry.text:
        mean, _, interval = entry.text.partition(" [")
        text = f'{escape(mean)} <span class="interval">[{escape(interval)}</span>'
    if entry.best:
        text = f"<strong>{text}</strong>"
    return text + (f" {escape(entry.mark)}" if entry.mark else "")


def plain_table(name: str, title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table of words, from plain rows."""
    return table_html(Table.of_words(name, title, columns, rows))


def figure_html(title: str, caption: str, png: bytes) -> str:
    """A figure with its caption, held in the page itself."""
    data = base64.b64encode(png).decode("ascii")
    caption = caption.replace("`", "")
    return (
        f'<figure><h3>{escape(title)}</h3><img alt="{escape(title)}. {escape(caption)}" '
        f'src="data:image/png;base64,{data}"><figcaption>{escape(caption)}</figcaption></figure>'
    )


def played_tempo(beats_per_minute: float) -> float:
    """Beats a minute at which the player plays: at least 30, at most 300."""
    return min(max(beats_per_minute, 30.0), 300.0)


def roll_data(
    notes: Iterable[Sequence[float]], beats_per_minute: float, longest_beats: float, **colours: str
) -> dict[str, Any]:
    """A piece as the player of the page takes it, of notes (onset, duration, pitch, ...) in quarter notes; those that
    begin after `longest_beats` are left out."""
    shown = [note for note in notes if note[0] < longest_beats]
    return {
        "notes": [[round(onset, 3), round(duration, 3), *rest] for onset, duration, *rest in shown],
        "beats": round(min(longest_beats, max(note[0] + note[1] for note in shown)), 2),
        "tempo": played_tempo(beats_per_minute),
        "low": min(note[2] for note in shown),
        "high": max(note[2] for note in shown),
        **colours,
    }


def sample_html(index: int, title: str, notes: int, beats: float, cut: bool) -> str:
    """A piano roll with its button; the notes are those of piece `index` in the page's data."""
    words = f"{title}: {notes} {'note' if notes == 1 else 'notes'}, {'first ' if cut else ''}{number(beats)} beats"
    return (
        f'<article class="sample" data-piece="{index}"><header><span class="name">{escape(words)}</span>'
        f'<button type="button" aria-pressed="false" aria-label="Play {escape(title)}">Play</button></header>'
        f'<canvas role="img" aria-label="Piano roll of {escape(words)}"></canvas></article>'
    )
