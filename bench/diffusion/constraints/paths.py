"""Draw a whole legal row from an automaton: filter over its hidden positions from both ends, then sample."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from bench.diffusion.constraints.automaton import CHORD_RULE, TIME_RULE, TYPE_RULE, Automaton

SOFT_COST = 1e6  # nats for each breach of a soft rule: none where there is another way
UNFINISHED_END = -1e7  # log weight of an end in the middle of a note: taken only where no other end is possible


class NothingLegalError(Exception):
    """No completion is legal; `position` is the first that no legal beginning reaches past."""

    def __init__(self, position: int) -> None:
        super().__init__(position)
        self.position = position


def draw_path(
    automaton: Automaton,
    weight_LC: np.ndarray,
    symbol_L: np.ndarray,
    u_L: np.ndarray,
    *,
    lifted: int = 0,
    soft: int = 0,
    scale: float = 1.0,
) -> np.ndarray:
    """Symbols of one row, int64 (L,), drawn from the product of its positions' weights restricted to legal rows.

    `weight_LC` float64, log weights of the symbols at hidden positions (-inf: forbidden there); `symbol_L` the symbols
    of given tokens, -1 where hidden; `u_L` uniform in [0, 1). Exact: backward sums over all legal completions, then
    symbols are drawn from left to right (forward filtering, backward sampling, run from the other end). A rule holds
    between given tokens only where something hidden lies between them: what is given is taken as it is. `lifted`
    are rules not to apply; `soft` are rules that may be broken at SOFT_COST each, in units of `scale` nats, as
    UNFINISHED_END is. Raises NothingLegalError.
    """
    waived_L = waived_rules(automaton, symbol_L) | lifted
    broken_SC = automaton.broken & np.uint8(~(lifted | soft) & 0xFF)
    cost_SC = np.where(automaton.broken & np.uint8(soft), scale * SOFT_COST, 0.0)
    begin_S, legal_E = _legal_symbols(broken_SC)
    end_S = np.where(automaton.unfinished, scale * UNFINISHED_END, 0.0)
    path_L = np.empty(len(symbol_L), dtype=np.int64)
    dead = _compiled(_draw)(
        np.ascontiguousarray(weight_LC),
        np.ascontiguousarray(symbol_L, dtype=np.int64),
        waived_L.astype(np.uint8),
        automaton.next_state,
        broken_SC,
        cost_SC,
        begin_S,
        legal_E,
        end_S,
        np.ascontiguousarray(u_L),
        path_L,
    )
    if dead >= 0:
        raise NothingLegalError(int(dead))
    return path_L


def waived_rules(automaton: Automaton, symbol_L: np.ndarray) -> np.ndarray:
    """Rules that a given token need not keep, since nothing hidden had a part in them: uint8 (L,).

    Types concern a token and the one before it; time and chords all tokens back to the last Bar or Position.
    """
    given_L = symbol_L >= 0
    before_L = np.concatenate([[True], given_L[:-1]])
    place_L = np.arange(len(symbol_L))
    hidden_last_L = np.maximum.accumulate(np.where(given_L, -1, place_L))
    anchor_L = given_L & automaton.anchors[np.maximum(symbol_L, 0)]
    anchor_last_L = np.maximum.accumulate(np.where(anchor_L, place_L, -1))
    hidden_before_L = np.concatenate([[-1], hidden_last_L[:-1]])
    anchor_before_L = np.concatenate([[-1], anchor_last_L[:-1]])
    since_L = (hidden_before_L < 0) | (anchor_before_L > hidden_before_L)
    waived_L = np.where(before_L, TYPE_RULE, 0) | np.where(since_L, TIME_RULE | CHORD_RULE, 0)
    return np.where(given_L, waived_L, 0).astype(np.uint8)


def _legal_symbols(broken_SC: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The legal symbols of every state one after another, and where each state's begin: (S + 1,), (E,)."""
    states, symbols = np.nonzero(broken_SC == 0)
    counts = np.bincount(states, minlength=len(broken_SC))
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64), symbols.astype(np.int64)


def _draw(  # type: ignore[no-untyped-def]  # compiled: the arguments are those that draw_path gives
    weight_LC, symbol_L, waived_L, next_SC, broken_SC, cost_SC, begin_S, legal_E, end_S, u_L, path_L
):
    length, states = len(symbol_L), next_SC.shape[0]
    reach = np.zeros((length + 1, states), dtype=np.bool_)
    reach[0, 0] = True
    for i in range(length):
        alive = False
        for s in range(states):
            if not reach[i, s]:
                continue
            c = symbol_L[i]
            if c >= 0:
                if broken_SC[s, c] & ~waived_L[i] & 7 == 0:
                    reach[i + 1, next_SC[s, c]] = True
                    alive = True
                continue
            for e in range(begin_S[s], begin_S[s + 1]):
                if weight_LC[i, legal_E[e]] > -np.inf:
                    reach[i + 1, next_SC[s, legal_E[e]]] = True
                    alive = True
        if not alive:
            return i
    onward = np.full((length + 1, states), -np.inf)  # log of the summed weight of all legal ways to the end
    for s in range(states):
        if reach[length, s]:
            onward[length, s] = end_S[s]
    for i in range(length - 1, -1, -1):
        c = symbol_L[i]
        for s in range(states):
            if not reach[i, s]:
                continue
            if c >= 0:
                if broken_SC[s, c] & ~waived_L[i] & 7 == 0:
                    onward[i, s] = onward[i + 1, next_SC[s, c]] - cost_SC[s, c]
                continue
            largest = -np.inf
            for e in range(begin_S[s], begin_S[s + 1]):
                value = weight_LC[i, legal_E[e]] + onward[i + 1, next_SC[s, legal_E[e]]] - cost_SC[s, legal_E[e]]
                largest = max(largest, value)
            if largest > -np.inf:
                total = 0.0
                for e in range(begin_S[s], begin_S[s + 1]):
                    value = weight_LC[i, legal_E[e]] + onward[i + 1, next_SC[s, legal_E[e]]] - cost_SC[s, legal_E[e]]
                    total += np.exp(value - largest)
                onward[i, s] = largest + np.log(total)
    s = 0
    for i in range(length):
        c = symbol_L[i]
        if c < 0:
            left = u_L[i]
            for e in range(begin_S[s], begin_S[s + 1]):
                value = weight_LC[i, legal_E[e]] + onward[i + 1, next_SC[s, legal_E[e]]] - cost_SC[s, legal_E[e]]
                if value == -np.inf:
                    continue
                c = legal_E[e]
                left -= np.exp(value - onward[i, s])
                if left < 0:
                    break
        path_L[i] = c
        s = next_SC[s, c]
    return -1


@cache
def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compiled by numba at the first use, kept on disk where a folder can be written."""
    from numba import njit

    try:
        return njit(cache=True, nogil=True)(function)
    except RuntimeError:  # no folder for numba's cache
        return njit(nogil=True)(function)
