"""Standard MIDI files byte by byte: what symusic alone reads as other music is read right or refused."""

from __future__ import annotations

import itertools
import random
import struct
from pathlib import Path

import pytest

from bench.data.reading import UnreadableError, read_piece
from metrics import NotesError, read_folder, read_notes
from metrics.music.midi import MidiError, read_score, unended_notes, walk, write_score
from metrics.music.midi_texts import original, readings

BEAT = b"\x83\x60"  # 480 ticks
END = b"\0\xff\x2f\0"
SYSEX, ESCAPE, TEXT = b"\xf0\x05\x7e\x7f\x09\x01\xf7", b"\xf7\x02\x01\x02", b"\xff\x01\x02%+"
FAR = b"\xff\xff\xff\x7f\xff\x01\x01x"  # a text 2^28 - 1 ticks later


def note(pitch: int) -> bytes:
    return bytes([0, 0x90, pitch, 80]) + BEAT + bytes([0x80, pitch, 0])


def track(events: bytes) -> bytes:
    return b"MTrk" + struct.pack(">I", len(events + END)) + events + END


def midi(*tracks: bytes, kind: int = 1, count: int | None = None, header: bytes = b"") -> bytes:
    counted = len(tracks) if count is None else count
    return b"MThd" + struct.pack(">IHHH", 6 + len(header), kind, counted, 480) + header + b"".join(tracks)


def heard(data: bytes) -> list[tuple[int, int, int]]:
    return sorted((n.time, n.duration, n.pitch) for part in read_score(data).tracks for n in part.notes)


SCALE = b"".join(note(pitch) for pitch in range(60, 68))
EIGHT = [(480 * step, 480, 60 + step) for step in range(8)]
REST = b"".join(bytes([0, pitch, 80]) + BEAT + bytes([pitch, 0]) for pitch in range(61, 68))
FIRST = b"\0\x90\x3c\x50" + BEAT + b"\x3c\0"


@pytest.mark.parametrize(
    "data",
    [
        midi(track(SCALE)),
        midi(track(FIRST + REST)),
        midi(track(FIRST + b"\0" + SYSEX + REST)),  # events after it have no status of their own
        midi(track(FIRST + b"\0" + TEXT + REST)),
        midi(track(FIRST + b"\0" + SYSEX + b"\0" + TEXT + REST)),
        midi(track(FIRST + b"\0\xf0\x03\x43\x12\x00\0\xf7\x02\x43\xf7" + REST)),  # in two packets
        midi(track(SCALE[:9] + b"\0" + ESCAPE + SCALE[9:])),
        midi(track(FIRST + b"\0\xc0\x05\0\x06" + REST[:1] + b"\x90" + REST[1:])),
        midi(track(FIRST + b"\0" + SYSEX + b"\0\xd0\x05\0\x06" + REST[:1] + b"\x90" + REST[1:])),
        midi(track(SCALE), header=b"\0\0"),
        midi(track(SCALE), count=0),
        midi(track(SCALE), count=5),
        midi(track(SCALE[:36]), track(b"\0\xc0\x05" + BEAT * 0 + b"\x8f\0\xff\x01\x00" + SCALE[36:]), count=1),
        midi(b"XFIH\0\0\0\x02ab", track(SCALE), count=1) + b"left over",
        midi(track(SCALE + FAR)),
    ],
)
def test_eight_notes_of_a_beat(data: bytes) -> None:
    assert heard(data) == EIGHT


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (midi(track(SCALE), track(SCALE), kind=2), "patterns that are no one piece (SMF format 2)"),
        (midi(track(SCALE), kind=7), "SMF format 7 (known: 0 and 1)"),
        (midi(track(SCALE + FAR * 9 + SCALE)), "too long: 2415926775 ticks (at most 2147483647)"),  # negative times
        (midi(track(SCALE + FAR * 16 + b"\xbc\0" + TEXT + SCALE)), "too long: 4294982640 ticks (at most 2147483647)"),
        (midi(track(FIRST[:4] + FAR * 8 + BEAT + b"\x80\x3c\0")), "too long: 2147484120 ticks (at most 2147483647)"),
        (b"MThd\0\0\0\x04\0\0\0\x01\x01\xe0", "a header of 4 bytes (at least 6)"),
        (b"MThd\0\0\0\x40\0\0\0\x01\x01\xe0", "truncated inside the header"),
        (midi(track(SCALE[:9] + b"\0" + SYSEX + b"\0\x3c")), "truncated inside an event"),
        (midi(track(b"\0" + SYSEX + b"\0\x3c\x50")), "broken MIDI (an event without a status)"),
        (midi(track(b"\0" + SYSEX + b"\0\xf4\x3c\x50")), "broken MIDI (status byte F4, which no file may hold)"),
        (midi(track(b"\0" + SYSEX + b"\0\x90\x3c\xff")), "broken MIDI (a data byte over 127)"),
        (midi(track(b"\x80\x80\x80\x80\0\x90\x3c\x50")), "broken MIDI (a number of over 4 bytes)"),
        (midi(track(SCALE), track(SCALE)[:-9], count=1), "truncated (a track ends before its stated length)"),
    ],
)  # fmt: skip
def test_refused_with_the_reason_by_both_readers(data: bytes, reason: str, tmp_path: Path) -> None:
    with pytest.raises(MidiError) as caught:
        read_score(data)
    assert str(caught.value) == reason
    path = tmp_path / "x.mid"
    path.write_bytes(data)
    with pytest.raises(UnreadableError) as of_corpora:
        read_piece(path)
    with pytest.raises(NotesError) as of_metrics:
        read_notes(path)
    assert (str(of_corpora.value), str(of_metrics.value)) == (reason, f"{path}: {reason}")


