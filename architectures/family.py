"""Families of patterns for a study's axis: all orders, counts, or places of one mixer in a stack.

    permute(MFA)*8      every order of the mixers in parentheses
    M{1..4}FA*4         counts from a range; {1,3,7} for a list
    place(A, MF*8)      one A at every place in the stack, before the first mixer to after the last

The forms combine: `permute(MF{1,2})*4`. Beside them the causal twin of a pattern.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import permutations

import torch

from architectures.pattern import BlockPattern, OptionValue, PatternError, Slot
from architectures.registry import canonical_pattern, find_mixer, make_mixer, mixer_options

FAMILY_LIMIT = 1000
MOST_WRITTEN = 10 * FAMILY_LIMIT
"""Texts that a family may expand to, equal patterns among them."""
ANY_WIDTH = 256
"""Width at which a mixer is asked whether it is causal."""
_COUNTS = re.compile(r"\{([^{}]*)\}")
_WORD = re.compile(r"(permute|place)\(")


def expand_family(text: str) -> list[BlockPattern]:
    """The patterns of a family, canonical, each once, in the order of expansion; a plain pattern is a family of one.

    Raises PatternError for a malformed family and for one of more than FAMILY_LIMIT patterns.
    """
    found: dict[str, BlockPattern] = {}
    for count, written in enumerate(_unfold(text)):
        pattern = canonical_pattern(written)
        found.setdefault(str(pattern), pattern)
        if len(found) > FAMILY_LIMIT or count > MOST_WRITTEN:
            raise PatternError(text, 0, f"a family of more than {FAMILY_LIMIT} patterns")
    return list(found.values())


def causal_twin(text: str) -> BlockPattern:
    """The pattern with every mixer reading forward alone. Options and sizes stay, and the parameters with them, but for
    those of `M(bidirectional,separate)`, which has weights of its own for each way.

    Raises PatternError for a mixer without such a form.

    >>> str(causal_twin("M(bidirectional)FA(window=8)*2"))
    'MFA(causal,window=8)*2'
    """
    pattern = canonical_pattern(text)
    return canonical_pattern("".join(str(_causal(str(pattern), slot)) for slot in pattern.slots))


def _causal(text: str, slot: Slot) -> Slot:
    if _is_causal(slot):
        return slot
    cls = find_mixer(slot.mixer)
    ways: list[tuple[str, OptionValue]] = [("causal", True), ("direction", "forward")]
    for key, value in ways:
        if key in mixer_options(cls):
            kept = [(name, given) for name, given in slot.options if cls.words.get(name, (name,))[0] != key]
            if _is_causal(twin := Slot(slot.mixer, (*kept, (key, value)))):
                return twin
    raise PatternError(text, 0, f"mixer {slot} has no causal form")


def _is_causal(slot: Slot) -> bool:
    with torch.device("meta"):
        return make_mixer(slot, ANY_WIDTH, {}).causal


def _unfold(text: str) -> Iterator[str]:
    if counts := _COUNTS.search(text):
        start, end = counts.span()
        for count in _read_counts(text, counts):
            yield from _unfold(f"{text[:start]}{count if count > 1 else ''}{text[end:]}")
        return
    call = _WORD.search(text)
    if not call:
        yield text
        return
    end = _closing(text, call.end() - 1)
    inside, before, after = text[call.end() : end], text[: call.start()], text[end + 1 :]
    make = _orders if call[1] == "permute" else _places
    for written in make(text, call.end(), inside):
        yield from _unfold(before + written + after)


def _read_counts(text: str, match: re.Match[str]) -> list[int]:
    inside = match[1].replace(" ", "")
    spread = re.fullmatch(r"(\d{1,4})\.\.(\d{1,4})", inside)
    if spread:
        counts = list(range(int(spread[1]), int(spread[2]) + 1))
    elif re.fullmatch(r"\d{1,4}(,\d{1,4})*", inside):
        counts = [int(part) for part in inside.split(",")]
    else:
        counts = []
    if not counts or min(counts) < 1:
        raise PatternError(text, match.start(), "counts are written {1..4} or {1,3,7}, each at least 1")
    return counts


def _outside(text: str, wanted: str, start: int = 0) -> int:
    """Place of the first `wanted` from `start` on in no parentheses opened since; -1 where there is none."""
    depth = 0
    for at in range(start, len(text)):
        if text[at] == wanted and depth == 0:
            return at
        depth += {"(": 1, ")": -1}.get(text[at], 0)
    return -1


def _closing(text: str, opening: int) -> int:
    at = _outside(text, ")", opening + 1)
    if at < 0:
        raise PatternError(text, opening, "the parenthesis is not closed")
    return at


def _orders(text: str, column: int, inside: str) -> list[str]:
    slots = canonical_pattern(inside).slots
    if len(slots) > 6:
        raise PatternError(text, column, f"permute takes up to 6 mixers, not {len(slots)}")
    return list(dict.fromkeys("".join(map(str, order)) for order in permutations(slots)))


def _places(text: str, column: int, inside: str) -> list[str]:
    comma = _outside(inside, ",")
    one, stack = inside[:comma], inside[comma + 1 :]
    if comma < 0:
        raise PatternError(text, column, "place takes a mixer and a stack: place(A, MF*8)")
    mixer, slots = canonical_pattern(one).slots, canonical_pattern(stack).slots
    return ["".join(map(str, (*slots[:at], *mixer, *slots[at:]))) for at in range(len(slots) + 1)]
