"""Order of play of an ABC tune (ABC 2.1): repeats, endings, parts and jumps.

The converter follows repeats whose beginning is written, endings in their order and parts by single letters. What the
standard leaves unwritten is written out for it here; what it would play otherwise is refused.
"""

from __future__ import annotations

import re
from collections.abc import Set
from dataclasses import dataclass, field
from typing import Final

_TOKEN: Final = re.compile(
    r"(?P<other>![^!\s|]+!|\(\d(?::\d*){0,2})"
    r"|\[(?P<field>[A-Za-z]):(?P<value>[^\[\]]*)\]"
    r"|(?:(?<=[|:])|(?<=\|\])|\[)(?P<ending>\d+(?:[-,]\d+)*)"
    r"|(?P<chord>\[[^\[\]|:\d\"][^\[\]|]*\])"
    r"|(?P<bar>(?:\[(?=\|)|(?<=\|)\]|[|:])+)"
    r"|(?P<open>\[)"
)
_JUMP: Final = re.compile(r"([!+])(?:D\.?[CS]\.?|da ?(?:capo|coda|segno))[^!+\n]*\1", re.IGNORECASE)
_MORE_THAN_TWICE: Final = re.compile(r"\|::|::\||:::")
_ORDER: Final = re.compile(r"[A-Z\d.() \t]*")
_SILENT: Final = re.compile(r"y[\d/]*|\+[^+\s|]+\+|[ \t\\$.`)]")
"""What may stand between a repeat sign and the ending after it: spaces, decorations, line ends, dots, ends of slurs."""

_Token = tuple[int, re.Match[str]]
"""Line and place of a bar line, ending, chord, field or mark."""
_Edit = tuple[int, int, int, str]
"""Line, first column, column after the last, text in its place."""


class AbcError(ValueError):
    """A tune that cannot be used; the message is the reason, one line."""


@dataclass
class _Section:
    """What a voice plays since `start`, (line, column): where a repeat without a beginning goes back to."""

    start: tuple[int, int]
    written: bool = False
    """Whether `|:` stands at the start."""
    endings: list[int] = field(default_factory=list)
    closed: bool = True
    """Whether a further ending may begin: `:|` stands before it."""
    stray: str = ""
    """The first sign between the section's ending and the `:|` of the repeat with endings before it."""


def check_jumps(line: str) -> None:
    """Raise AbcError for a jump: the standard gives `!D.C.!` two meanings, and the converter plays on."""
    if found := _JUMP.search(line):
        raise AbcError(f"a jump ({found[0]}), which the converter does not follow")


def in_order(lines: list[str], music: Set[int]) -> list[str]:
    """The lines of a tune with the beginnings of all repeats written and repeats after a last ending left out.

    `music` holds the places of the lines of notes. A repeat without a beginning goes back to the last double bar
    line, the last end of a repeat, or the beginning of the voice or part. A last ending that ends in `:|` is played
    once. Raises AbcError.
    """
    head = next((index for index, line in enumerate(lines) if line.startswith("K:")), len(lines))
    order = _order_of_parts(lines, head)
    edits: list[_Edit] = []
    for tokens in _voices(lines, music, head).values():
        edits += _voice_edits(tokens, order)
    pieces: list[list[str]] = [[] for _ in lines]
    reached = [0] * len(lines)
    for line, start, end, text in sorted(edits):
        while start == end and line not in music:  # a field stands there
            line, start, end = line + 1, 0, 0
        pieces[line] += [lines[line][reached[line] : start], text]
        reached[line] = end
    return ["".join(some) + line[done:] for some, line, done in zip(pieces, lines, reached, strict=True)]


def _voice_edits(tokens: list[_Token], order: str) -> list[_Edit]:
    edits: list[_Edit] = []
    section, part = _Section((0, 0)), ""
    for place, (line, found) in enumerate(tokens):
        here = (line, found.end())
        if found["field"] == "P" and order:
            section, part = _Section(here), found["value"].strip()[:1]
        elif found["field"] == "V" and part and tokens[place - 1][1]["field"] == "P":
            section = _Section(here)
        elif found["open"]:
            raise AbcError("a bracket [ that is no chord, field or numbered ending")
        elif found["ending"]:
            _begin_ending(section, found["ending"])
            if part and (order.count(part) > 1 or re.search(rf"{part}\d|\(", order)):
                raise AbcError("numbered endings in a part that is played more than once")
        if not (bar := found["bar"]):
            continue
        closes, opens = ":|" in bar or bar[:2] == "::", len(bar) > 1 and bar[-1] == ":"
        stray = _before_ending(tokens, place) if closes else ""
        more = stray is None
        last = closes and not more and len(section.endings) > 1
        if last:
            edits.append((line, *found.span(), "||:" if opens else "||"))
        elif closes and bar[0] != ":":  # of `|:|` the converter makes a beginning
            edits.append((line, *found.span(), bar.lstrip("[|")))
        if closes and not last and not section.written and section.start != (0, 0):
            edits.append((*section.start, section.start[1], "|:"))
        if more:
            section.closed = section.written = True
        elif closes or opens:
            if not closes and section.written and not section.endings:
                raise AbcError("a repeat that has no end before the next one begins (|: and |:)")
            section = _Section(here, written=opens, stray=(section.endings and stray) or "")
        elif len(bar) > 1 and (len(section.endings) > 1 or not (section.written or section.endings)):
            section = _Section(here)
    return edits


