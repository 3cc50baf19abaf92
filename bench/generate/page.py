"""`report.html` of a folder of generated music: one file of piano rolls and players."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.report.pages.html.elements import plain_table, roll_data, sample_html, section
from bench.report.pages.html.page import document

GIVEN_COLOURS = ("#555555", "#bbbbbb")  # on a light ground, on a dark one
DRAWN_COLOURS = ("#D55E00", "#F0A070")
LONGEST_BEATS = 512.0


@dataclass(frozen=True)
class Roll:
    """A piece to show: notes (onset, duration, pitch, velocity) in quarter notes, given and drawn; `region` in them."""

    title: str
    given: Sequence[tuple[float, float, int, int]]
    drawn: Sequence[tuple[float, float, int, int]]
    region: tuple[float, float] | None = None
    beats_per_minute: float = 120.0


def rolls_page(name: str, rolls: Sequence[Roll], settings: Mapping[str, Any], words: str) -> str:
    """The page as text; it needs no network and no other file."""
    shown = [roll for roll in rolls if roll.given or roll.drawn]
    data = [_data(roll) for roll in shown]
    articles = "\n".join(
        sample_html(index, roll.title, len(entry["notes"]), entry["beats"], False)
        for index, (roll, entry) in enumerate(zip(shown, data, strict=True))
    )
    silent = len(rolls) - len(shown)
    words += f" {silent} pieces have no note." if silent else ""
    body = section("Listen", f'<p>{words}</p><div class="samples">{articles}</div>')
    body += section("Settings", plain_table("settings", "How they were made", ("setting", "value"), settings.items()))
    return document(name, body, data)


def roll_of_score(title: str, score: Any, *, drawn_track: str = "", region: tuple[float, float] | None = None) -> Roll:
    """A symusic score as a Roll: the notes of the track `drawn_track` drawn, the others (drums apart) given.

    Without `drawn_track` all notes are drawn.
    """
    sides: dict[bool, list[tuple[float, float, int, int]]] = {True: [], False: []}
    quarter = float(score.ticks_per_quarter)
    for track in score.tracks:
        if not track.is_drum and len(track.notes):
            table = track.notes.numpy()
            sides[not drawn_track or track.name == drawn_track] += zip(
                (table["time"] / quarter).tolist(),
                (table["duration"] / quarter).tolist(),
                table["pitch"].tolist(),
                table["velocity"].tolist(),
                strict=True,
            )
    tempo = float(score.tempos[0].qpm) if len(score.tempos) else 120.0
    return Roll(title, sorted(sides[False]), sorted(sides[True]), region, tempo)


def _data(roll: Roll) -> dict[str, Any]:
    notes = [(*note, 0) for note in roll.given] + [(*note, 1) for note in roll.drawn]
    colours = dict(zip(("colour", "dark", "second", "secondDark"), GIVEN_COLOURS + DRAWN_COLOURS, strict=True))
    return roll_data(sorted(notes), roll.beats_per_minute, LONGEST_BEATS, **colours)
