"""Texts of MIDI files, such as names of tracks: bytes in any encoding, carried through a library that reads UTF-8."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Final

_PRIVATE: Final = 0xF700
"""Bytes 0x80 to 0xFF of a text that is not UTF-8 stand at U+F780 to U+F7FF of the private use area."""
PRIVATE_LEADS: Final = (b"\xef\x9e", b"\xef\x9f")
_PRIVATE_BYTES = re.compile("[\uf780-\uf7ff]")


def as_utf8(text: bytes) -> bytes | None:
    """Text in UTF-8 that `original` turns back into these bytes; None where it is in UTF-8."""
    try:
        if not _PRIVATE_BYTES.search(text.decode()):
            return None
    except UnicodeDecodeError:
        pass
    return "".join(chr(byte if byte < 0x80 else _PRIVATE + byte) for byte in text).encode()


def as_it_was(text: bytes) -> bytes | None:
    """The bytes that `as_utf8` was given, of what it made of them; None where it changed nothing."""
    words = text.decode()
    return original(words) if _PRIVATE_BYTES.search(words) else None


def original(text: str) -> bytes:
    """The bytes of a text of a file, from the text as `read_score` has it."""
    if not _PRIVATE_BYTES.search(text) or not _PRIVATE_BYTES.sub("", text).isascii():
        return text.encode()
    return _PRIVATE_BYTES.sub(lambda found: chr(ord(found[0]) - _PRIVATE), text).encode("latin-1")


def readings(text: str) -> list[str]:
    """What a text of a file may say, the likeliest first: MIDI names no encoding of its texts.

    UTF-8 where its bytes are that; else UTF-16 with its mark, Shift-JIS and Latin-1 (with the signs of Windows-1252).
    """
    if not _PRIVATE_BYTES.search(text):
        return [text]
    data = original(text)
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return [data.decode("utf-16", errors="replace")]
    found = [data.decode("latin-1")]
    with suppress(UnicodeDecodeError):
        found.insert(0, data.decode("cp1252"))
    with suppress(UnicodeDecodeError):
        japanese = data.decode("shift_jis")
        # a sign beyond ASCII takes two bytes; a name in Latin-1 has few such signs, between letters of ASCII
        mostly = sum(sign > "\x7f" for sign in japanese) * 2 > len(japanese)
        found.insert(0 if mostly else len(found), japanese)
    return found
