"""Events of one track of a MIDI file: counted, checked, and edited where the parser reads them wrong."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

MOST_TICKS: Final = 2**31 - 1
"""The last time, in ticks, that symusic can hold."""
TEXTS: Final = range(0x01, 0x10)
"""Meta events that hold text, the names of tracks among them."""
END_OF_TRACK: Final = 0x2F

_NUMBER = re.compile(rb"[\x80-\xff]{0,3}+[\x00-\x7f]")
_TWO_BYTE_EVENTS = re.compile(rb"(?:[\x80-\xff]{0,3}+[\x00-\x7f][\x80-\xbf\xe0-\xef]?+[\x00-\x7f]{2})*+")
"""Delta time, status or none (running status), two data bytes, as often as they follow each other."""
_TWO_BYTE: Final = 0x80
"""Stands for the last status of the last run of two-byte events."""


class MidiError(ValueError):
    """A MIDI file that cannot be used; the message is the reason, one line."""


class MidiTrack:
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
