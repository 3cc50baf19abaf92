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
from numpy.typing import NDArray

from metrics.music.midi_texts import PRIVATE_LEADS, as_it_was, as_utf8

MOST_TICKS: Final = 2**31 - 1
"""The last time, in ticks, that symusic can hold."""
MOST_WRITTEN: Final = 2**28 - 1
"""The longest time between two events that a file can hold."""
TEXTS: Final = range(0x01, 0x10)
"""Meta events that hold text, the names of tracks among them."""
END_OF_TRACK: Final = 0x2F
PLAIN_HEADER: Final = 14
"""Bytes of a header as all writers but a few make it, with the eight before its content."""

_NUMBER = re.compile(rb"[\x80-\xff]{0,3}+[\x00-\x7f]")
_TWO_BYTE_EVENTS = re.compile(rb"(?:[\x80-\xff]{0,3}+[\x00-\x7f][\x80-\xbf\xe0-\xef]?+[\x00-\x7f]{2})*+")
"""Delta time, status or none (running status), two data bytes, as often as they follow each other."""
_ANY_BYTES = [re.compile(start + b"." * count, re.DOTALL) for start, count in ((b"MTrk", 4), (b"\xff\x51\x03", 3))]
"""Lengths of tracks, tempos."""
_TWO_BYTE: Final = 0x80
"""Stands for the last status of the last run of two-byte events."""


class MidiError(ValueError):
    """A MIDI file that cannot be used; the message is the reason, one line."""


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
        track = _Track(body, found.events, edit_text or as_utf8)
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


class _Track:
    """One track's events, from first to last: counted, checked, and edited where the parser reads them wrong."""

    def __init__(self, body: bytes, events: Counter[str], edit_text: Callable[[bytes], bytes | None]) -> None:
        self.body, self.events, self.edit_text = body, events, edit_text
        self.edits: list[tuple[int, int, bytes]] = []  # start, end, what stands there instead
        self.ticks = 0
        self.status = 0  # running status; 0: none yet
        self.cancelled = False  # by a meta event or a system-exclusive message
        self.runs: list[bytes] = []  # two-byte events, the first of each with its status
        at = 0
        while 0 <= at < len(body):
            at = self._next(at)

    def edited(self) -> bytes:
        """The track's bytes with the edits."""
        parts, last = [], 0
        for start, end, instead in self.edits:
            parts += [self.body[last:start], instead]
            last = end
        return b"".join([*parts, self.body[last:]])

    def _next(self, at: int) -> int:
        """The place after one event, or after all two-byte events that follow each other; -1: the track ends."""
        delta, place = self._number(at)
        status = self.body[place] if place < len(self.body) else -1
        if status < 0:
            raise MidiError("truncated inside an event")
        if status >= 0xF0:
            self.ticks += delta
            self.cancelled = True
            return self._message(place, status)
        written = status >= 0x80
        if not written:
            if self.cancelled and self.runs and self.status == _TWO_BYTE:
                self.status = int(_statuses(self.runs[-1])[1][-1])
            status = self.status
            if not status:
                raise MidiError("broken MIDI (an event without a status)")
            if self.cancelled:
                self.edits.append((place, place, bytes([status])))
        self.cancelled = False
        if status & 0xE0 == 0xC0:  # program change, channel aftertouch: one data byte
            self.ticks += delta
            self.status = status
            self.events["aftertouch"] += status >= 0xD0
            return self._data_end(place + written, 1)
        self._data_end(place + written, 2)
        end = _TWO_BYTE_EVENTS.match(self.body, place + written + 2).end()  # type: ignore[union-attr]
        self.runs.append(self.body[at:place] + bytes([status]) + self.body[place + written : end])
        self.status = _TWO_BYTE
        return end

    def _data_end(self, begin: int, count: int) -> int:
        data = self.body[begin : begin + count]
        if len(data) < count:
            raise MidiError("truncated inside an event")
        if max(data) >= 0x80:
            raise MidiError("broken MIDI (a data byte over 127)")
        return begin + count

    def _message(self, place: int, status: int) -> int:
        """The place after a meta or system-exclusive event; -1 after the end of the track."""
        if status not in (0xF0, 0xF7, 0xFF):
            raise MidiError(f"broken MIDI (status byte {status:X}, which no file may hold)")
        is_meta = status == 0xFF
        length, begin = self._number(place + 1 + is_meta)
        end = begin + length
        if end > len(self.body):
            raise MidiError("truncated inside an event")
        if not is_meta:
            self.events["system-exclusive"] += 1
            if status == 0xF7:  # its length would be read as a delta time; meta events of this kind are passed over
                self.edits.append((place, place + 1, b"\xff\x7f"))
            return end
        kind = self.body[place + 1]
        if kind in TEXTS and (text := self.edit_text(self.body[begin:end])) is not None:
            self.edits.append((place + 2, end, _as_number(len(text)) + text))
        return -1 if kind == END_OF_TRACK else end

    def _number(self, at: int) -> tuple[int, int]:
        """A number of variable length and the place after it."""
        found = _NUMBER.match(self.body, at)
        if found is None:
            long = len(self.body) - at >= 4
            raise MidiError("broken MIDI (a number of over 4 bytes)" if long else "truncated inside an event")
        value = 0
        for byte in found[0]:
            value = value << 7 | byte & 0x7F
        return value, found.end()

    def count(self) -> None:
        """Add ticks, notes begun and key aftertouch of the two-byte events. Raises MidiError for too many ticks."""
        run = b"".join(self.runs)
        array = np.frombuffer(run, np.uint8)
        low = array < 0x80
        lows = array[low].reshape(-1, 3)  # event, (last byte of the delta time, two data bytes)
        event, statuses, longer = _statuses(run)
        repeats = np.diff(np.append(event, len(lows)))
        kinds = statuses & 0xF0
        self.events["notes"] += int(np.count_nonzero((np.repeat(kinds, repeats) == 0x90) & (lows[:, 2] > 0)))
        self.events["aftertouch"] += int(repeats[kinds == 0xA0].sum())
        self.ticks += int(lows[:, 0].sum(dtype=np.int64))
        power = 1
        while len(longer):  # bytes of a delta time before its last
            ends = low[longer + power]
            self.ticks += int((array[longer[ends]] & 0x7F).sum(dtype=np.int64)) << 7 * power
            longer, power = longer[~ends], power + 1
        if self.ticks > MOST_TICKS:
            raise MidiError(f"too long: {self.ticks} ticks (at most {MOST_TICKS})")


def _statuses(run: bytes) -> tuple[NDArray[np.int64], NDArray[np.uint8], NDArray[np.int64]]:
    """Of two-byte events: which have a status byte, that byte, and the places of the other high bytes.

    Without the high bytes an event is three bytes: the end of its delta time and its data. A high byte is thus a status
    where one byte of the event came before it, else a part of a delta time.
    """
    array = np.frombuffer(run, np.uint8)
    highs = np.flatnonzero(array >= 0x80)
    before = highs - np.arange(len(highs))
    event, within = np.divmod(before, 3)
    return event[within == 1], array[highs[within == 1]], highs[within == 0]


def _as_number(value: int) -> bytes:
    """A number of variable length."""
    parts = [value & 0x7F]
    while value := value >> 7:
        parts.append(0x80 | value & 0x7F)
    return bytes(reversed(parts))
