"""A token language: the meaning of each token, and which type may follow which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bench.data.settings import SPECIAL_TYPES, note_types

TIME_TYPES = ("Bar", "TimeSig", "Tempo")
"""Types that set the time: to draw them anew would move what is given."""


@dataclass(frozen=True, eq=False)
class TokenLanguage:
    """The words of a vocabulary in the order of their ids ("Bar_None", "Pitch_21", ...), and the graph of types.

    `follows[type]` holds the types that may come next, by MidiTok's `tokens_types_graph`. That graph names special
    tokens inconsistently ("PAD" as a key and after music, "PAD_None" after special tokens); here all lose their ending
    and no special token counts as music: only given tokens can be special.
    """

    words: Sequence[str]
    follows: Mapping[str, frozenset[str]]

    @classmethod
    def of(cls, words: Sequence[str], graph: Mapping[str, Sequence[str] | set[str]]) -> TokenLanguage:
        """From a vocabulary and MidiTok's graph as it comes."""
        cleaned = {
            name.split("_")[0]: frozenset(word.split("_")[0] for word in after).difference(SPECIAL_TYPES)
            for name, after in graph.items()
        }
        return cls(tuple(words), {name: after for name, after in cleaned.items() if name not in SPECIAL_TYPES})

    @cached_property
    def types(self) -> list[str]:
        """The type of each token id: (V,)."""
        return [word.split("_")[0] for word in self.words]

    @cached_property
    def pitch(self) -> np.ndarray:
        """MIDI pitch of each Pitch token, -1 of all others: int64 (V,)."""
        return self._numbers("Pitch")

    @cached_property
    def position(self) -> np.ndarray:
        """Place in the bar of each Position token, -1 of all others: int64 (V,)."""
        return self._numbers("Position")

    @cached_property
    def note(self) -> tuple[str, ...]:
        """The types of a note's tokens, in their order."""
        return note_types(self.types)

    def ids(self, *types: str) -> np.ndarray:
        """Token ids of these types, ascending."""
        return np.flatnonzero(np.isin(self.types, types))

    @property
    def time_ids(self) -> np.ndarray:
        """Token ids of `TIME_TYPES`, ascending."""
        return self.ids(*TIME_TYPES)

    def hidden_in_bars(self, tokens_N: np.ndarray, first: int, end: int) -> np.ndarray:
        """The tokens of the bars `first` to `end` - 1 that infilling draws anew, all but those of `TIME_TYPES`: bool
        (N,)."""
        bar_N = np.cumsum(tokens_N == self.ids("Bar")[0]) - 1
        return (bar_N >= first) & (bar_N < end) & ~np.isin(tokens_N, self.time_ids)

    def _numbers(self, kind: str) -> np.ndarray:
        named = zip(self.words, self.types, strict=True)
        return np.array([int(word.split("_")[1]) if name == kind else -1 for word, name in named], dtype=np.int64)
