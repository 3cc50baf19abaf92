"""A given song: its file, its tokens, and the bar and track of each note."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.diffusion.constraints import TokenLanguage
from bench.diffusion.constraints.decoding import check_equal_bars
from bench.errors import quoted
from bench.generate.errors import GenerateError

if TYPE_CHECKING:
    from bench.data import TokenizerSettings
    from bench.data.pieces import Source


@dataclass(frozen=True, eq=False)
class Song:
    """`score` is the file as symusic reads it, untouched; `tokens` int64 (N,) its notes as the run writes them.

    `lost` names the events that no written file will have. `name` is that of the file, `stem` the name without its
    ending. Bars are those of the tokens: four quarter notes each, whatever the file's time signatures say, counted
    from 0.
    """

    name: str
    stem: str
    score: Any
    tokens: np.ndarray
    language: TokenLanguage
    tokenizer: TokenizerSettings
    lost: str = ""

    @property
    def bar_starts(self) -> np.ndarray:
        """Places of the Bar tokens, int64 (bars,)."""
        return np.flatnonzero(self.tokens == self.language.ids("Bar")[0])

    @property
    def bars(self) -> int:
        """Number of bars."""
        return len(self.bar_starts)

    def bar_range(self, words: str | None) -> tuple[int, int]:
        """`"8:16"` -> (8, 16): from bar 8 up to bar 16, which is not in it; an end left out is the song's."""
        if words is None:
            return 0, self.bars
        found = re.fullmatch(r"\s*([0-9]*)\s*:\s*([0-9]*)\s*", words)
        if not found:
            raise GenerateError(
                f"--bars {quoted(words)}: allowed: FIRST:END, counted from 0, such as 8:16 (bars 8 to 15)"
            )
        first, end = int(found[1] or 0), int(found[2] or self.bars)
        if not 0 <= first < end <= self.bars:
            raise GenerateError(
                f"--bars {words}: {self.name} has {self.bars} bars of four quarter notes; "
                f"allowed: FIRST:END with 0 <= FIRST < END <= {self.bars}"
            )
        return first, end

    def onset_bars(self, track: int) -> np.ndarray:
        """The bar in which each note of a track begins, on the grid of the tokens: int64 (notes,)."""
        from bench.data.remi import onset_steps

        notes = self.score.tracks[track].notes.numpy()
        quarters = notes["time"].astype(np.float64) / self.score.ticks_per_quarter
        return onset_steps(quarters, self.tokenizer) // (int(self.language.position.max()) + 1)

    def tracks_named(self, name: str) -> list[int]:
        """Indices of the tracks called `name` (case does not matter), or of that number."""
        from bench.data.tracks import tracks_called, tracks_in_words

        found = tracks_called(self.score, name)
        if not found:
            known = tracks_in_words(self.score)
            raise GenerateError(f"--keep-track {quoted(name)}: no such track in {self.name}; allowed: {known}")
        return found

    def track_notes(self, track: int) -> set[tuple[float, int]]:
        """(onset in quarter notes, pitch) of one track's notes as tokens write them."""
        from bench.data.remi import encode
        from bench.diffusion.constraints import token_notes

        alone = self.score.copy()
        alone.tracks = [alone.tracks[track]]
        notes = token_notes(encode(alone, self.tokenizer).astype(np.int64), self.language)
        return set(zip(notes.onset.tolist(), notes.pitch.tolist(), strict=True))


def load_song(words: str | Path, tokenizer: TokenizerSettings, language: TokenLanguage) -> Song:
    """Read a song, a MIDI file or `CORPUS:NAME`; GenerateError with the reason where it cannot be used."""
    from bench.data.reading import UnreadableError, parse_file, piano_of
    from bench.data.remi import encode
    from metrics.music.midi import MidiError

    source = _source(str(words))
    check_equal_bars(language)
    try:
        score, data = parse_file(source.path, source.member, all_texts=True)
        lost = _lost(data, score) if data is not None else ""
        merged, _ = piano_of(score, data, source.track)
    except (UnreadableError, MidiError) as error:
        raise GenerateError(f"{words}: cannot be used: {error}") from None
    tokens = encode(merged, tokenizer).astype(np.int64)
    if not len(tokens):
        raise GenerateError(
            f"{words}: no note between the pitches {tokenizer.pitch_low} and {tokenizer.pitch_high} that the run knows"
        )
    return Song(source.file_name, source.stem, score, tokens, language, tokenizer, lost)


def _lost(data: bytes, score: Any) -> str:
    """Events of a MIDI file that its score does not keep: "1 note that never ends, 2 aftertouch events"."""
    from metrics.music.midi import walk, write_score

    lost = walk(data, count=True).events
    lost.subtract(walk(write_score(score), count=True).events)
    words = {
        "notes": ("note that never ends", "notes that never end"),
        "aftertouch": ("aftertouch event", "aftertouch events"),
        "system-exclusive": ("system-exclusive message", "system-exclusive messages"),
    }
    return ", ".join(f"{lost[kind]} {many[lost[kind] > 1]}" for kind, many in words.items() if lost[kind] > 0)


def _source(words: str) -> Source:
    from bench.data.catalog import CORPORA, find_song
    from bench.data.names import FOLDER_PREFIX, CorpusName
    from bench.data.pieces import CorpusError, Source

    path = Path(words)
    if path.is_file():
        return Source(path, path.name)
    corpus, colon, _ = words.partition(":")
    try:
        if not colon or not (words.startswith(FOLDER_PREFIX) or CorpusName.parse(corpus).name in CORPORA):
            known = "a MIDI file, or CORPUS:NAME such as demo/lieder:frühlingstraum"
            raise GenerateError(f"{words}: no such file; allowed: {known}")
        return find_song(words)
    except CorpusError as error:
        raise GenerateError(str(error)) from None
