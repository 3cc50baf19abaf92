"""Standard MIDI files byte by byte: what is refused, what is put in the form that the parser reads right.

symusic reads most files as the standard says. A file whose bytes allow it is walked through first, since of some it
reads other music without an error: events after a system-exclusive message without a status byte of their own are lost,
times beyond 32 bits wrap, the patterns of format 2 sound together, tracks beyond the header's count are left out.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from metrics.music.midi_texts import PRIVATE_LEADS, as_it_was, as_utf8
from metrics.music.midi_track import MOST_TICKS, MidiError, MidiTrack

MOST_WRITTEN: Final = 2**28 - 1
"""The longest time between two events that a file can hold."""
PLAIN_HEADER: Final = 14
"""Bytes of a header as all writers but a few make it, with the eight before its content."""

_ANY_BYTES = [re.compile(start + b"." * count, re.DOTALL) for start, count in ((b"MTrk", 4), (b"\xff\x51\x03", 3))]
"""Lengths of tracks, tempos."""


@dataclass
class MidiFile:
    """`data` as symusic reads it right.

    `events` counts notes begun, aftertouch and system-exclusive messages, `last_tick` is the time of the last event,
    where events were counted.
    """

    data: bytes
    events: Counter[str] = field(default_factory=Counter)
    last_tick: int = 0


def read_score(data: bytes, *, all_texts: bool = False) -> Any:
    """The `symusic.Score` of a MIDI file's bytes; `midi_texts` gives the bytes of the tracks' names.

    With `all_texts` of lyrics and markers as well. Raises MidiError with the reason.
    """
    walked = all_texts or _may_be_misread(data, _header(data))
    score = parse(walk(data).data if walked else data)
    if not walked and any("\ufffd" in track.name for track in score.tracks):  # of bytes that are no UTF-8
        score = parse(walk(data).data)
    return score


def write_score(score: Any) -> bytes:
    """The score as a MIDI file, its texts byte for byte as they were in the file that it was read from.

    Raises MidiError for a score so long that symusic may write other times.
    """
    if score.end() > MOST_WRITTEN:
        raise MidiError(f"too long to be written: {score.end()} ticks (at most {MOST_WRITTEN})")
    if not score.tracks:  # symusic leaves the events of a score without tracks unsorted, with times that wrap
        import symusic

        score = score.copy()
        score.tracks.append(symusic.Track())
    data = score.dumps_midi()
    return walk(data, as_it_was).data if any(lead in data for lead in PRIVATE_LEADS) else data


def parse(data: bytes) -> Any:
    """The `symusic.Score` of bytes that the parser reads right. Raises MidiError with the reason."""
    import symusic

    try:
        score: Any = symusic.Score.from_midi(data)
    except Exception as error:  # many types; all mean that the file cannot be read
        words = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
        raise MidiError(f"broken MIDI ({words.removeprefix('MiniMidi: ')[:80]})") from None
    if not all(one.numerator > 0 and one.denominator > 0 for one in score.time_signatures):  # 6/0 is written as 6/1
        score.time_signatures = [one for one in score.time_signatures if one.numerator > 0 and one.denominator > 0]
    return score


def unended_notes(data: bytes, kept: int) -> int:
    """How many notes of a file never end, of which symusic keeps `kept`; 0 for a file that is refused."""
    try:
        return _unended(walk(data, count=True), kept)
    except MidiError:
        return 0


def read_counted(data: bytes) -> tuple[Any, int]:
    """As `read_score`, and how many notes of the file never end. Raises MidiError with the reason."""
    file = walk(data, count=True)
    score = parse(file.data)
    return score, _unended(file, int(score.note_num()))


def _unended(file: MidiFile, kept: int) -> int:
    """How many notes of a counted file never end, of which symusic keeps `kept`."""
    return max(file.events["notes"] - kept, 0)


def walk(data: bytes, edit_text: Callable[[bytes], bytes | None] | None = None, *, count: bool = False) -> MidiFile:
    """Every event of the file checked, its texts edited, by default so that symusic loses none of their bytes.

    Events are counted where asked for, or where times may go beyond 32 bits.

    Raises MidiError with the reason where the file cannot be used.
    """
    start = _header(data)
    count = count or _most_ticks(data) > MOST_TICKS
    found, chunks, changed = MidiFile(data), [], start != PLAIN_HEADER
    for body in _tracks(data, start):
        track = MidiTrack(body, found.events, edit_text or as_utf8)
        if count:
            track.count()
        found.last_tick = max(found.last_tick, track.ticks)
        changed |= bool(track.edits)
        content = track.edited()
        chunks.append(b"MTrk" + len(content).to_bytes(4, "big") + content)
    if changed or _promised(data) < len(chunks):
        header = b"MThd\0\0\0\x06" + data[8:10] + len(chunks).to_bytes(2, "big") + data[12:14]
        found.data = header + b"".join(chunks)
    return found


def as_parsed(data: bytes) -> bytes:
    """The bytes that the parser is given, texts as they are: others than the file's where it would read other music."""
    try:
        return walk(data, lambda _: None).data if _may_be_misread(data, _header(data)) else data
    except MidiError:
        return data