def _order_of_parts(lines: list[str], head: int) -> str:
    """The order of the header's P: field, "" where the tune states none or marks no parts."""
    orders = [line[2:].partition("%")[0].strip() for line in lines[:head] if line.startswith("P:")]
    marked = [name for line in lines[head:] for name in re.findall(r"(?:^|\[)P:[ \t]*([^ \t%\]])", line)]
    if not orders or not marked:
        return ""
    order = orders[-1]
    named = f"an order of parts (P:{order[:40]})"
    if not _ORDER.fullmatch(order):
        raise AbcError(f"{named} with signs other than capital letters, numbers, brackets, dots")
    if order.count("(") != order.count(")"):
        raise AbcError(f"{named} with unequal numbers of ( and )")
    if set(re.findall("[A-Z]", order)) - set(marked):
        raise AbcError(f"{named} that names other parts than the tune has")
    if len(marked) > len(set(marked)):
        raise AbcError("two parts of one name and an order of parts, of which the converter plays one")
    return order


def _voices(lines: list[str], music: Set[int], head: int) -> dict[str, list[_Token]]:
    """Tokens of each voice of the body; a part begins in every voice that it has."""
    voices: dict[str, list[_Token]] = {}
    begun: dict[str, _Token | None] = {}
    voice, part = "", None
    for index, line in enumerate(lines[head + 1 :], start=head + 1):
        if index in music and _MORE_THAN_TWICE.search(line):
            raise AbcError("a part played more than twice (|::), which the converter plays twice")
        if index not in music and line[:2] not in ("P:", "V:"):
            continue
        for found in _TOKEN.finditer(line if index in music else f"[{line.partition('%')[0]}]"):
            if found["field"] == "P":
                part = (index, found)
            elif found["field"] == "V":
                voice = found["value"].strip().partition(" ")[0]
            tokens = voices.setdefault(voice, [])
            if begun.get(voice) is not part:
                begun[voice] = part
                tokens += [part] if part else []
            if found["field"] != "P":
                tokens.append((index, found))
    return voices


def _before_ending(tokens: list[_Token], place: int) -> str | None:
    """The first note, part or other sign that separates a token of a voice from its next numbered ending.

    None where nothing does: bar lines, fields, decorations and what is not played may stand there. "" where no ending
    comes.
    """
    line, before = tokens[place]
    for other, found in (tokens[after] for after in range(place + 1, len(tokens))):
        between = found.string[before.end() if other == line else 0 : found.start()]
        between = (before.string[before.end() :] if other > line else "") + between
        if stray := _SILENT.sub("", between):
            return stray
        if found["ending"]:
            return None
        if not (
            (found["field"] and found["field"] != "P")
            or (found["other"] or "").startswith("!")
            or set(found["bar"] or ":") <= {*"[|]"}
        ):
            return found[0]
        line, before = other, found
    return ""


def _begin_ending(section: _Section, words: str) -> None:
    """Add the numbers of an ending to those before: `1`, `2,3`, `4-6`."""
    numbers: list[int] = []
    for some in words.split(","):
        first, _, last = some.partition("-")
        numbers += range(int(first[:4]), int((last or first)[:4]) + 1)
    if not section.closed:
        raise AbcError(f"an ending {words} without a repeat sign (:|) before it")
    due = len(section.endings) + 1
    if numbers != list(range(due, due + len(numbers))):
        if section.stray and not section.endings:
            raise AbcError(f"an ending {words} with {section.stray[:20]} between it and its repeat sign (:|)")
        raise AbcError(f"an ending {words} in place of an ending {due}, which the converter plays otherwise")
    section.endings += numbers
    section.closed = False
