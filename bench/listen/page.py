"""Page of a listening test: one file that plays the samples, needs no network and does not say what they are."""

from __future__ import annotations

import json
import re
from html import escape
from pathlib import Path

from bench.listen.key import ListeningTest
from bench.listen.samples import tempo_of
from bench.report.pages.html.elements import roll_data
from bench.report.pages.html.page import document

HERE = Path(__file__).parent
UNSEEN = dict.fromkeys(("colour", "dark", "second", "secondDark"), "transparent")
KEYS = {"low": 21, "high": 108}  # of a piano; the same for all, since notes are not shown
LEAST_PLAYED_S = 3.0
"""Of each sample, or to its end, before a trial can be answered."""
GRADES = ("bad", "poor", "fair", "good", "excellent")  # ITU-T P.800, absolute category rating


def listening_page(test: ListeningTest) -> str:
    """The page as text. It holds notes, plans of trials and the question; neither systems nor files are named."""
    pieces = []
    for piece in test.pieces:
        columns = (piece.onset, piece.duration, piece.pitch, piece.velocity)
        rows = zip(*(column.tolist() for column in columns), strict=True)
        pieces.append(roll_data(list(rows), tempo_of(piece), float("inf"), **UNSEEN) | KEYS)
    key = test.key
    content = {"test": key.test, "kind": key.kind, "plans": key.plans, "leastPlayed": LEAST_PLAYED_S, "grades": GRADES}
    data = json.dumps(content, separators=(",", ":"))
    parts = {name: (HERE / f"page.{name}").read_text(encoding="utf-8") for name in ("html", "css", "js")}
    minutes = max(round(key.trials * (2 * key.seconds + 5) / 60), 1)
    words = {"QUESTION": key.question, "TRIALS": str(key.trials), "MINUTES": str(minutes)}
    parts["html"] = re.sub(r"\[([A-Z]+)\]", lambda found: escape(words[found[1]]), parts["html"])
    body = (
        f"<style>\n{parts['css']}</style>\n{parts['html']}"
        f'<script type="application/json" id="test">{data}</script>\n<script>\n{parts["js"]}</script>'
    )
    return document("Listening test", body, pieces)
