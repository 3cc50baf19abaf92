"""MIDI files, event by event: made with every liberty that the standard leaves and many that it does not."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from mutation import GIVEN, mutated

from bench.data.packaged_corpora import DEMO_FOLDER, list_demo
from bench.data.reading import inspect_score, note_arrays, piece_bytes, read_piece
from metrics import read_notes
from metrics.music.midi import read_score, unended_notes, write_score

DELTAS = (0, 0, 1, 60, 120, 240, 480, 480, 960, 127, 128, 16383, 16384)
FAR = (2**21 - 1, 2**21, 2**28 - 1)
TEXTS = (
    b"Piano",
    b"",
    b"Fl\xf6te",
    "日本".encode(),
    "ピアノ".encode("shift_jis"),
    b"\xef\x9e\x80",
    b"%s",
    b"a\0b",
    b"x" * 130,
)
PIECES = (
    b"\xff\x2f\0", b"\xf0\x02\x01\xf7", b"\xf7\x01\x02", b"\x90\x3c\x40", b"\x3c\x40", b"\x80\x80\x80\x80\0",
    b"\xff\xff\xff\x7f",
    b"\xff\x51\x03\0\0\0", b"\xff\x58\x04\0\0\0\0", b"MTrk\0\0\0\0", b"MTrk\xff\xff\xff\xff", b"\xf8", b"\xc0",
    b"\xff\x03\x81\0",
)  # fmt: skip


def number(value: int, draw: random.Random) -> bytes:
    """A number of variable length, now and then with leading bytes that say nothing."""
    parts = [value & 0x7F]
    while value := value >> 7:
        parts.append(0x80 | value & 0x7F)
    while draw.random() < 0.02 and len(parts) < 5:
        parts.append(0x80)
    return bytes(reversed(parts))


def meta(draw: random.Random) -> bytes:
    """A meta event."""
    kind = draw.choice((1, 3, 3, 4, 5, 6, 0x20, 0x21, 0x51, 0x51, 0x54, 0x58, 0x58, 0x59, 0x7F, 0x60, 0x2F))
    usual = {
        0x51: draw.choice((b"\x07\xa1\x20", b"\x0f\x42\x40", b"\x01\x00\x00", b"\0\0\0", b"\0\0\1", b"\xff\xff\xff")),
        0x58: bytes((draw.choice((4, 3, 6, 0, 255)), draw.choice((2, 2, 3, 0, 7, 31, 255)), 24, 8)),
        0x59: bytes((draw.choice((0, 2, 0xFD, 7, 0xF9, 100, 0x80)), draw.choice((0, 1, 2)))),
        0x20: bytes((draw.choice((0, 9, 200)),)), 0x21: b"\0", 0x2F: b"",
    }  # fmt: skip
    data = usual.get(kind, draw.choice(TEXTS))
    if draw.random() < 0.03:  # another length than the kind has
        data = draw.choice((b"", data[:-1], data + b"\0", data * 3))
    if kind == 0x2F and draw.random() < 0.8:
        return b"\xff\x01\0"
    return bytes((0xFF, kind)) + number(len(data), draw) + data


def track_body(draw: random.Random) -> bytes:
    """Events of a track: notes that overlap, never end or last no time, signs of running status left out."""
    out, running = [], 0
    channel, pitches = draw.choice((0, 0, 0, 0, 1, 1, 9, 15)), draw.sample(range(128), 3)
    for _ in range(draw.choice((0, 12, 12, 40))):
        far = draw.random() < 0.002
        out.append(number(draw.choice(FAR if far else DELTAS), draw))
        kind = draw.random()
        if draw.random() < 0.03:
            channel = draw.randrange(16)
        if kind < 0.75:
            status = draw.choice((0x90, 0x90, 0x80)) | channel
            data = bytes((draw.choice(pitches), draw.choice((0, 1, 64, 80, 127))))
        elif kind < 0.85:
            status = draw.choice((0xA0, 0xB0, 0xC0, 0xD0, 0xE0)) | channel
            data = bytes(draw.choice((0, 1, 7, 64, 127)) for _ in range(1 if status & 0xE0 == 0xC0 else 2))
        else:
            is_meta = kind < 0.97
            text = draw.choice(TEXTS)
            lead = b"" if is_meta else draw.choice((b"\xf0", b"\xf0", b"\xf7")) + number(len(text), draw)
            out.append(meta(draw) if is_meta else lead + text)
            if draw.random() < 0.9:
                running = 0
            continue
        out.append((b"" if status == running and draw.random() < 0.8 else bytes((status,))) + data)
        running = status
    if draw.random() < 0.97:
        out.append(number(draw.choice(DELTAS), draw) + b"\xff\x2f\0")
    if draw.random() < 0.03:
        out.append(draw.choice(PIECES))
    return b"".join(out)


def chunk(body: bytes) -> bytes:
    """A track."""
    return b"MTrk" + len(body).to_bytes(4, "big") + body


def made_file(draw: random.Random) -> bytes:
    """A file of one to seventeen tracks."""
    tracks = [track_body(draw) for _ in range(draw.choice((1, 1, 1, 1, 2, 2, 3, 17)))]
    rare = draw.random()
    kind = draw.choice((0, 1, 1)) if rare > 0.02 else draw.choice((2, 3, 65535))
    count = len(tracks) if draw.random() > 0.05 else draw.choice((0, 1, 5, 65535))
    division = draw.choice((480, 480, 96, 1, 960, 32767)) if rare < 0.99 else draw.choice((0, 0x8000, 0xE728))
    extra = draw.choice((b"\0", b"\0\0")) if draw.random() < 0.03 else b""
    header = (6 + len(extra)).to_bytes(4, "big") + b"".join(one.to_bytes(2, "big") for one in (kind, count, division))
    between = [b"XFIH\0\0\0\x02ab"] if draw.random() < 0.03 else []
    return b"MThd" + header + extra + b"".join([*between, *map(chunk, tracks)])


@cache
def whole_files() -> tuple[bytes, ...]:
    """Small pieces of the demo corpus, and what our own writer makes of them."""
    found = sorted((piece_bytes(one.path, one.member) for one in list_demo(DEMO_FOLDER).sources[::40]), key=len)[:8]
    return (*found, *(write_score(read_score(data)) for data in found))


def damaged_body(data: bytes, draw: random.Random) -> bytes:
    """A file with one track changed and its length made right."""
    at = data.rindex(b"MTrk")
    end = at + 8 + int.from_bytes(data[at + 4 : at + 8], "big")
    return data[:at] + chunk(mutated(data[at + 8 : end], draw, PIECES)) + data[end:]


def read_midi(draw: random.Random, folder: Path) -> bool:
    """A file made here or a damaged one: read alike by our readers and a plain one, written and read again equal."""
    kind = draw.random()
    if kind < 0.75:
        data = made_file(draw)
        if kind > 0.66:
            data = mutated(data, draw, PIECES)
    else:
        data = (damaged_body if kind < 0.9 else mutated)(draw.choice(whole_files()), draw)
    path = folder / GIVEN / "piece.mid"
    path.write_bytes(data)
    score = read_score(data, all_texts=True)
    notes = [note for track in score.tracks for note in notes_of(track)]
    expected, unended = notes_by_the_standard(data)
    assert Counter(notes) == expected, "other notes than the standard says"
    assert unended_notes(data, len(notes)) == unended
    again = read_score(write_score(score), all_texts=True)
    assert promised(again) == promised(score), "written and read again it differs"
    piece = read_piece(path)
    inspect_score(piece)
    assert read_notes(path).unended == unended
    path.write_bytes(write_score(score))
    assert arrays_equal(note_arrays(piece), note_arrays(read_piece(path))), "written and read again it is another piano"
    return True


def notes_of(track: Any) -> Iterator[tuple[int, int, int, int]]:
    """(time, duration, pitch, velocity) of a track's notes."""
    columns = track.notes.numpy()
    return zip(*(columns[key].tolist() for key in ("time", "duration", "pitch", "velocity")), strict=True)