def _may_be_misread(data: bytes, start: int) -> bool:
    """Whether symusic may read the file otherwise than the standard says, by its bytes alone, whatever they mean.

    True for many files that it reads right. Walking through all events takes longer than to read them, this a tenth.
    """
    if start != PLAIN_HEADER or sum(1 for _ in _tracks(data, start)) > _promised(data):
        return True
    for common in _ANY_BYTES:
        if not _has_rare_bytes(data):
            return False
        data = common.sub(b"", data)
    return _has_rare_bytes(data)


def _has_rare_bytes(data: bytes) -> bool:
    """Whether the bytes may be a system-exclusive message, a number of over four bytes, or too many ticks."""
    return b"\xf0" in data or b"\xf7" in data or _most_ticks(data) > MOST_TICKS


def _most_ticks(data: bytes) -> int:
    """An upper bound of the last tick, as if every byte over 127 were part of a delta time."""
    array = np.frombuffer(data, np.uint8)
    high = array >= 0x80
    pairs = high[1:] & high[:-1]
    longer, longest = int(np.count_nonzero(pairs)), 0
    if longer:
        triples = pairs[1:] & pairs[:-1]
        longest = int(np.count_nonzero(triples))
        if longest and (triples[1:] & triples[:-1]).any():
            return MOST_TICKS + 1  # a number of more than four bytes
    most = (longer << 21) + (longest << 28) + (len(data) << 7)
    if most + (int(np.count_nonzero(high)) << 14) <= MOST_TICKS:
        return most + (int(np.count_nonzero(high)) << 14)
    return most + (int((array[high] & 0x7F).sum(dtype=np.int64)) << 7)


def _header(data: bytes) -> int:
    """Place of the first chunk after the header."""
    if data[:4] != b"MThd":
        raise MidiError("not a MIDI file (no MThd at its start)" if data else "empty file")
    if data[4:8] == b"\x06\0\0\0":
        raise MidiError("wrong byte order (little-endian header)")
    if len(data) < 14:
        raise MidiError("truncated inside the header")
    length, kind, division = (int.from_bytes(data[at:end], "big") for at, end in ((4, 8), (8, 10), (12, 14)))
    if length < 6:
        raise MidiError(f"a header of {length} bytes (at least 6)")
    if 8 + length > len(data):
        raise MidiError("truncated inside the header")
    if kind == 2:
        raise MidiError("patterns that are no one piece (SMF format 2)")
    if kind > 2:
        raise MidiError(f"SMF format {kind} (known: 0 and 1)")
    if division & 0x8000:
        raise MidiError("time counted in film frames (SMPTE), not in beats")
    if division == 0:
        raise MidiError("zero ticks a quarter note")
    return 8 + length


def _promised(data: bytes) -> int:
    return int.from_bytes(data[10:12], "big")


def _tracks(data: bytes, at: int) -> Iterator[bytes]:
    """Content of each track; what follows the last whole chunk is passed over unless it is a track."""
    tracks = 0
    while at + 8 <= len(data):
        length = int.from_bytes(data[at + 4 : at + 8], "big")
        is_track = data[at : at + 4] == b"MTrk"
        if at + 8 + length > len(data) and (is_track or tracks < _promised(data)):
            raise MidiError("truncated (a track ends before its stated length)")
        if is_track:
            tracks += 1
            yield data[at + 8 : at + 8 + length]
        at += 8 + length
