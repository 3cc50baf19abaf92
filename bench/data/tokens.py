"""TokenCorpus: a corpus as tokens, with its split, windows and the way back to notes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.data.cache import read_array, write_array
from bench.data.pieces import SPLITS, Corpus, Piece, Skipped, check_split
from bench.data.settings import SPECIAL_TYPES, TokenizerSettings
from bench.data.windows import Windows, cut, window_starts
from bench.errors import UserError
from bench.files import canonical_hash, write_atomically

if TYPE_CHECKING:
    from symusic.core import ScoreTick

WINDOWS_VERSION = 1


@dataclass(frozen=True)
class TokenStream:
    """One side of the split as one array: piece i is `tokens[offsets[i]:offsets[i + 1]]`. Memory-mapped, uint16."""

    tokens: np.ndarray
    offsets: np.ndarray
    pieces: tuple[Piece, ...]


@dataclass(frozen=True, eq=False)
class TokenCorpus:
    """A tokenised corpus. `pieces_in_order` and `offsets` (int64, one more than pieces) describe `all_tokens` (uint16).

    `skipped` holds the corpus's unreadable pieces and those without a note in the pitch range. `fingerprint` names
    contents, sides, settings and tokenizer version: equal fingerprints mean equal tokens.
    """

    corpus: Corpus
    settings: TokenizerSettings
    vocabulary: list[str]
    all_tokens: np.ndarray
    offsets: np.ndarray
    pieces_in_order: tuple[Piece, ...]
    skipped: list[Skipped]
    fingerprint: str
    folder: Path

    @property
    def vocab_size(self) -> int:
        """Number of token ids, special tokens included."""
        return len(self.vocabulary)

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {word: index for index, word in enumerate(self.vocabulary)}

    @property
    def pad_id(self) -> int:
        """Fills a window after the end of a piece."""
        return self._ids["PAD_None"]

    @property
    def mask_id(self) -> int:
        """The absorbing state of the diffusion."""
        return self._ids["MASK_None"]

    @property
    def bar_id(self) -> int:
        """Begins a bar."""
        return self._ids["Bar_None"]

    @property
    def special_ids(self) -> list[int]:
        """PAD and MASK, and BOS and EOS where the vocabulary has them, which no piece uses; ascending."""
        return [token for token, word in enumerate(self.vocabulary) if word.split("_")[0] in SPECIAL_TYPES]

    @cached_property
    def type_names(self) -> list[str]:
        """Token types by their first id: "PAD", ..., "Bar", "Pitch", "Velocity", "Duration", "Position"; a
        note's types in the order of its tokens."""
        return list(dict.fromkeys(word.split("_")[0] for word in self.vocabulary))

    @cached_property
    def type_of_token(self) -> np.ndarray:
        """Type of each token id as an index into `type_names`: int64 (V,). `type_of_token[tokens]` types any array."""
        place = {name: index for index, name in enumerate(self.type_names)}
        return np.array([place[word.split("_")[0]] for word in self.vocabulary], dtype=np.int64)

    def record(self) -> dict[str, Any]:
        """What a result keeps of its data, as JSON: sides by piece id, how they were chosen, what was left out."""
        return {
            "corpus": self.corpus.label,
            "fingerprint": self.fingerprint,
            "settings": self.settings.model_dump(mode="json"),
            "split_rule": self.corpus.split_rule,
            "pieces": {split: [piece.id for piece in self.stream(split).pieces] for split in SPLITS},
            "skipped": [{"id": item.id, "reason": item.reason} for item in self.skipped],
            "notes": list(self.corpus.notes),
        }

    def stream(self, split: str) -> TokenStream:
        """All tokens of one side with the offsets of its pieces, without copying."""
        check_split(split)
        places = [index for index, piece in enumerate(self.pieces_in_order) if piece.split == split]
        if not places:
            return TokenStream(self.all_tokens[:0], np.zeros(1, dtype=np.int64), ())
        first, last = places[0], places[-1] + 1
        offsets = self.offsets[first : last + 1]
        tokens = self.all_tokens[offsets[0] : offsets[-1]]
        return TokenStream(tokens, offsets - offsets[0], self.pieces_in_order[first:last])

    def pieces(self, split: str) -> list[np.ndarray]:
        """Tokens of each piece of one side, uint16 (N_i,), without copying."""
        stream = self.stream(split)
        return [stream.tokens[a:b] for a, b in zip(stream.offsets[:-1], stream.offsets[1:], strict=True)]

    def windows(self, split: str, length: int) -> Windows:
        """All windows of one side on a fixed grid, for evaluation: every token is in at least one of them.

        A window lies inside one piece; the last one of a piece is filled with PAD. It begins with a Bar token, so that
        what it decodes to has its time right from the first note; neighbours overlap by less than a bar.
        """
        stream, starts, ends = self._place_windows(split, length)
        piece = np.searchsorted(stream.offsets, starts, side="right") - 1
        return Windows(
            tokens=self._window_rows(split, length, stream.tokens, starts, ends),
            piece=piece,
            start=starts - stream.offsets[piece],
            count=np.minimum(ends - starts, length),
        )

    def count_windows(self, split: str, length: int) -> int:
        """How many rows `windows` would give, without making them."""
        return len(self._place_windows(split, length)[1])

    def _place_windows(self, split: str, length: int) -> tuple[TokenStream, np.ndarray, np.ndarray]:
        """The tokens to cut from, and of each window its first token and the end of its piece (n,)."""
        if length < 1:
            raise ValueError(f"windows need length >= 1, not length {length}")
        stream = self.stream(split)
        if not stream.pieces:
            raise UserError(f"corpus {self.corpus.label} has no piece in its {split} split")
        bars = np.flatnonzero(stream.tokens == self.bar_id)
        starts: list[int] = []
        ends: list[int] = []
        for first, end in zip(stream.offsets[:-1].tolist(), stream.offsets[1:].tolist(), strict=True):
            own = bars[np.searchsorted(bars, first) : np.searchsorted(bars, end)] - first
            found = [first + start for start in window_starts(own, end - first, length)]
            starts.extend(found)
            ends.extend([end] * len(found))
        return stream, np.array(starts, dtype=np.int64), np.array(ends, dtype=np.int64)

    def decode(self, tokens_L: np.ndarray | Sequence[int]) -> ScoreTick:
        """Notes of a token sequence, as one piano track of a score whose time 0 is the first bar (takes MidiTok)."""
        from bench.data.remi import decode

        return decode(np.asarray(tokens_L), self.settings)

    def decode_to_file(self, tokens_L: np.ndarray | Sequence[int], path: Path) -> None:
        """Write what the tokens decode to as a MIDI file."""
        write_atomically(path, self.decode(tokens_L).dumps_midi())

    def _window_rows(
        self, split: str, length: int, tokens: np.ndarray, starts: np.ndarray, ends: np.ndarray
    ) -> np.ndarray:
        name = f"windows-{split}-{length}-{canonical_hash([WINDOWS_VERSION, starts.tolist()])}.npy"
        kept = read_array(self.folder / name)
        if kept is not None and kept.shape == (len(starts), length) and kept.dtype == np.uint16:
            return kept
        rows = cut(tokens, starts, ends, length, self.pad_id)
        write_array(self.folder / name, rows)
        kept = read_array(self.folder / name)
        return rows if kept is None else kept


def order_by_split(pieces: Sequence[Piece]) -> list[Piece]:
    """Pieces side by side: train, validation, test, each in order of id."""
    return sorted(pieces, key=lambda piece: (SPLITS.index(piece.split), piece.id))
