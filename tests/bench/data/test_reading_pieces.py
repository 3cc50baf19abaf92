"""Reading one piece: what is merged, what is dropped, and the named reason for everything that cannot be used."""

import tarfile
from pathlib import Path

import pytest

from bench.data import reading
from bench.data.music import folder_notes, unended_in_words
from bench.data.reading import UnreadableError, inspect_score, note_arrays, read_piece
from metrics import read_notes


def chunk(kind: bytes, data: bytes) -> bytes:
    return kind + len(data).to_bytes(4, "big") + data


def header(tracks: int = 1, division: int = 480) -> bytes:
    return chunk(b"MThd", b"\0\1" + tracks.to_bytes(2, "big") + division.to_bytes(2, "big"))


NOTE = b"\0\x90\x3c\x40\x83\x60\x80\x3c\0"  # C4 for 480 ticks
END = b"\0\xff\x2f\0"


def reason(path: Path) -> str:
    with pytest.raises(UnreadableError) as caught:
        read_piece(path)
    return str(caught.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty file"),
        (b"RIFF" + bytes(40), "not a MIDI file (no MThd at its start)"),
        (b"MThd\x06\0\0\0\1\0\1\0\xe0\1", "wrong byte order (little-endian header)"),
        (header()[:12], "truncated inside the header"),
        (header(division=0xE728) + chunk(b"MTrk", NOTE + END), "time counted in film frames (SMPTE), not in beats"),
        (header(division=0) + chunk(b"MTrk", NOTE + END), "zero ticks a quarter note"),
        (header() + chunk(b"MTrk", NOTE * 9 + END)[:30], "truncated (a track ends before its stated length)"),
        (header() + chunk(b"MTrk", END), "no notes"),
        (header() + chunk(b"MTrk", NOTE.replace(b"\x90", b"\x99").replace(b"\x80", b"\x89") + END), "drums only"),
    ],
)
def test_a_file_that_cannot_be_used_has_a_named_reason(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "x.mid"
    path.write_bytes(content)
    assert reason(path) == words


def test_broken_events_are_named_as_broken(tmp_path: Path) -> None:
    path = tmp_path / "x.mid"
    path.write_bytes(header() + chunk(b"MTrk", b"\0\x90\x3c\xff" + END))  # velocity 255
    assert reason(path).startswith("broken MIDI (")


def test_a_whole_minimal_file_is_one_note(tmp_path: Path) -> None:
    path = tmp_path / "x.mid"
    path.write_bytes(header() + chunk(b"MTrk", NOTE + END))
    arrays = note_arrays(read_piece(path))
    assert [arrays.onset.tolist(), arrays.duration.tolist(), arrays.pitch.tolist()] == [[0.0], [1.0], [60]]


def test_an_absent_file_and_an_oversized_one_are_reasons(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert reason(tmp_path / "none.mid") == "cannot be read (No such file or directory)"
    (tmp_path / "x.mid").write_bytes(header() + chunk(b"MTrk", NOTE + END))
    monkeypatch.setattr(reading, "MAX_FILE_BYTES", 10)
    assert "at most" in reason(tmp_path / "x.mid")


def test_hundreds_of_tracks_and_hours_of_music_are_refused(tmp_path: Path, write_midi, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    many = write_midi(tmp_path / "many.mid", *([(0.0, 1.0, 60, 64)] for _ in range(300)))
    assert reason(many) == "300 tracks (at most 128)"
    endless = write_midi(tmp_path / "endless.mid", [(0.0, 1.0, 60, 64), (40_000.0, 1.0, 60, 64)])
    assert reason(endless) == "40001 quarter notes long (at most 30000)"
    hours = write_midi(tmp_path / "hours.mid", [(24_000.0, 0.5, 60, 64)])  # 120 beats a minute
    assert reason(hours) == "3.3 hours long (at most 3)"
    monkeypatch.setattr(reading, "MAX_NOTES", 3)
    assert reason(write_midi(tmp_path / "dense.mid", [(0.0, 1.0, p, 64) for p in range(60, 64)])).startswith("4 notes")


def test_tracks_are_merged_without_drums_and_without_notes_of_no_length(tmp_path: Path, write_midi) -> None:  # type: ignore[no-untyped-def]
    path = write_midi(
        tmp_path / "x.mid",
        [(1.0, 1.0, 72, 64)],
        [(0.0, 2.0, 48, 50), (1.0, 0.5, 60, 70)],
        [(0.0, 1.0, 36, 90)],
        drums=[2],
    )
    arrays = note_arrays(read_piece(path))
    assert arrays.onset.tolist() == [0.0, 1.0, 1.0]
    assert arrays.pitch.tolist() == [48, 60, 72]
    assert arrays.duration.tolist() == [2.0, 0.5, 1.0]
    assert arrays.velocity.tolist() == [50, 70, 64]


def test_the_content_hash_sees_notes_alone(tmp_path: Path, write_midi) -> None:  # type: ignore[no-untyped-def]
    tune = [(0.0, 1.0, 60, 64), (1.0, 0.5, 62, 64)]
    one = inspect_score(read_piece(write_midi(tmp_path / "1.mid", tune)))
    late = [(onset + 3, duration, pitch, 100) for onset, duration, pitch, _ in tune]
    same = inspect_score(read_piece(write_midi(tmp_path / "2.mid", late[:1], late[1:], tpq=96)))
    assert one.content == same.content
    moved = inspect_score(read_piece(write_midi(tmp_path / "3.mid", [(0.0, 1.0, 60, 64), (1.0, 0.5, 63, 64)])))
    assert one.content != moved.content
    assert (one.notes, one.quarters, one.pitches[60], one.pitches[62], sum(one.pitches)) == (2, 1.5, 1, 1, 2)


def test_tunes_of_an_abc_file_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "book.abc"
    text = "X:3\nT: Fröhlich\nM:4/4\nL:1/4\nK:C\nC D E F |\r\n\r\nX:7\nM:4/4\nL:1/4\nK:C\nG2 G2 |\n"
    path.write_bytes(text.encode("latin-1"))
    assert sorted(reading.abc_tunes(path)) == [3, 7]
    assert "Fröhlich" in reading.abc_tunes(path)[3]
    assert note_arrays(read_piece(path, 3)).pitch.tolist() == [60, 62, 64, 65]
    assert note_arrays(read_piece(path, 7)).duration.round(1).tolist() == [2.0, 2.0]
    with pytest.raises(UnreadableError, match="no tune X:5"):
        read_piece(path, 5)
    path.write_text("no tune here")
    assert reason(path) == "no tune in the ABC file"


def test_a_repeated_tune_number_loses_no_tune(tmp_path: Path) -> None:
    path = tmp_path / "book.abc"
    path.write_text("".join(f"X:{number}\nK:C\n{note}4 |\n\n" for number, note in ((1, "C"), (1, "D"), (5, "E"))))
    assert [text.split()[-2] for _, text in sorted(reading.abc_tunes(path).items())] == ["C4", "D4", "E4"]


def test_abc_that_means_nothing_has_a_reason_without_temporary_names(tmp_path: Path) -> None:
    path = tmp_path / "book.abc"
    path.write_text("X:1\nno key\n")
    with pytest.raises(UnreadableError) as caught:
        read_piece(path, 1)
    assert str(caught.value) == "broken ABC (the converter makes nothing of it)"


def test_a_file_of_an_archive_is_read_by_its_name(tmp_path: Path, write_midi) -> None:  # type: ignore[no-untyped-def]
    one = write_midi(tmp_path / "one.mid", [(0.0, 1.0, 60, 64)])
    pack = tmp_path / "music.tar.xz"
    with tarfile.open(pack, "w:xz") as archive:
        archive.add(one, "one.mid")
    assert reading.piece_bytes(pack, "one.mid") == one.read_bytes()
    assert note_arrays(read_piece(pack, "one.mid")).pitch.tolist() == [60]
    with pytest.raises(UnreadableError, match=r"no file two\.mid in music\.tar\.xz"):
        read_piece(pack, "two.mid")
    pack.write_bytes(pack.read_bytes()[:60])
    with pytest.raises(UnreadableError, match="damaged archive"):
        read_piece(pack, "one.mid")
    assert reading.piece_bytes(pack, "one.mid") == b""


def test_notes_that_never_end_are_counted_and_named(tmp_path: Path) -> None:
    (tmp_path / "a.mid").write_bytes(header() + chunk(b"MTrk", b"\0\x90\x43\x50" + NOTE + b"\0\x90\x3c\x50" + END))
    (tmp_path / "b.mid").write_bytes(header() + chunk(b"MTrk", NOTE + END))
    (tmp_path / "c.mid").write_bytes(header() + chunk(b"MTrk", b"\0\x90\x43\x50" * 2 + END))
    pieces, skipped = folder_notes(tmp_path)
    assert [(piece.name, len(piece), piece.unended) for piece in pieces] == [("a.mid", 1, 2), ("b.mid", 1, 0)]
    assert [(item.id, item.reason) for item in skipped] == [("c.mid", "2 notes, none of which ends")]
    assert unended_in_words(pieces) == "notes that never end are left out: a.mid (2)"
    assert unended_in_words(pieces[1:]) == ""
    assert [read_notes(tmp_path / f"{name}.mid").unended for name in "ab"] == [2, 0]


def test_only_files_that_a_parser_would_misread_are_hashed_as_something_else(tmp_path: Path) -> None:
    after_sysex = b"\0\x90\x3c\x40\x83\x60\x3c\0\0\xf0\x01\xf7\0\x3e\x40\x83\x60\x3e\0" + END
    for index, (events, same) in enumerate(
        ((NOTE + END, True), (after_sysex, False), (b"\0\xf0\x01\xf7" + NOTE, True))
    ):
        path = tmp_path / f"{index}.mid"
        path.write_bytes(header() + chunk(b"MTrk", events))
        assert (reading.hashed_bytes(path, None) == path.read_bytes()) is same
    (tmp_path / "a.abc").write_text("X:1\nK:C\nC|\n")
    assert reading.hashed_bytes(tmp_path / "a.abc", 1) != reading.piece_bytes(tmp_path / "a.abc", 1) != b""
    assert reading.hashed_bytes(tmp_path / "a.abc", 2) == b""
    bars_and_marks = {
        "|:C4:|D4|]": b"",
        "C4||D4:|": b" in their order",
        "C4!D.C.!|]": b" refused",
        "D4|2E4|]": b" refused",
    }
    for number, (bars, mark) in enumerate(bars_and_marks.items()):
        path = tmp_path / f"{number}.abc"
        path.write_text(f"X:1\nK:C\n{bars}\n")
        assert reading.hashed_bytes(path, 1) == path.read_bytes() + reading.ABC_READER + mark
