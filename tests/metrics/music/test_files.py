"""Files byte by byte: what the standard allows is read as it says, what is damaged is refused in one line."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from metrics import NotesError, quality_table, read_folder, read_notes

ON_60, OFF_60, ON_64, OFF_64 = b"\x90\x3c\x50", b"\x80\x3c\0", b"\x90\x40\x50", b"\x80\x40\0"
BEAT = b"\x83\x60"  # 480 ticks
TWO_NOTES = b"\0" + ON_60 + BEAT + OFF_60 + b"\0" + ON_64 + BEAT + OFF_64


def track(events: bytes, *, end: bytes = b"\0\xff\x2f\0") -> bytes:
    return b"MTrk" + struct.pack(">I", len(events + end)) + events + end


def midi(*tracks: bytes, kind: int = 0, division: int = 480) -> bytes:
    return b"MThd" + struct.pack(">IHHH", 6, kind, len(tracks), division) + b"".join(tracks)


def signature(numerator: int, power: int) -> bytes:
    return b"\0\xff\x58\x04" + bytes([numerator, power, 24, 8])


GOOD = {
    "type 0": midi(track(TWO_NOTES)),
    "type 1": midi(track(b"\0\xff\x51\x03\x07\xa1\x20"), track(TWO_NOTES), kind=1),
    "running status": midi(track(b"\0" + ON_60 + BEAT + b"\x3c\0\0\x40\x50" + BEAT + b"\x40\0")),
    "tempo change": midi(track(TWO_NOTES[:9] + b"\0\xff\x51\x03\x01\0\0" + TWO_NOTES[9:])),
    "no end of track": midi(track(TWO_NOTES, end=b"")),
    "unknown chunk": midi(b"XFIH\0\0\0\x02ab", track(TWO_NOTES)),
    "bytes behind": midi(track(TWO_NOTES)) + b"left over",
    "sysex": midi(track(b"\0\xf0\x03\x43\x12\xf7" + TWO_NOTES)),
    "drums beside": midi(track(TWO_NOTES), track(b"\0\x99\x24\x50" + BEAT + b"\x89\x24\0"), kind=1),
    "meter of nothing": midi(track(signature(0, 2) + TWO_NOTES)),
    "meter without end": midi(track(signature(4, 255) + TWO_NOTES)),
    "300 tracks": midi(*[track(TWO_NOTES)] * 300, kind=1),
    "zero-length note": midi(track(b"\0" + ON_60 + b"\0" + OFF_60 + TWO_NOTES)),
    "note that never ends": midi(track(b"\0\x90\x30\x50" + TWO_NOTES)),
}


@pytest.mark.parametrize("name", GOOD)
def test_a_legal_file_says_two_notes_of_a_beat(name: str, tmp_path: Path):
    path = tmp_path / "file.kar"
    path.write_bytes(GOOD[name])
    notes = read_notes(path)
    assert (notes.onset.tolist(), notes.duration.tolist(), notes.pitch.tolist()) == ([0, 1], [1, 1], [60, 64])


def test_overlaps_of_a_pitch_end_in_order(tmp_path: Path):
    path = tmp_path / "file.mid"
    path.write_bytes(midi(track(b"\0" + ON_60 + BEAT + ON_60 + BEAT + OFF_60 + BEAT + OFF_60)))
    notes = read_notes(path)  # first on, first off: 0..2 and 1..3; the first is cut where the second starts
    assert (notes.duration.tolist(), notes.releases.tolist()) == ([1, 2], [2, 3])


BAD = {
    "film frames": (midi(track(TWO_NOTES), division=0xE728), "film frames"),
    "no ticks": (midi(track(TWO_NOTES), division=0), "zero ticks"),
    "hours": (midi(track(b"\0" + ON_60 + b"\xff\xff\xff\x7f" + OFF_60)), "beats long"),
    "truncated": (midi(track(TWO_NOTES))[:-9], "truncated"),
    "truncated header": (midi(track(TWO_NOTES))[:10], "truncated"),
    "wrong endian": (b"MThd" + struct.pack("<IHHH", 6, 0, 1, 480) + track(TWO_NOTES), "byte order"),
    "endless chunk": (midi(b"MTrk\xff\xff\xff\xff" + TWO_NOTES), "truncated"),
    "words": (b"this is no music at all", "not a MIDI file"),
    "nothing": (b"", "empty file"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_damaged_file_is_refused_in_one_line(name: str, tmp_path: Path):
    path = tmp_path / "file.mid"
    path.write_bytes(BAD[name][0])
    with pytest.raises(NotesError, match=BAD[name][1]) as caught:
        read_notes(path)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)


def test_every_tune_of_an_abc_file_is_a_piece_in_utf8_or_latin_1(tmp_path: Path):
    tunes = "X:1\nT:Caf\u00e9\nM:3/4\nL:1/4\nK:C\nC D E|\n\nX:2\nT:B\nM:4/4\nL:1/4\nK:C\nG A B c|\n"
    (tmp_path / "book.abc").write_bytes(tunes.encode("latin-1"))
    pieces, skipped = read_folder(tmp_path)
    assert [(piece.name, piece.pitch.tolist()) for piece in pieces] == [
        ("book.abc#1", [60, 62, 64]),
        ("book.abc#2", [67, 69, 71, 72]),
    ]
    assert skipped == []
    with pytest.raises(NotesError, match="holds 2 tunes"):
        read_notes(tmp_path / "book.abc")


def test_a_table_of_such_files_has_figures_or_reasons(tmp_path: Path):
    for index, content in enumerate([*GOOD.values(), *(content for content, _ in BAD.values())]):
        (tmp_path / f"{index:02d}.mid").write_bytes(content)
    pieces, skipped = read_folder(tmp_path)
    assert (len(pieces), len(skipped)) == (len(GOOD), len(BAD))
    assert all(row.measured or row.reason for row in quality_table(pieces, pieces, pieces))
