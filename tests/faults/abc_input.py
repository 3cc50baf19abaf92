"""ABC tunes made token by token with the notes that they mean, and damaged ones."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from midi_input import notes_of, promised
from mutation import GIVEN, mutated

from bench.data.reading import UnreadableError, abc_tunes, note_arrays, read_piece
from metrics import read_folder
from metrics.music.abc import AbcError, read_tune, tunes
from metrics.music.midi import read_score, write_score

PITCHES = dict(zip("CDEFGABcdefgab", (60, 62, 64, 65, 67, 69, 71, 72, 74, 76, 77, 79, 81, 83), strict=True))
KEYS = {"C": "", "G": "F", "D": "FC", "F": "b", "Bb": "be", "Am": "", "none": "", "HP": None, "Ddor": "", "Eb": "bea"}
LENGTHS = (("", 1), ("", 1), ("2", 2), ("/", 0.5), ("/2", 0.5), ("3/2", 1.5), ("4", 4), ("//", 0.25), ("3", 3))
SILENT = ('"Am"', '"^up"', "!trill!", "~", ".", "!p!", "%s", "+fermata+", "!slide!", "v", "`", "y")
"""Signs beside a note that change neither notes nor lengths."""
PIECES = (
    b"X:1\n", b"X:\n", b"X:2\n\n", b"\n\n", b"T:", b"K:", b"K:C clef=bass\n", b"M:C|\n", b"M:4/0\n", b"M:0/4\n",
    b"L:1/0\n", b"L:0\n", b"L:1/8\n",
    b"Q:1/4=0\n", b"Q:1/4=120\n", b"Q:99999999\n", b"V:1\n", b"V:2 name=x\n", b"[V:2]", b"V:99999\n", b"P:AB(CD)9\n",
    b"P:A\n",
    b"m:~n=abc\n", b"U:T=!trill!\n", b"w:la la\n", b"s:!p!\n", b"I:linebreak $\n", b"%%MIDI program 9999\n",
    b"%%MIDI channel 10\n",
    b"%%MIDI transpose 999\n", b"%%MIDI drumon\n", b"%%MIDI gchord fzcz\n", b"%%propagate-accidentals pitch\n",
    b"%%score (1 2)\n",
    b"|:", b":|", b"::", b"|1", b":|2", b"[1", b"|]", b"|::", b"(3", b"(9:8:7", b"(0", b"[", b"]", b"{", b"}", b"(",
    b")", b'"', b"!", b"-", b">>>>",
    b"<", b"&", b"Z", b"Z999", b"z99999999", b"C99999999", b"C/99999999", b"C/0", b"C0", b"^^^^c", b"c''''''''",
    b"C,,,,,,,,", b"=_^C", b"[CEG]",
    b"[C2EG]", b"[]", b"{/c}", b"!D.C.!", b"!segno!", b"!coda!", b"!fine!", b"\\\n", b"\r", b"\t", b"%", b"$", b"H",
    b"T", b"y", b"\xe9", b"\0", b"\xef\xbb\xbf",
    b"x" * 3000, b"C" * 600, b"[K:D]", b"[L:1/16]", b"[M:3/4]", b"[r:x]", b"[X:1]", b"+:", b"*",
)  # fmt: skip


@dataclass
class Tune:
    """A tune's text and its notes: (onset, duration in quarter notes, pitch)."""

    draw: random.Random
    text: str = ""
    notes: list[tuple[Fraction, Fraction, int]] = field(default_factory=list)

    def make(self, number: int) -> None:
        """One tune of one or two voices."""
        draw = self.draw
        key = draw.choice([one for one in KEYS if one != "HP"])
        unit = draw.choice((4, 8, 16))
        head = [f"X:{number}", "T:Tune"]
        fields = [f"L:1/{unit}", draw.choice(("M:4/4", "M:C", "M:6/8", "M:none"))]
        fields += draw.sample(["Q:1/4=100", "C:Trad.", "R:hornpipe", "N:%d", "%%text x", "O:x", "Z:x"], 2)
        draw.shuffle(fields)
        text = [*head, *fields, f"K:{key}"]
        voices = draw.choice((1, 1, 2))
        for voice in range(voices):
            if voices > 1:
                text.append(f"V:{voice + 1}")
            text += self._voice(KEYS[key] or "", Fraction(4, unit))
        self.text = "\n".join(text) + "\n"

    def _voice(self, altered: str, unit: Fraction) -> list[str]:
        draw, at, lines = self.draw, Fraction(0), []
        for _ in range(draw.choice((1, 2))):
            text, notes, length = self._bars(altered, unit)
            repeated = draw.random() < 0.3
            for _ in range(1 + repeated):
                self.notes += [(at + onset, duration, pitch) for onset, duration, pitch in notes]
                at += length
            lines.append(f"|:{text}:|" if repeated else f"{text}|")
        return lines

    def _bars(self, altered: str, unit: Fraction) -> tuple[str, list[tuple[Fraction, Fraction, int]], Fraction]:
        draw, at, bars = self.draw, Fraction(0), []
        found: list[tuple[Fraction, Fraction, int]] = []
        for _ in range(draw.choice((1, 2, 3))):
            words = ""
            letters = draw.sample(["C", "D", "E", "F", "G", "A", "B"], 4)
            names = [draw.choice((one, one.lower())) for one in letters]  # of each letter one octave in a bar
            signs = {name: draw.choice(("", "", "", "^", "_", "=")) for name in names}
            for _ in range(draw.choice((2, 4, 6))):
                written, factor = draw.choice(LENGTHS)
                length = Fraction(factor) * unit
                shown = draw.choice(SILENT) if draw.random() < 0.15 else ""
                words += " " * draw.randrange(2) + (shown if shown != "%s" else "")
                kind = draw.random()
                if kind < 0.12:
                    words += draw.choice("zx") + written
                elif kind < 0.25:
                    chosen = draw.sample(names, 2)
                    words += f"[{''.join(signs[one] + one for one in chosen)}]{written}"
                    found += [(at, length, self._pitch(signs[one], one, altered)) for one in chosen]
                elif kind < 0.32 and found:
                    one, other = draw.sample(names, 2)
                    words += f" {signs[one]}{one}>{signs[other]}{other}"
                    found.append((at, unit * 3 / 2, self._pitch(signs[one], one, altered)))
                    found.append((at + unit * 3 / 2, unit / 2, self._pitch(signs[other], other, altered)))
                    length = 2 * unit
                elif kind < 0.38:
                    chosen = [draw.choice(names) for _ in range(3)]
                    words += " (3" + "".join(signs[one] + one for one in chosen) + " "
                    length = 2 * unit
                    for place, one in enumerate(chosen):
                        found.append((at + length * place / 3, length / 3, self._pitch(signs[one], one, altered)))
                else:
                    one = draw.choice(names)
                    words += signs[one] + one + written
                    tied = draw.random() < 0.1
                    found.append((at, length * (1 + tied), self._pitch(signs[one], one, altered)))
                    if tied:
                        words += "-" + one + written
                        length *= 2
                at += length
            bars.append(words)
        return "|".join(bars), found, at

    @staticmethod
    def _pitch(sign: str, name: str, altered: str) -> int:
        if sign:
            return PITCHES[name] + {"^": 1, "_": -1, "=": 0}[sign]
        by_key = 1 if name.upper() in altered else -1 if name.lower() in altered else 0
        return PITCHES[name] + by_key


