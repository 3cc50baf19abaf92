"""The block pattern: a short text such as `MFA*8` for the sequence of mixers in a backbone.

Grammar (spaces are ignored):

    pattern := items ["*" count]            `*8` repeats everything before it
    items   := { mixer [count] | "(" items ")" count }
    mixer   := LETTER [options] | "[" name "]" [options]
    options := "(" option {"," option} ")"  option := word | key "=" value

A parenthesis straight after a mixer holds options when it opens with a small letter (`M(bidirectional)`,
`A(window=128)`), and a group otherwise (`A(MF)3`). Mixers without a letter go by their name: `[gla]FA*4`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

OptionValue = bool | int | float | str
MAX_LAYERS = 1024
DEEPEST = 100
_NAME = re.compile(r"[a-z][a-z0-9_.-]*")
_KEY = re.compile(r"[a-z][a-z0-9_]*")
_VALUE = re.compile(r"[A-Za-z0-9_.+-]+")


class PatternError(ValueError):
    """A pattern that cannot be read; the message is one line that points at the character."""

    def __init__(self, text: str, column: int, reason: str) -> None:
        self.text, self.column = text, column
        shown = repr(text[column]) if column < len(text) else "the end"
        super().__init__(f"pattern {text!r}, character {column + 1} ({shown}): {reason}")


@dataclass(frozen=True)
class Slot:
    """One mixer of a pattern: its letter (or plug-in name) and the options written on it, sorted by key.

    A bare word is the option (word, True) until the mixer's `words` resolve it.
    """

    mixer: str
    options: tuple[tuple[str, OptionValue], ...] = ()
    column: int = field(default=0, compare=False)

    def __str__(self) -> str:
        name = self.mixer if len(self.mixer) == 1 and self.mixer.isupper() else f"[{self.mixer}]"
        if not self.options:
            return name
        written = [key if value is True else f"{key}={_write_value(value)}" for key, value in self.options]
        return f"{name}({','.join(written)})"


@dataclass(frozen=True)
class BlockPattern:
    """A sequence of mixers. Two texts that mean the same sequence are equal and have the same `str`."""

    slots: tuple[Slot, ...]

    @classmethod
    def parse(cls, text: str) -> BlockPattern:
        """Read a pattern text. Raises PatternError that points at the first character that cannot be read."""
        return cls(_Parser(text).pattern())

    @cached_property
    def repeats(self) -> int:
        """How often the block repeats: 8 for `MFA*8`, 1 where nothing repeats from end to end."""
        total = len(self.slots)
        periods = (p for p in range(1, total + 1) if total % p == 0 and self.slots == self.slots[:p] * (total // p))
        return total // next(periods)

    @property
    def block(self) -> tuple[Slot, ...]:
        """The shortest run of mixers whose repetition is the whole pattern."""
        return self.slots[: len(self.slots) // self.repeats]

    def repeated(self, count: int) -> BlockPattern:
        """The same block, `count` times."""
        return BlockPattern(self.block * count)

    @cached_property
    def cycle(self) -> str:
        """The shortest text of a rotation of the block: equal for patterns that differ only at their edges.

        `MFA*8`, `FAM*8` and `AMF*8` are one cycle read from three places; so are `MAF*8`, `AFM*8` and `FMA*8`.
        """
        return min(map(_write, self.rotations), key=lambda text: (len(text), text))

    @property
    def rotations(self) -> list[tuple[Slot, ...]]:
        """The block begun at each of its mixers in turn."""
        return [self.block[i:] + self.block[:i] for i in range(len(self.block))]

    @cached_property
    def _text(self) -> str:
        written = _write(self.block)
        return written if self.repeats == 1 else f"{written}*{self.repeats}"

    def __str__(self) -> str:
        return self._text

    def __len__(self) -> int:
        return len(self.slots)


def _write(slots: Sequence[Slot]) -> str:
    """Short text of a sequence: at each place the repetition that covers most, runs before groups."""
    parts: list[str] = []
    start = 0
    while start < len(slots):
        period, count = _best_repetition(slots, start)
        unit = slots[start : start + period]
        body = str(unit[0]) if period == 1 else f"({_write(unit)})" if count > 1 else "".join(map(str, unit))
        parts.append(body if count == 1 else f"{body}{count}")
        start += period * count
    return "".join(parts)


def _best_repetition(slots: Sequence[Slot], start: int) -> tuple[int, int]:
    best_period, best_count = 1, 1
    for period in range(1, (len(slots) - start) // 2 + 1):
        unit = slots[start : start + period]
        count = 1
        while slots[start + count * period : start + (count + 1) * period] == unit:
            count += 1
        if count > 1 and period * count > best_period * best_count:
            best_period, best_count = period, count
    return best_period, best_count


def _write_value(value: OptionValue) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def read_value(text: str) -> OptionValue:
    """An option's value as written: `true`, `false`, a whole number, a number, or else the word itself."""
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


