"""Tunes of ABC files (ABC 2.1), as their texts and as scores.

symusic has abc2midi convert a tune. Of some signs that converter makes other notes than are written: of chord symbols
an accompaniment, of hornpipes swing, of ornaments and fermatas further and longer notes, of the notes of a chord a
strum. Those signs are taken out before, so that the notes and lengths are those of the text; grace notes stay. Repeats
and endings are written out where it would play them otherwise (`abc_order.py`).
"""

from __future__ import annotations

import re
from fractions import Fraction
from itertools import pairwise
from typing import Any, Final

from metrics.music.abc_order import AbcError, check_jumps, in_order

_START = re.compile(r"X:[ \t]*(\d{0,100})\d*[ \t]*(?:%.*)?")
_FIELD = re.compile(r"(?![A-Ga-gxz]:[|:])[A-Za-z+]:")  # `c:|` is a note and a bar line
_WORDS = re.compile(r"\"[^\"\n]*\"|%.*")
_ONE_VALUE: Final = "LMQR"
"""Fields of which a tune's own stands in place of its file's."""
_MANY_VALUES: Final = "Im"
_PLAYED: Final = (
    "trill|lowermordent|uppermordent|mordent|pralltriller|roll|turnx?|invertedturnx?|arpeggio|fermata|invertedfermata"
    "|tenuto|wedge|staccato|slide|breath"
)
_IN_MUSIC = re.compile(
    r"(?P<kept>\[[A-QS-Za-z]:[^][\n]*\]|\.(?=[|(-])|!(?!(?:%s)!)[^!\s|]+!)"
    r"|\"[^\"\n]*\"|!(?:%s)!|\+(?:%s)\+|[.~HLMOPSTuv]|\[R:[^][\n]*\]|%%.*" % ((_PLAYED,) * 3)
)
"""Inline fields, dotted bars and slurs, other marks; chord symbols, annotations, ornaments, how a note is played."""
_NOTE = r"([_^=]*[A-Ga-gxz][,']*)([\d/]*)(-?)\s*"
_LENGTH = re.compile(r"(\d{0,100})(?:/(\d{1,100})|(/{0,20}))")
_CHORD = re.compile(rf"\[((?:{_NOTE})+)\]([\d/]*)")


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


def order_mark(text: str) -> str:
    """How a tune is ordered: "" where the converter plays it in its order without a further sign, else a mark of its
    own for tunes with further signs and for those that are refused."""
    try:
        lines, music = _written(text)
        return "" if in_order(lines, music) == lines else " in their order"
    except AbcError:
        return " refused"


def _plain(tune: str) -> str:
    """The tune as the converter makes the written notes of it."""
    return "\n".join(in_order(*_written(tune))) + "\n"


def _written(tune: str) -> tuple[list[str], set[int]]:
    """Lines of the tune without the signs of which the converter makes other notes; the places of lines of notes."""
    lines: list[str] = []
    music = set[int]()
    in_body = False
    for line in tune.split("\n"):
        if not line.strip() and in_body:
            break  # the tune ends
        if line.startswith("m:"):
            raise AbcError("macros (m:), which the converter does not expand")
        if in_body or line.startswith("U:"):
            check_jumps(_WORDS.sub("", line))
        if line.startswith(("R:", "U:")) or line.partition("%")[0].strip() == "P:":
            continue  # a rhythm's name; letters for further signs; no order of parts
        if line.startswith("X:"):
            lines += ["X:1", "%%MIDI chordattack 0"]
        elif line.startswith("K:"):
            lines.append(line if line[2:].partition("%")[0].strip() else "K:none")
            in_body = True
        elif line.startswith("%") or _FIELD.match(line) or not in_body:
            lines.append(line)
        else:
            written = _IN_MUSIC.sub(lambda found: found["kept"] or "", line)
            if '"' in written:
                raise AbcError("a quotation mark without its end")
            music.add(len(lines))
            lines.append(_CHORD.sub(_chord, written))
    return lines, music


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