def read_abc(draw: random.Random, folder: Path) -> bool:
    """A tune with its notes known, or a damaged file: read by both readers, written as MIDI and read again equal."""
    made = [Tune(draw) for _ in range(draw.choice((1, 1, 1, 2)))]
    for number, tune in enumerate(made, start=1):
        tune.make(number)
    data = "\n".join(tune.text for tune in made).encode()
    whole = draw.random() < 0.5
    if not whole:
        head = draw.choice((b"", b"", b"L:1/8\nM:3/4\n", b"%abc-2.1\nQ:100\n\n", b"free text\n\n", b"I:x\nR:reel\n"))
        data = mutated(head + data, draw, PIECES)
        data = data.replace(b"\n", b"\r") if draw.random() < 0.05 else data
        data = data.decode("latin-1").encode("utf-16") if draw.random() < 0.03 else data
    path = folder / GIVEN / "book.abc"
    path.write_bytes(data)
    found = tunes(data)
    if whole:
        assert len(found) == len(made), "tunes lost"
    read = 0
    for key, text in found.items():
        try:
            score = read_tune(text)
        except AbcError:
            assert not whole, f"refused: {text}"
            continue
        if whole:
            assert heard(score) == expected(made[key - 1]), f"other notes than written: {text}"
        again = read_score(write_score(score), all_texts=True)
        assert promised(again) == promised(score), "written and read again it differs"
        try:
            piece = read_piece(path, key)
        except UnreadableError:
            continue
        assert note_arrays(piece).onset.min() >= 0
        read += 1
    pieces, skipped = read_folder(folder / GIVEN)
    assert len(pieces) + len(skipped) == max(len(found), 1), "a tune neither read nor named"
    assert all(len(reason.splitlines()) == 1 for _, reason in skipped)
    assert abc_tunes(path) == found
    return read > 0


def heard(score: Any) -> list[tuple[int, int, int]]:
    """(onset, duration in twelfths of a 16th, pitch): the converter begins notes a tick of 480 late."""
    grid = score.ticks_per_quarter / 48
    notes = [note for track in score.tracks for note in notes_of(track)]
    return sorted((round(time / grid), round((duration + 1) / grid), pitch) for time, duration, pitch, _ in notes)


def expected(tune: Tune) -> list[tuple[int, int, int]]:
    """The tune's notes as `heard` has them."""
    return sorted((round(onset * 48), round(duration * 48), pitch) for onset, duration, pitch in tune.notes)
