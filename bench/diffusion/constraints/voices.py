"""At most k notes sounding: Duration tokens of a drawn row are shortened."""

from __future__ import annotations

import numpy as np

from bench.diffusion.constraints.decoding import check_equal_bars, duration_quarters, token_notes
from bench.diffusion.constraints.language import TokenLanguage

NO_TIME = 1e-9


class SoundingLimit:
    """At most `most` notes at any time, by voice stealing: a note that starts ends the oldest one.

    What sounds depends on every Bar, Position and Duration before, so no automaton of sensible size can enforce it
    while tokens are drawn. Notes that start together are limited there (`chord`); this shortens Duration tokens
    afterwards, to the longest that ends in time. Given notes are never changed: where they alone fill the limit, a
    drawn note that starts then stays above it, as short as can be.
    """

    def __init__(self, language: TokenLanguage, most: int) -> None:
        check_equal_bars(language)
        self.language, self.most = language, most
        self._duration = language.note.index("Duration")  # places after the Pitch
        ids = language.ids("Duration")
        quarters = np.array([float(duration_quarters(language.words[token])) for token in ids])
        order = np.argsort(quarters)
        self._quarters, self._ids = quarters[order], ids[order]

    def settle(self, tokens_L: np.ndarray, free_L: np.ndarray) -> np.ndarray:
        """The row (L,) with shorter Duration tokens where too much sounds; only places where `free_L` change."""
        tokens_L = tokens_L.copy()
        notes = token_notes(tokens_L, self.language)
        ends = notes.onset + notes.duration
        order = np.lexsort((notes.at, notes.onset))
        sounding: list[int] = []  # in the order of their onsets
        for note in order:
            now = notes.onset[note]
            sounding = [other for other in sounding if ends[other] > now + NO_TIME]
            sounding.append(int(note))
            for other in list(sounding):
                if len(sounding) <= self.most:
                    break
                if notes.onset[other] < now - NO_TIME and free_L[notes.at[other] + self._duration]:
                    self._shorten(tokens_L, int(notes.at[other]) + self._duration, now - notes.onset[other])
                    sounding.remove(other)
            if len(sounding) > self.most and free_L[notes.at[note] + self._duration]:
                self._shorten(tokens_L, int(notes.at[note]) + self._duration, 0.0)
                ends[note] = now + self._quarters[0]
        return tokens_L

    def _shorten(self, tokens_L: np.ndarray, place: int, quarters: float) -> None:
        fitting = int(np.searchsorted(self._quarters, quarters + NO_TIME, side="right")) - 1
        tokens_L[place] = self._ids[max(fitting, 0)]
