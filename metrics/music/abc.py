"""Tunes of ABC files (ABC 2.1), as their texts and as scores.

symusic has abc2midi convert a tune. Of some signs that converter makes other notes than are written: of chord symbols
an accompaniment, of hornpipes swing, of ornaments and fermatas further and longer notes, of the notes of a chord a
strum. Those signs are taken out before, so that the notes and lengths are those of the text; grace notes stay.
"""

from __future__ import annotations

import re
from fractions import Fraction
from itertools import pairwise
from typing import Any, Final

_START = re.compile(r"X:[ \t]*(\d{0,100})\d*[ \t]*(?:%.*)?")
_FIELD = re.compile(r"[A-Za-z+]:")
_ONE_VALUE: Final = "LMQR"
"""Fields of which a tune's own stands in place of its file's."""
_MANY_VALUES: Final = "Im"
_PLAYED: Final = (
    "trill|lowermordent|uppermordent|mordent|pralltriller|roll|turnx?|invertedturnx?|arpeggio|fermata|invertedfermata"
    "|tenuto|wedge|staccato|slide|breath"
)
_IN_MUSIC = re.compile(
    r"(?P<kept>\[[A-QS-Za-z]:[^\]\n]*\]|\.(?=[|(-])|!(?!(?:%s)!)[^!\s|]+!)"
    r"|\"[^\"\n]*\"|!(?:%s)!|\+(?:%s)\+|[.~HLMOPSTuv]|\[R:[^\]\n]*\]|%%.*" % ((_PLAYED,) * 3)
)
"""Inline fields, dotted bars and slurs, other marks; chord symbols, annotations, ornaments, how a note is played."""
_NOTE = r"([_^=]*[A-Ga-gxz][,']*)([\d/]*)(-?)\s*"
_LENGTH = re.compile(r"(\d{0,100})(?:/(\d{1,100})|(/{0,20}))")
_CHORD = re.compile(rf"\[((?:{_NOTE})+)\]([\d/]*)")
_MORE_THAN_TWICE = re.compile(r"\|::|::\|")


class AbcError(ValueError):
    """A tune that cannot be used; the message is the reason, one line."""


def tunes(data: bytes) -> dict[int, str]:
    """Text of every tune of an ABC file by the number in its X: line, what the file's header says put into each.

    UTF-8 or UTF-16 with their marks, UTF-8 or Latin-1 without; any line ends. Tunes of an empty X: and of a number that
    was there before get free numbers.
    """
    lines = re.sub(r"\r\n?", "\n", _text(data)).split("\n")
    starts = [at for at, line in enumerate(lines) if _START.fullmatch(line)]
    header = _header(lines[: starts[0]]) if starts else []
    blocks = ["\n".join(lines[at:end]) for at, end in pairwise([*starts, len(lines)])]
    numbers = [_number(block) for block in blocks]
    keys: dict[int, int] = {}  # of each block, those with a number of their own first
    taken, highest = set[int](), 0
    for index in sorted(range(len(blocks)), key=lambda index: numbers[index] == ""):
        key = int(numbers[index] or 1)
        keys[index] = key = highest + 1 if key in taken else key
        taken.add(key)
        highest = max(highest, key)
    return {keys[index]: _with(header, block.rstrip() + "\n") for index, block in enumerate(blocks)}


def read_tune(text: str) -> Any:
    """The `symusic.Score` of one tune. Raises AbcError with the reason."""
    import symusic

    plain = _plain(text)
    try:
        return symusic.Score.from_abc(plain)
    except Exception as error:  # many types; all mean that the tune cannot be read
        words = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
        if "did not create" in words or "exited" in words:  # with a temporary path after it
            words = "the converter makes nothing of it"
        raise AbcError(f"broken ABC ({words[:80]})") from None


def _text(data: bytes) -> str:
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", errors="replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _number(block: str) -> str:
    return _START.match(block)[1]  # type: ignore[index]  # every block begins so


def _header(lines: list[str]) -> list[str]:
    """Fields and directives of the file's header, which ends at the first empty line."""
    end = next((at for at, line in enumerate(lines) if not line.strip()), len(lines))
    head = lines[:end]
    if not all(_FIELD.match(line) or line.startswith("%") for line in head):  # free text
        return []
    return [line for line in head if line[0] in _ONE_VALUE + _MANY_VALUES or line.startswith("%%")]


def _with(header: list[str], tune: str) -> str:
    """The tune with what its file says for all tunes and it does not say itself."""
    if not header:
        return tune
    first, _, rest = tune.partition("\n")
    own = set()
    for line in rest.split("\n"):
        own.add(line[:2])
        if line.startswith("K:"):
            break
    said = [line for line in header if line[0] not in _ONE_VALUE or line[:2] not in own]
    return "\n".join([first, *said, rest])


def _plain(tune: str) -> str:
    """The tune as the converter makes the written notes of it."""
    lines = []
    in_body = False
    for line in tune.split("\n"):
        if not line.strip() and in_body:
            break  # the tune ends
        if line.startswith("m:"):
            raise AbcError("macros (m:), which the converter does not expand")
        if line.startswith(("R:", "U:")):  # a rhythm's name; letters for further signs
            continue
        if line.startswith("X:"):
            lines += ["X:1", "%%MIDI chordattack 0"]
        elif line.startswith("K:"):
            lines.append(line if line[2:].partition("%")[0].strip() else "K:none")
            in_body = True
        elif line.startswith("%") or _FIELD.match(line) or not in_body:
            lines.append(line)
        else:
            if _MORE_THAN_TWICE.search(line):
                raise AbcError("a part played more than twice (|::), which the converter plays twice")
            written = _IN_MUSIC.sub(lambda found: found["kept"] or "", line)
            if '"' in written:
                raise AbcError("a quotation mark without its end")
            lines.append(_CHORD.sub(_chord, written))
    return "\n".join(lines) + "\n"


def _chord(found: re.Match[str]) -> str:
    """The chord with its length behind it: of a length inside as well the converter takes one of the two."""
    notes = re.findall(_NOTE, found[1])
    lengths = {_length(length) for _, length, _ in notes}
    if len(lengths) > 1:
        raise AbcError("a chord of notes of unequal lengths, which the converter makes equal")
    length = lengths.pop() * _length(found[5])
    return f"[{''.join(name + tie for name, _, tie in notes)}]{length.numerator}/{length.denominator}"


def _length(words: str) -> Fraction:
    """`""` 1, `3` 3, `3/2` 3/2, `/` 1/2, `//` 1/4. Raises AbcError for what is no length."""
    found = _LENGTH.fullmatch(words)
    if found is None:
        raise AbcError(f"a chord of a length that is none ({words[:20]})")
    upper, lower, halves = found.groups()
    return Fraction(int(upper or 1), (int(lower) or 1) if lower else 2 ** len(halves))