def test_the_rest_of_a_folder_is_used(tmp_path: Path) -> None:
    (tmp_path / "a.mid").write_bytes(midi(track(SCALE + FAR * 9 + SCALE)))
    (tmp_path / "b.mid").write_bytes(midi(track(SCALE)))
    pieces, skipped = read_folder(tmp_path)
    assert [piece.name for piece in pieces] == ["b.mid"]
    assert [(path.name, reason[:8]) for path, reason in skipped] == [("a.mid", "too long")]


def test_the_last_tick_of_32_bits_is_read() -> None:
    rest = 2**31 - 1 - 8 * 480 - 7 * (2**28 - 1)
    far = bytes([0x80 | rest >> 21, 0x80 | rest >> 14 & 0x7F, 0x80 | rest >> 7 & 0x7F, rest & 0x7F]) + TEXT
    assert rest < 2**28 and heard(midi(track(SCALE + FAR * 7 + far))) == EIGHT


def test_random_tracks_are_counted_as_an_event_at_a_time() -> None:
    """Notes begun, aftertouch and the last tick, of running status and of bytes that look like others."""
    draw = random.Random(5)
    for _ in range(60):
        body, ticks, begun, touched, running = b"", 0, 0, 0, 0
        for _ in range(40):
            delta = draw.choice([0, 1, 127, 128, 14_400, 16_383, 16_384, 2**21 - 1, 2**21, 15_000_000])
            status = draw.choice([0x80, 0x90, 0x90, 0xA0, 0xB0, 0xC0, 0xD0, 0xE0, 0xFF, running or 0x91])
            size = 1 if status & 0xE0 == 0xC0 else 2
            data = bytes(draw.choice([0, 60, 127]) for _ in range(size))
            ticks += delta
            body += bytes(
                0x80 | delta >> power & 0x7F for power in (21, 14, 7) if delta >> power
            ) + bytes([delta & 0x7F])  # fmt: skip
            if status == 0xFF:
                body, running = body + b"\xff\x51\x03\xf0\xf7\xff", 0
                continue
            begun += status & 0xF0 == 0x90 and data[1] > 0
            touched += status & 0xF0 in (0xA0, 0xD0)
            body += (b"" if status == running else bytes([status])) + data
            running = status
        found = walk(midi(track(body)), count=True)
        assert (found.events["notes"], found.events["aftertouch"], found.last_tick) == (begun, touched, ticks)


