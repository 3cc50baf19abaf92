"""The tokens of a cell's corpus: held-out and training windows, their notes, and metrics of token sequences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.errors import UserError
from bench.measure.quality.decoded import decoded_notes

if TYPE_CHECKING:
    from bench.data import TokenCorpus, TokenizerSettings
    from metrics import MetricResult, Notes


REFERENCE_SEED = 20260  # one choice of held-out windows, the same for every arm and seed


def load_tokens(corpus: str, tokenizer: TokenizerSettings | Mapping[str, Any]) -> TokenCorpus:
    """Tokens of `NAME`, `NAME/SUBSET` or `folder:PATH` under a tokenizer, or under its settings in a cell."""
    from bench.data import TokenizerSettings, load_corpus, tokenize

    return tokenize(load_corpus(corpus), TokenizerSettings.model_validate(tokenizer))


@dataclass(frozen=True)
class SongWindows:
    """Full windows of a split as rows of tokens (n, length), and the id of the song that each is an excerpt of (n)."""

    tokens: np.ndarray
    songs: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.songs)

    @property
    def song_numbers(self) -> np.ndarray:
        """Number of each window's song, from 0: int64 (n,)."""
        return np.unique(np.array(self.songs, dtype=str), return_inverse=True)[1].astype(np.int64)


def full_windows(tokens: TokenCorpus, split: str, length: int) -> SongWindows:
    """The windows of a split that hold no PAD: pieces as long as the generated ones."""
    windows, pieces = tokens.windows(split, length), tokens.stream(split).pieces
    full = np.flatnonzero(windows.count == length)
    return SongWindows(np.asarray(windows.tokens)[full], tuple(pieces[windows.piece[row]].id for row in full))


def held_out_windows(tokens: TokenCorpus, length: int, count: int) -> SongWindows:
    """`count` full windows (count, length) of the test split, the same for all arms and seeds.

    One window of each song first, a second one only when the songs run out, and so on. The order of the songs is drawn
    once from all songs of the split, so that it is the same at every length, and so is the order of a song's windows;
    fewer windows are the first of more.
    Raises UserError where the test split has fewer full windows.
    """
    full = full_windows(tokens, "test", length)
    if len(full) < count:
        raise UserError(
            f"the test split has {len(full)} full windows of {length} tokens, {count} are wanted: "
            "lower sample.pieces or length, or take a larger corpus"
        )
    chosen = song_by_song(full.songs, [piece.id for piece in tokens.stream("test").pieces])[:count]
    return SongWindows(full.tokens[chosen], tuple(full.songs[row] for row in chosen))


def song_by_song(songs: Sequence[str], known: Sequence[str]) -> list[int]:
    """Order of windows by their songs: the first of each song, the second of each, ..., by the drawn order of `known`
    songs."""
    turns: list[tuple[int, int, int]] = []  # turn of the window among its song's, place of the song, row
    rows: dict[str, list[int]] = {song: [] for song in known}
    for row, song in enumerate(songs):
        rows[song].append(row)
    for place, index in enumerate(np.random.default_rng(REFERENCE_SEED).permutation(len(known))):
        own = rows[known[index]]
        order = np.random.default_rng([REFERENCE_SEED, int(index)]).permutation(len(own))
        turns += [(turn, place, own[chosen]) for turn, chosen in enumerate(order)]
    return [row for _, _, row in sorted(turns)]


def train_notes(tokens: TokenCorpus, length: int) -> list[Notes]:
    """All full windows of the training split as notes: what ranges, percentiles and the ceiling are taken from.

    Decoded once for each corpus, tokenizer and length, and kept beside the tokens.
    """
    windows = full_windows(tokens, "train", length)
    return decoded_notes(tokens.folder, length, windows.songs, lambda: to_notes(tokens, windows, "train"))


def to_notes(tokens: TokenCorpus, sequences: SongWindows | np.ndarray, name: str) -> list[Notes]:
    """Notes of each window, or row of token sequences (n, L): real and generated music pass through the same decoder.

    A window's notes know their song; a generated sequence is a piece of its own.
    """
    from metrics import read_notes

    if not isinstance(sequences, SongWindows):
        sequences = SongWindows(sequences, ("",) * len(sequences))
    return [
        replace(read_notes(tokens.decode(row), name=f"{name}-{index:03d}"), song=song)
        for index, (row, song) in enumerate(zip(sequences.tokens, sequences.songs, strict=True))
    ]


def token_results(tokens: TokenCorpus, sequences: SongWindows | np.ndarray) -> list[MetricResult]:
    """Token entropy and grammar errors of windows, or of token sequences (n, L)."""
    from bench.data.remi import token_errors
    from metrics import grammar_errors, token_entropy

    songs = None
    if isinstance(sequences, SongWindows):
        songs, sequences = sequences.song_numbers, sequences.tokens
    pieces = [sequence.astype(int).tolist() for sequence in sequences]
    errors = grammar_errors(pieces, lambda piece: token_errors(piece, tokens.settings), songs=songs)
    return [token_entropy(pieces, songs=songs), errors]