def promised(score: Any) -> dict[str, object]:
    """What reading promises of a file."""
    tracks = [
        (track.name, track.is_drum, track.program, sorted(notes_of(track)))
        for track in score.tracks
        if len(track.notes)
    ]
    return {
        "ticks": score.ticks_per_quarter,
        "tracks": sorted(tracks),
        "tempos": sorted((one.time, one.mspq) for one in score.tempos),
        "meters": sorted((one.time, one.numerator, one.denominator) for one in score.time_signatures),
    }


def arrays_equal(one: Any, other: Any) -> bool:
    """Whether two `NoteArrays` hold the same notes, meters and tempo."""
    columns = ("onset", "duration", "pitch", "velocity")
    rest = ("meters", "tempo", "ticks")
    return all((getattr(one, key) == getattr(other, key)).all() for key in columns) and all(
        getattr(one, key) == getattr(other, key) for key in rest
    )


def notes_by_the_standard(data: bytes) -> tuple[Counter[tuple[int, int, int, int]], int]:
    """Notes of a whole file by a plain loop over its events, and how many never end."""
    found: Counter[tuple[int, int, int, int]] = Counter()
    unended = 0
    at = 8 + int.from_bytes(data[4:8], "big")
    while at + 8 <= len(data):
        length = int.from_bytes(data[at + 4 : at + 8], "big")
        if data[at : at + 4] == b"MTrk":
            unended += _read_track(data[at + 8 : at + 8 + length], found)
        at += 8 + length
    return found, unended


def _read_track(body: bytes, found: Counter[tuple[int, int, int, int]]) -> int:
    at = tick = status = 0
    open_notes: dict[tuple[int, int], list[tuple[int, int]]] = {}

    def variable() -> int:
        nonlocal at
        value = 0
        while True:
            value = value << 7 | body[at] & 0x7F
            at += 1
            if body[at - 1] < 0x80:
                return value

    while at < len(body):
        tick += variable()
        if body[at] >= 0x80:
            event = body[at]
            at += 1
        else:
            event = status
        if event == 0xFF:
            kind = body[at]
            at += 1
            length = variable()
            at += length
            if kind == 0x2F:
                break
        elif event >= 0xF0:
            length = variable()
            at += length
        else:
            status = event
            count = 1 if event & 0xE0 == 0xC0 else 2
            pitch, velocity = body[at], body[at + count - 1]
            at += count
            waiting = open_notes.setdefault((event & 15, pitch), [])
            if event & 0xF0 == 0x90 and velocity:
                waiting.append((tick, velocity))
            elif event & 0xE0 == 0x80 and waiting:
                begun, loud = waiting.pop(0)
                found[(begun, tick - begun, pitch, loud)] += 1
    return sum(map(len, open_notes.values()))
