"""Rules on successions of tokens as a finite automaton: grammar, time that goes forward, notes that start together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.data.settings import SPECIAL_TYPES
from bench.diffusion.constraints.language import TokenLanguage

TYPE_RULE, TIME_RULE, CHORD_RULE = 1, 2, 4  # bits of `broken`
RULE_NAMES = {TYPE_RULE: "grammar", TIME_RULE: "grammar (time goes forward)", CHORD_RULE: "chord limit"}
START, SPECIAL = "start", "special"
REPEATABLE_AFTER = frozenset({"Rest"})  # MidiTok: a Position after a Rest may stand anywhere

State = tuple[str, int, int]  # type of the last token, position in the bar (-1 unknown or none), notes begun there
Symbol = tuple[str, int]  # type, and the value of a Position


@dataclass(frozen=True, eq=False)
class Automaton:
    """States S, symbols C: tokens that the rules do not distinguish are one symbol.

    `symbol_of_token` int64 (V,); `next_state` int64 (S, C) for every symbol, also a forbidden one, since given tokens
    may break the rules; `broken` uint8 (S, C), the rules that the symbol breaks in that state; state 0 is the start;
    `unfinished` bool (S,), states in which a piece should not end.
    """

    symbols: tuple[Symbol, ...]
    symbol_of_token: np.ndarray
    next_state: np.ndarray
    broken: np.ndarray
    unfinished: np.ndarray
    anchors: np.ndarray  # bool (C,): symbols after which position and count are known whatever came before


def build_automaton(language: TokenLanguage, *, grammar: bool, chord_limit: int | None) -> Automaton:
    """The automaton of these rules over `language`.

    grammar: a type may follow only as the type graph says, a piece begins with a Bar, and a Position lies after the one
    before it in its bar. chord_limit: at most that many Pitch tokens between a Position and the next; positions
    go forward here too, since two groups at one position would be one chord.
    """
    symbols, symbol_of_token = _symbols(language)
    limit = 0 if chord_limit is None else chord_limit
    states: dict[State, int] = {(START, -1, 0): 0}
    following: list[list[int]] = []
    broken: list[list[int]] = []
    queue = list(states)
    for state in queue:  # grows while it is read
        row = []
        for symbol in symbols:
            reached = _after(state, symbol, limit, types_matter=grammar)
            if reached not in states:
                states[reached] = len(states)
                queue.append(reached)
            row.append(states[reached])
        following.append(row)
        broken.append([_broken(state, symbol, language, grammar, chord_limit) for symbol in symbols])
    return Automaton(
        symbols=symbols,
        symbol_of_token=symbol_of_token,
        next_state=np.array(following, dtype=np.int64),
        broken=np.array(broken, dtype=np.uint8),
        unfinished=np.array([kind in _unfinished(language) for kind, _, _ in queue]),
        anchors=np.array([kind in ("Bar", "Position", SPECIAL) for kind, _ in symbols]),
    )


def _symbols(language: TokenLanguage) -> tuple[tuple[Symbol, ...], np.ndarray]:
    of_token = [
        (SPECIAL if kind in SPECIAL_TYPES else kind, int(value))
        for kind, value in zip(language.types, language.position, strict=True)
    ]
    symbols = tuple(dict.fromkeys(of_token))
    place = {symbol: index for index, symbol in enumerate(symbols)}
    return symbols, np.array([place[symbol] for symbol in of_token], dtype=np.int64)


def _after(state: State, symbol: Symbol, limit: int, *, types_matter: bool) -> State:
    _, position, count = state
    kind, value = symbol
    if kind in ("Bar", SPECIAL):
        position, count = -1, 0
    elif kind == "Position":
        position, count = value, 0
    elif kind == "Pitch":
        position, count = max(position, 0), min(count + 1, limit)  # before a Position a note stands at the bar's start
    return (kind if types_matter else "", position, count)


def _broken(state: State, symbol: Symbol, language: TokenLanguage, grammar: bool, chord_limit: int | None) -> int:
    last, position, count = state
    kind, value = symbol
    rules = 0
    if grammar and kind not in _allowed_after(last, language):
        rules |= TYPE_RULE
    if kind == "Position" and value <= position and last not in REPEATABLE_AFTER:
        rules |= TIME_RULE
    if chord_limit is not None and kind == "Pitch" and count >= chord_limit:
        rules |= CHORD_RULE
    return rules


def _allowed_after(last: str, language: TokenLanguage) -> frozenset[str]:
    if last in (START, SPECIAL):
        return frozenset({"Bar", SPECIAL})
    allowed = language.follows.get(last, frozenset())
    return allowed if last in _unfinished(language) else allowed | {SPECIAL}


def _unfinished(language: TokenLanguage) -> tuple[str, ...]:
    """Types after which a piece does not end: it would lose what it began."""
    return ("Position", *language.note[:-1])