class _Parser:
    """Recursive descent over one text; `at` is the next character."""

    def __init__(self, text: str) -> None:
        self.text, self.at, self.depth = text, 0, 0

    def fail(self, reason: str, column: int | None = None) -> PatternError:
        return PatternError(self.text, self.at if column is None else column, reason)

    def peek(self) -> str:
        while self.at < len(self.text) and self.text[self.at].isspace():
            self.at += 1
        return self.text[self.at : self.at + 1]

    def pattern(self) -> tuple[Slot, ...]:
        slots = self.items()
        if not slots:
            raise self.fail("a pattern needs at least one mixer, such as MFA*8")
        if self.peek() == "*":
            self.at += 1
            start = self.at
            slots = self.repeat(slots, self.count(required="a count after '*'"), start)
        if self.peek():
            hint = (
                "'*' repeats the whole pattern and stands last" if "*" in self.text[: self.at + 1] else "not expected"
            )
            raise self.fail(hint)
        return slots

    def items(self) -> tuple[Slot, ...]:
        slots: tuple[Slot, ...] = ()
        while (character := self.peek()) and character not in ")*":
            start = self.at
            if character == "(":
                self.at, self.depth = self.at + 1, self.depth + 1
                if self.depth > DEEPEST:
                    raise self.fail(f"groups in more than {DEEPEST} others", start)
                unit = self.items()
                self.depth -= 1
                if self.peek() != ")":
                    raise self.fail("the group is not closed with ')'", start if not self.peek() else None)
                if not unit:
                    raise self.fail("an empty group")
                self.at += 1
            else:
                unit = (self.mixer(character),)
            slots += self.repeat(unit, self.count(), start)
            if len(slots) > MAX_LAYERS:
                raise self.fail(f"more than {MAX_LAYERS} mixers", start)
        return slots

    def repeat(self, unit: tuple[Slot, ...], count: int, column: int) -> tuple[Slot, ...]:
        if len(unit) * count > MAX_LAYERS:
            raise self.fail(f"more than {MAX_LAYERS} mixers", column)
        return unit * count

    def count(self, required: str = "") -> int:
        self.peek()
        match = re.compile(r"[0-9]+").match(self.text, self.at)
        if not match:
            if required:
                raise self.fail(f"expected {required}")
            return 1
        if int(match[0][:6]) < 1:
            raise self.fail("a count must be 1 or more")
        self.at = match.end()
        return int(match[0][:6])

    def mixer(self, character: str) -> Slot:
        start = self.at
        if character == "[":
            name = self.take(_NAME, start + 1, "a mixer's name in small letters, such as [gla]")
            if self.peek() != "]":
                raise self.fail("the name is not closed with ']'")
            self.at += 1
        elif character.isascii() and character.isupper():
            name = character
            self.at += 1
        else:
            raise self.fail("expected a mixer: a capital letter, a [name] or a group in parentheses")
        return Slot(name, self.options(), start)

    def options(self) -> tuple[tuple[str, OptionValue], ...]:
        if self.peek() != "(" or not re.match(r"\(\s*[a-z]", self.text[self.at :]):
            return ()
        found: dict[str, OptionValue] = {}
        while self.peek() in ("(", ","):
            self.at += 1
            self.peek()
            start = self.at
            key = self.take(_KEY, start, "an option's name")
            if key in found:
                raise self.fail(f"option {key!r} is given twice", start)
            found[key] = True
            if self.peek() == "=":
                self.at += 1
                self.peek()
                found[key] = read_value(self.take(_VALUE, self.at, f"a value for option {key!r}"))
        if self.peek() != ")":
            raise self.fail("the options are not closed with ')'")
        self.at += 1
        return tuple(sorted(found.items()))

    def take(self, expression: re.Pattern[str], start: int, what: str) -> str:
        match = expression.match(self.text, start)
        if not match:
            raise self.fail(f"expected {what}", start)
        self.at = match.end()
        return match[0]