def test_notes_that_never_end_are_counted() -> None:
    assert unended_notes(midi(track(SCALE)), 8) == 0
    assert unended_notes(midi(track(SCALE + b"\0\x90\x43\x50\0\x99\x24\x50"), track(b"\0\x91\x3c\x50")), 8) == 3
    assert unended_notes(b"no music", 0) == 0


NAMES = ["Flöte".encode("latin-1"), "ピアノ右手".encode("shift_jis"), "Flöte".encode(), b"Pia\0no",
         "旋律".encode("gbk"), "Melodie".encode("utf-16"), "\uf7e9".encode(), bytes(range(128, 256))]  # fmt: skip


def test_texts_keep_their_bytes() -> None:
    def text(kind: int, words: bytes) -> bytes:
        return bytes([0, 0xFF, kind]) + (bytes([0x81, 0]) if len(words) == 128 else bytes([len(words)])) + words

    data = midi(*(track(text(3, name) + text(5, name) + text(6, name) + SCALE) for name in NAMES))
    score = read_score(data, all_texts=True)
    assert [original(part.name) for part in score.tracks if len(part.notes)] == NAMES
    written = write_score(score)
    for kind, name in itertools.product((3, 5, 6), NAMES):
        assert text(kind, name) in written
    assert heard(written) == sorted(EIGHT * len(NAMES))
    assert original("\uf7e9 ピアノ") == "\uf7e9 ピアノ".encode()  # no text of a MIDI file as it is read
    plain = read_score(midi(track(text(3, NAMES[0]) + SCALE)))
    assert original(plain.tracks[0].name) == NAMES[0] and write_score(plain).count(NAMES[0]) == 1


@pytest.mark.parametrize(
    ("words", "encoding"),
    [
        ("Flöte", "latin-1"), ("Flöte", "utf-8"), ("Général", "latin-1"), ("Café", "latin-1"),
        ("ピアノ右手", "shift_jis"), ("メロディ 1", "shift_jis"),
        ("Melodie", "utf-16"), ("“Voice”", "cp1252"), ("Ñandú", "latin-1"),
    ],
)  # fmt: skip
def test_the_likeliest_reading_of_a_name(words: str, encoding: str) -> None:
    name = words.encode(encoding)
    score = read_score(midi(track(bytes([0, 0xFF, 3, len(name)]) + name + SCALE)))
    assert readings(score.tracks[0].name)[0] == words


def test_a_meter_that_is_none_is_no_other_meter_when_it_is_written() -> None:
    meter = b"\0\xff\x58\x04\x06%c\x18\x08"
    score = read_score(midi(track(meter % 255 + meter % 3 + SCALE)))  # 6/2^255 is no meter; it would be written as 6/1
    assert [(one.numerator, one.denominator) for one in score.time_signatures] == [(6, 8)]
    assert [one.denominator for one in read_score(write_score(score)).time_signatures] == [8]


def test_a_tempo_before_a_key_is_there_still_in_a_score_without_notes() -> None:
    events = b"\0\xff\x51\x03\x07\xa1\x20" + BEAT + b"\xff\x59\x02\1\0"
    again = read_score(write_score(read_score(midi(track(events)))))
    assert ([one.time for one in again.tempos], [one.time for one in again.key_signatures]) == ([0], [480])


def test_a_score_too_long_to_be_written_is_refused() -> None:
    tempo = b"\0\xff\x51\x03\x07\xa1\x20"
    longest = read_score(midi(track(SCALE), track(FAR[:4] + tempo[1:])))
    again = read_score(write_score(longest))
    assert [one.time for one in again.tempos] == [2**28 - 1] and again.note_num() == 8
    score = read_score(midi(track(SCALE + FAR + FAR[:4] + tempo[1:])))
    with pytest.raises(MidiError, match=r"^too long to be written: 536874750 ticks \(at most 268435455\)$"):
        write_score(score)  # the parser's library would write the tempo 2^29 ticks early
