"""Chorales in MusicXML, read by music21: the notes of the four voices."""

from __future__ import annotations

from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

VOICES = ("Soprano", "Alto", "Tenor", "Bass")
TICKS = 480
READER_VERSION = 1
"""Raised with any change here that alters what is read from a file."""
VELOCITY = 64
"""Of every note, since a chorale states none; the default of `metrics.Notes`."""


def read_chorale(path: Path) -> Any:
    """The voices of a chorale as tracks of a `symusic.Score`, time counted from the first bar line.

    A part belongs to the voice that its name begins with ("Soprano 2", "Tenor Viola"); instruments are left out. Tied
    notes are one, repeats are played once, grace notes are left out, and so are tempos, which few chorales state. An
    upbeat ends at the second bar line. Raises ValueError where a voice is missing.
    """
    import symusic
    from music21 import converter

    piece: Any = converter.parse(path, forceSource=True, storePickle=False)
    score: Any = symusic.Score(TICKS)
    for part in piece.parts:
        voice = next((voice for voice in VOICES if (part.partName or "").startswith(voice)), None)
        if voice is None:
            continue
        upbeat = float(part.measure(0, indicesNotNumbers=True).paddingLeft)
        track: Any = symusic.Track(voice, 0, False)
        for note in part.stripTies().flatten().notes:
            if not note.duration.isGrace:
                time, length = _ticks(note.offset, upbeat), _ticks(note.quarterLength)
                for pitch in note.pitches:
                    track.notes.append(symusic.Note(time, length, pitch.midi, VELOCITY))
        if not len(score.tracks):
            for meter in part.flatten().getElementsByClass("TimeSignature"):
                time = _ticks(meter.offset, upbeat) if meter.offset else 0
                score.time_signatures.append(symusic.TimeSignature(time, meter.numerator, meter.denominator))
        score.tracks.append(track)
    if missing := [voice for voice in VOICES if voice not in {track.name for track in score.tracks}]:
        raise ValueError(f"no part called {' or '.join(missing)}")
    return score


@cache
def reader_name() -> str:
    """The reader with its versions, since other versions may read other notes out of the same file; "" without it."""
    try:
        return f"chorale {READER_VERSION}, music21 {version('music21')}"
    except PackageNotFoundError:
        return ""


def _ticks(quarters: Any, later: float = 0.0) -> int:
    return round(float(quarters + later) * TICKS)
